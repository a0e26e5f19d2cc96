"""A run that is to stop while it waits for something else than its agent."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from agentenv_session import run, serve
from agentenv_session.aside import aside, done_before
from agentenv_session.conversation import Conversation
from agentenv_session.keeping import Keeper
from agentenv_session.layout import Layout
from agentenv_session.outcomes import Outcome
from agentenv_session.results import AgentResult
from agentenv_session.settings import AgentSettings, Declaration, Task
from agentenv_session.state import State

from tests.session.box import Box, ended

REPOSITORY = {"type": "github_repository", "url": "https://github.com/o/r"}


@pytest.fixture
def slow_git(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A PATH with a `git` that says when it has begun, and ends after the test; and where it says so."""
    begun, end = tmp_path / "begun", tmp_path / "end"
    for pipe in (begun, end):
        os.mkfifo(pipe)
    git = tmp_path / "bin/git"
    git.parent.mkdir()
    git.write_text(f'#!/bin/sh\necho begun > "{begun}"\nread -r line < "{end}"\n')
    git.chmod(0o755)
    held = os.open(end, os.O_RDWR)
    yield f"{git.parent}:{os.environ['PATH']}", begun
    os.close(held)


def test_a_run_that_still_fetches_its_mounts_stops_at_once(box: Box, slow_git: tuple[str, Path]) -> None:
    path, begun = slow_git
    declared = box.declaration(mounts=[REPOSITORY])
    with box.started({"prompt": "x\nfake: say a"}, declared=declared, PATH=path) as process:
        assert begun.read_text() == "begun\n"
        process.send_signal(signal.SIGTERM)
        seen = ended(process)
    assert (seen.code, seen.result["outcome"]) == (143, "stopped")
    assert seen.of("turn_started") == []


class Stuck:
    """A store that takes no end."""

    def __init__(self) -> None:
        self.calls = 0
        self.end = threading.Event()

    def save(self, _: State) -> bool:
        """Wait for the end."""
        self.calls += 1
        return self.end.wait()


def test_a_last_save_that_takes_too_long_is_loud_and_not_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "SAVE_SECONDS", 0.05)
    told: list[tuple[str, Any]] = []
    stuck = Stuck()

    async def stop() -> list[bool]:
        one = run._Run(cast(run.Job, None), lambda *event: told.append(event), AgentResult("a"), "c")
        one.keeper, one.state = cast(Keeper, stuck), State("s")
        one.stopping.set()
        return [await one._save(), await one._save()]

    try:
        assert asyncio.run(stop()) == [False, False]
    finally:
        stuck.end.set()
    assert stuck.calls == 1
    assert [event for event, _ in told] == ["state_save_failed"]


class Starting:
    """A program that is long in starting."""

    def __init__(self) -> None:
        self.ended = False

    async def open(self, **_: object) -> None:
        """Wait for what does not come."""
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True

    async def close(self) -> None:
        """There is none before it."""


def test_a_program_that_is_long_in_starting_holds_up_no_stop() -> None:
    starting = Starting()
    job = run.Job(
        cast(Declaration, None), cast(Task, None), AgentSettings("a", "m"), {}, Layout(), Path(), Path(), Path()
    )
    result = AgentResult("a")

    async def stop() -> bool:
        one = run._Run(job, lambda *_: None, result, "c")
        one.stopping.set()
        async with asyncio.timeout(10):
            return await one._ready(cast(Conversation, starting), 0)

    assert asyncio.run(stop()) is False
    assert (result.outcome, starting.ended) == (Outcome.STOPPED, True)


def test_a_service_that_fails_says_how_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, Any]] = []
    agent = AgentSettings("a", "m")
    declaration = Declaration("s", "e", "long_running", (agent,), ports=(1024,), token_sha256="0" * 64)
    job = run.Job(declaration, Task(), agent, {}, Layout(), Path(), Path(), Path())

    async def fail(*_: object) -> Outcome:
        raise RuntimeError("dictionary changed size during iteration")

    monkeypatch.setattr(serve, "_serve", fail)
    assert serve.main(job, lambda *event: told.append(event)) == 70
    assert [event for event, _ in told] == ["error", "session_ended"]


def test_what_is_called_aside_gives_raises_or_is_left_alone() -> None:
    end = threading.Event()

    def fail() -> None:
        raise ValueError("wrong")

    async def call() -> None:
        assert await aside(int, "7") == 7
        with pytest.raises(ValueError, match="wrong"):
            await aside(fail)
        asked = asyncio.Event()
        assert await done_before(asked, aside(int, "7"))
        waiting = aside(end.wait)
        asked.set()
        assert not await done_before(asked, waiting)
        waiting.cancel()

    # A pool's thread would be waited for here, for ever.
    asyncio.run(call())
    end.set()
