"""Nothing that a test remembers of runs is kept with the user's own, and no keeper outlives a test."""

from pathlib import Path

import pytest

from operate import keeper
from operate.records import Records
from tests.operate.docker_stack import SAID
from tests.operate.fake_engine import FakeEngine


@pytest.fixture(autouse=True)
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Records:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Records.default()


@pytest.fixture
def fake() -> FakeEngine:
    made = FakeEngine()
    made.stubborn = True
    made.output = b'{"event": "session_started"}\n' + SAID
    return made


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Runs that a keeper was left behind for."""
    runs: list[str] = []
    monkeypatch.setattr(keeper, "leave", lambda run, records, stop=False: runs.append(run))
    return runs
