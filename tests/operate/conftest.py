"""Nothing that a test remembers of runs is kept with the user's own, and no keeper outlives a test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from moto import mock_aws

from operate import keeper
from operate.fargate_backend import FargateRuns
from operate.records import Records
from tests.operate.docker_stack import SAID
from tests.operate.emulated_aws import Aws
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


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield Aws()


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def runs(aws: Aws, notes: list[str]) -> FargateRuns:
    return FargateRuns(aws.deployed(), aws.clients(), notes.append)
