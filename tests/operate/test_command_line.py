"""The command line: exit codes, JSON for machines, tables for people."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from components.plans.probes import Kind, Probe, Seen
from operate import __main__ as command_line
from operate.evidence import Evidence, Examined, Progress, judged
from operate.explain import InForce
from operate.failures import Exit, Failure, unreachable
from operate.outputs import Outputs
from tests.operate.deployed import outputs


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "outputs.json"
    path.write_text(json.dumps(outputs("fargate")))
    return path


def agentenv(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["agentenv", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    code = ended.value.code
    assert isinstance(code, int)
    return code


def test_explain_a_host(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert agentenv(monkeypatch, "explain", "api-client", "api.partner.test", "--outputs", file) == 0
    told = capsys.readouterr().out
    assert "allowed" in told
    assert "config.networking.allowed_hosts[0]" in told


def test_explain_a_host_for_machines(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert agentenv(monkeypatch, "explain", "api-client", "evil.test", "--json", "--outputs", file) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["layer"], told["sessions"]) == ("denied", "gateway allow-list", [])


def test_explain_everything(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert agentenv(monkeypatch, "explain", "api-client", "--outputs", file) == 0
    told = capsys.readouterr().out
    for part in ("*.wild.test", "mcp.partner.test", "http://gw.t.internal:3128/CRM/", "169.254.0.0/16", "registries"):
        assert part in told
    assert agentenv(monkeypatch, "explain", "api-client", "--json", "--outputs", file) == 0
    assert json.loads(capsys.readouterr().out)["environment"] == "api-client"


def test_explain_asks_a_gateway_on_docker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "outputs.json"
    path.write_text(json.dumps(outputs("docker")))
    monkeypatch.setattr("operate.docker_gateway.ask", lambda environment: InForce((), "abc", "told by gateway x"))
    assert agentenv(monkeypatch, "explain", "api-client", "--json", "--outputs", path) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["policy_in_force"], told["told_by"]) == ("abc", "told by gateway x")


def test_bad_input_ends_with_two(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert agentenv(monkeypatch, "explain", "api-clients", "--outputs", file) == Exit.USAGE
    assert "did you mean 'api-client'" in capsys.readouterr().err
    assert agentenv(monkeypatch, "verify", "nobody", "--outputs", file) == Exit.USAGE
    assert agentenv(monkeypatch, "verify") == Exit.USAGE
    assert agentenv(monkeypatch, "verify", "desk", "--host", "evil.test", "--outputs", file) == Exit.USAGE
    assert "not allowed for session 'desk'" in capsys.readouterr().err


def seen(word: str) -> Any:
    probe = Probe("a", "a wall", Kind.TCP, "203.0.113.10:443", (Seen.BLOCKED,), "why")
    line = json.dumps({"event": "probe", "id": "a", "seen": word, "detail": "[bold]not markup[/bold]"})
    examined = Examined("twin x", "sha256:1", "docker 28", None, ())
    at = datetime(2027, 1, 31, tzinfo=UTC)

    def verified(name: str, deployed: Outputs, host: str | None, progress: Progress) -> Evidence:
        progress("probing")
        return Evidence(name, "api-client", "limited", "abc", at, examined, judged([probe], [line]))

    return verified


def test_as_expected_ends_with_zero_and_a_difference_with_one(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command_line, "verify_session", seen("blocked"))
    evidence = tmp_path / "evidence.json"
    assert agentenv(monkeypatch, "verify", "desk", "--outputs", file, "--evidence", evidence) == Exit.OK
    told = capsys.readouterr().out
    assert "all 1 as expected" in told
    assert "[bold]not markup[/bold]" in told
    assert json.loads(evidence.read_text())["ok"] is True
    monkeypatch.setattr(command_line, "verify_session", seen("connected"))
    assert agentenv(monkeypatch, "verify", "desk", "--outputs", file) == Exit.DIFFERENCE
    assert "1 of 1 differ: a wall" in capsys.readouterr().out
    assert agentenv(monkeypatch, "verify", "desk", "--json", "--outputs", file) == Exit.DIFFERENCE
    assert json.loads(capsys.readouterr().out)["probes"][0]["seen"] == "connected"


def test_evidence_that_cannot_be_written(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command_line, "verify_session", seen("blocked"))
    nowhere = tmp_path / "no" / "evidence.json"
    assert agentenv(monkeypatch, "verify", "desk", "--outputs", file, "--evidence", nowhere) == Exit.USAGE


def test_what_cannot_be_reached_ends_with_three(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone(*_: object) -> Failure:
        raise unreachable("no engine")

    monkeypatch.setattr(command_line, "verify_session", gone)
    assert agentenv(monkeypatch, "verify", "desk", "--outputs", file) == Exit.UNREACHABLE
    assert capsys.readouterr().err.strip().endswith("agentenv: no engine")
