"""Keepers: one at a time, started again at any time, patient with the engine."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import docker
import pytest
import requests
from docker.errors import APIError

from operate import engine, keeper
from operate.failures import Failure
from operate.records import Records
from operate.runs import Order
from tests.operate.docker_stack import RESULT, SAID, backend, quiet
from tests.operate.fake_engine import FakeContainer, FakeEngine


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    made = FakeEngine()
    made.stubborn = True
    made.output = SAID
    monkeypatch.setattr(keeper, "connect", lambda: made)
    monkeypatch.setattr(engine, "PAUSE_SECONDS", 0.0)
    return made


def orphan(fake: FakeEngine) -> str:
    """A run whose starter is gone."""
    runs = backend(fake)
    info = runs.start(Order("desk", "go"), quiet)
    runs._held[info.id].release()
    return info.id


def test_it_waits_collects_and_removes(fake: FakeEngine, records: Records) -> None:
    run = orphan(fake)
    records.said(run).close()
    assert keeper.main([run]) == 0
    found = records.read(run)
    assert found is not None
    assert (found.info.status, found.result) == ("ended", RESULT)
    assert fake.networks_by_name == {}
    assert not records.path(run, "keeper").exists()
    told = list(fake.told)
    assert keeper.main([run]) == 0
    assert fake.told[len(told) :] == [], "there is nothing left to do"


def test_a_second_one_leaves_it_to_the_first(fake: FakeEngine, records: Records) -> None:
    run = orphan(fake)
    hold = records.hold(run)
    assert keeper.main([run]) == 0
    assert hold is not None
    assert f"agentenv-run-{run}" in fake.networks_by_name


def test_one_that_was_killed_while_removing_is_finished_by_the_next(
    fake: FakeEngine, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    run = orphan(fake)
    with monkeypatch.context() as patch:
        patch.setattr(keeper, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            keeper.main([run])
    assert f"agentenv-run-{run}" in fake.networks_by_name
    assert keeper.main([run]) == 0
    assert fake.networks_by_name == {}
    found = records.read(run)
    assert found is not None
    assert found.result == RESULT


def test_it_ends_by_force_what_was_stopped_before(fake: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "STOP_SECONDS", 0)
    run = orphan(fake)
    assert keeper.main([run, keeper.STOP]) == 0
    signals = [told.rpartition(" ")[2] for told in fake.told if told.startswith("kill")]
    assert signals == ["SIGTERM", "SIGKILL"]


@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.ReadTimeout(),
        requests.exceptions.ConnectionError("engine restarts"),
        ConnectionResetError(),
        docker.errors.DockerException("engine restarts"),
    ],
)
def test_an_engine_that_is_away_for_a_while_is_asked_again(fake: FakeEngine, error: Exception) -> None:
    away = [error, error]

    def waiting(_: FakeContainer) -> None:
        if away:
            raise away.pop()

    fake.waiting = waiting
    assert keeper.main([orphan(fake)]) == 0
    assert away == []


def test_an_engine_that_stays_away_is_given_up(
    fake: FakeEngine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def waiting(_: FakeContainer) -> None:
        raise ConnectionResetError

    run = orphan(fake)
    fake.waiting = waiting
    monkeypatch.setattr(engine, "PATIENCE_SECONDS", -1.0)
    assert keeper.main([run]) == 3
    assert "stayed away" in capsys.readouterr().err
    # The next command has it all before it.
    fake.waiting = None
    assert keeper.main([run]) == 0


def test_what_the_engine_refuses_is_told_at_once(fake: FakeEngine) -> None:
    def waiting(_: FakeContainer) -> None:
        refusal = requests.Response()
        refusal.status_code = 400
        raise APIError("400", response=refusal, explanation="bad parameter")

    run = orphan(fake)
    fake.waiting = waiting
    with pytest.raises(Failure, match="bad parameter"):
        keeper.wait(fake, run)  # type: ignore[arg-type]


def test_what_is_left_behind_is_a_process_of_its_own(
    fake: FakeEngine, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/socket")
    run = orphan(fake)
    made: list[Any] = []
    popen: Any = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: made.append(popen(*a, **k)))
    keeper.leave(run, records)
    assert os.getsid(made[0].pid) != os.getsid(0)
    assert Path(f"/proc/{made[0].pid}/fd/0").readlink() == Path(os.devnull)
    assert made[0].wait(60) == 3
    assert "engine cannot be reached" in records.path(run, "keeper").read_text()


def test_that_none_can_be_left_behind_is_told(
    fake: FakeEngine, records: Records, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = orphan(fake)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(Failure, match=r"has been started.*agentenv list"):
        keeper.leave(run, records)


def test_a_wait_has_its_limit(fake: FakeEngine) -> None:
    found = keeper.wait(fake, orphan(fake), seconds=0)  # type: ignore[arg-type]
    assert found is not None
    assert found.status == "running"
