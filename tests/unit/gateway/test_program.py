"""The program as it is started: its environment, its sub-commands, its signals."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from egress_gateway.settings import read_settings

from tests.unit.gateway.rig import policy

PACKAGE = Path(__file__).resolve().parents[3] / "images" / "egress-gateway"


class Program:
    """`python3 -m egress_gateway` with files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.policy = folder / "policy.json"
        self.variables = {
            "PYTHONPATH": str(PACKAGE),
            "EGRESS_POLICY": str(self.policy),
            "EGRESS_LISTEN": "127.0.0.1:0",
            "EGRESS_ADMIN": "127.0.0.1:0",
            "EGRESS_STATE": str(folder / "state"),
            "EGRESS_REGISTRIES": str(folder / "registries.json"),
        }
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> dict[str, Any]:
        """Start it; the line that says where it listens."""
        command = [sys.executable, "-m", "egress_gateway"]
        self.process = subprocess.Popen(command, env=self.variables, stdout=subprocess.PIPE, text=True)
        return next(line for line in self.lines() if line["event"] == "listening")

    def lines(self) -> Iterator[dict[str, Any]]:
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield json.loads(line)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "egress_gateway", *arguments]
        return subprocess.run(command, env=self.variables, capture_output=True, text=True, timeout=20, check=False)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    made = Program(tmp_path)
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.communicate()


def test_it_says_where_it_listens_answers_its_commands_and_ends_when_told(program: Program) -> None:
    listening = program.start()
    assert listening["proxy"].startswith("127.0.0.1:")
    assert listening["admin"].startswith("127.0.0.1:")
    assert program.run("check").returncode == 0
    not_ready = program.run("ready")
    assert (not_ready.returncode, not_ready.stdout) == (1, "")
    assert not_ready.stderr == "egress_gateway: nothing is let through: no-policy\n"

    incoming = program.folder / "incoming.json"
    incoming.write_text(json.dumps(policy()))
    assert program.run("install", str(incoming), str(program.policy)).returncode == 0
    assert not incoming.exists()
    assert next(line for line in program.lines() if line["event"] == "policy")["verdict"] == "in-force"
    assert program.run("ready").returncode == 0

    assert program.run("admit", "--session", "run-1", "--source", "10.0.0.0/29").returncode == 0
    taken = program.run("admit", "--session", "run-2", "--source", "10.0.0.0/30")
    assert (taken.returncode, taken.stderr.count("\n"), "run-1" in taken.stderr) == (1, 1, True)
    shown = json.loads(program.run("policy").stdout)
    assert shown["in_force"]
    assert len(shown["policy_hash"]) == 64
    assert {"session": "run-1", "source": "10.0.0.0/29", "token": False} in shown["identities"]
    assert program.run("dismiss", "--source", "10.0.0.0/29").returncode == 0
    assert "run-1" not in program.run("policy").stdout
    assert program.run("admit", "--session", "x", "--source", "10.0.0.1/29").returncode == 1
    assert program.stop() == 0


def test_without_a_running_gateway_its_commands_fail_in_one_line(program: Program) -> None:
    for arguments in (["check"], ["ready"], ["policy"], ["admit", "--session", "s", "--source", "10.0.0.0/29"]):
        done = program.run(*arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)


def test_a_broken_policy_is_not_installed(program: Program) -> None:
    program.policy.write_text(json.dumps(policy()))
    incoming = program.folder / "incoming.json"
    incoming.write_text(json.dumps(policy(hosts=[{"host": "*", "port": 443, "field": "f"}])))
    done = program.run("install", str(incoming), str(program.policy))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("egress_gateway: hosts[0].host: ")
    assert done.stderr.count("\n") == 1
    assert json.loads(program.policy.read_text())["hosts"] == []


def test_a_socket_that_a_killed_gateway_left_is_no_hindrance(program: Program) -> None:
    program.start()
    assert program.process is not None
    program.process.kill()
    program.process.communicate()
    assert program.run("check").returncode == 1
    program.start()
    assert program.run("check").returncode == 0


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("EGRESS_LISTEN", "3128"),
        ("EGRESS_ADMIN", "127.0.0.1:x"),
        ("EGRESS_IDENTITY", "ecs:"),
        ("EGRESS_IDENTITY", "dns"),
    ],
)
def test_a_setting_that_is_none_is_one_clear_error(program: Program, variable: str, value: str) -> None:
    program.variables[variable] = value
    done = program.run()
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert variable in done.stderr
    assert "Fix:" in done.stderr


def test_the_defaults_are_those_of_the_image() -> None:
    settings = read_settings({})
    assert (settings.policy, settings.listen, settings.admin) == (
        "/policy/policy.json",
        ("0.0.0.0", 3128),
        ("127.0.0.1", 9901),
    )
    assert (str(settings.control), settings.cluster, settings.nameservers) == ("/state/control.sock", None, ())
    assert read_settings({"EGRESS_IDENTITY": "ecs:arn:x", "EGRESS_NAMESERVERS": "a:1, b:2"}).cluster == "arn:x"
