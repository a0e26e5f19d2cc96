"""The demo's own small parts; the whole of it is `make demo`."""

import io
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from components.models.stack import Stack
from components.plans.image import GATEWAY_UID
from offline.demo import key, work
from offline.model_api import script
from offline.model_api.authority import Authority

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """Changes of owners that were asked for, which takes root; with an authority elsewhere than in this checkout."""
    asked: list[tuple[str, int, int]] = []
    monkeypatch.setattr(Authority, "shared", lambda: Authority.kept(tmp_path / "authority", "demo"))
    monkeypatch.setattr(os, "chown", lambda path, uid, gid: asked.append((Path(path).name, uid, gid)))
    monkeypatch.setattr(key, "_is_ready", lambda path: path.exists())
    return asked


def test_the_key_is_for_the_gateway_alone_and_stays(tmp_path: Path, kept: list[tuple[str, int, int]]) -> None:
    file = tmp_path / "etc" / "demo-model-key"
    key.prepare(file)
    assert kept == [(f".{file.name}.new", GATEWAY_UID, GATEWAY_UID)]
    assert file.stat().st_mode & 0o777 == 0o400
    first = file.read_text()
    assert len(first) > 30
    key.prepare(file)
    assert file.read_text() == first
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert (tmp_path / "authority" / "authority.pem").is_file()


@pytest.mark.usefixtures("kept")
def test_who_may_not_write_there_is_told_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("no folder")
    with pytest.raises(key.NotPrepared, match=r"sudo install .* -o 10002 -m 0400"):
        key.prepare(tmp_path / "etc" / "demo-model-key")


def test_the_stack_file_names_what_is_prepared() -> None:
    config = yaml.safe_load((ROOT / "Pulumi.demo.yaml").read_text())["config"]
    stack = Stack.parse(config["agent-environments:stack"])
    (session,) = (one for one in stack.sessions if one.name == work.SESSION)
    assert session.model_route is not None
    assert session.model_route.source == f"file:{key.KEY}"
    assert stack.certificate_authorities == (".toolchain/demo/authority.pem",)


def test_the_prompt_has_the_agent_work_and_be_refused() -> None:
    text = script.find(work.PROMPT)
    assert text is not None
    answers = script.parse(text)
    assert [type(answer.content) for answer in answers] == [script.UseTool, script.UseTool, script.Say]
    assert work.DENIED in str(answers[1].content)


def test_the_log_is_a_table() -> None:
    common = {"time": "2026-11-23T06:45:26.793Z", "session": work.SESSION}
    records: list[dict[str, Any]] = [
        common | {"host": None, "verdict": "allowed", "rule": "own-policy"},
        common | {"host": "api.anthropic.com", "port": 443, "verdict": "allowed", "rule": "route", "route": "KEY"},
        common | {"host": work.DENIED, "port": 443, "verdict": "denied", "rule": "host-not-allowed", "field": "hosts"},
    ]
    shown = io.StringIO()
    Console(file=shown, width=132).print(work.log_table(iter(records)))
    text = shown.getvalue()
    for part in ("06:45:26.793", "its own policy", "api.anthropic.com:443 by route KEY", "host-not-allowed", "denied"):
        assert part in text
