"""The conversations of a service, with programs that do as they are told: how many run, and how they end."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from agentenv_session import serve, talks
from agentenv_session.bus import Bus
from agentenv_session.conversation import Conversation, TurnResult
from agentenv_session.keeping import Keeper
from agentenv_session.layout import Place
from agentenv_session.outcomes import Outcome
from agentenv_session.policy import GatewayAwayError
from agentenv_session.run import Job
from agentenv_session.settings import AgentSettings
from agentenv_session.state import State
from agentenv_session.talks import Talk, Talks

AGENT = AgentSettings("agent", "sonnet")


def passing() -> asyncio.Event:
    """A gate that is open."""
    gate = asyncio.Event()
    gate.set()
    return gate


class Programs:
    """Stand-ins for an agent's programs; each gate holds up what it is named after."""

    def __init__(self) -> None:
        self.opening, self.turning, self.closing, self.interrupting = passing(), passing(), passing(), passing()
        self.running, self.most, self.turns = 0, 0, 0

    def __call__(self, *_: object, **__: object) -> "Program":
        return Program(self)


class Program:
    """One of them."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs

    async def open(self, **_: object) -> None:
        """As `Conversation`."""
        self._programs.running += 1
        self._programs.most = max(self._programs.most, self._programs.running)
        await self._programs.opening.wait()

    async def turn(self, text: str) -> TurnResult:
        """As `Conversation`."""
        self._programs.turns += 1
        await self._programs.turning.wait()
        return TurnResult(Outcome.SUCCESS, text=text)

    async def interrupt(self) -> None:
        """As `Conversation`."""
        await self._programs.interrupting.wait()

    async def close(self) -> None:
        """As `Conversation`."""
        await self._programs.closing.wait()
        self._programs.running -= 1


async def here() -> Place:
    return Place(Path("/"))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Talks, Programs]]:
    """Makes conversations with such programs; in the event loop, as their locks are its."""

    def make(keeper: Any = None) -> tuple[Talks, Programs]:
        programs = Programs()
        monkeypatch.setattr(talks, "Conversation", programs)
        return Talks(AGENT, here, Bus(), lambda *_: None, cast(Keeper, keeper), State("s")), programs

    return make


Made = Callable[..., tuple[Talks, Programs]]


def begun(all_: Talks, talk: Talk) -> "asyncio.Task[TurnResult]":
    return asyncio.create_task(all_.say(talk, "m", "hi"))


async def settled() -> None:
    """Let everything go on that can."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_no_more_programs_run_than_there_is_room_for(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talks, "MOST_OPEN", 1)

    async def crowd() -> tuple[list[str], int]:
        all_, programs = made()
        found = [all_.enter(None) for _ in range(5)]
        results = await asyncio.gather(*(all_.say(talk, "m", talk.id) for talk in [*found, *found]))
        return [result.text for result in results if result.outcome is Outcome.SUCCESS], programs.most

    answers, most = asyncio.run(crowd())
    assert (len(answers), most) == (10, 1)


def test_a_program_that_makes_room_has_ended_before_its_conversation_goes_on(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talks, "MOST_OPEN", 2)

    async def both() -> tuple[int, bool]:
        all_, programs = made()
        first, second, third = (all_.enter(None) for _ in range(3))
        for talk in (first, second):
            await all_.say(talk, "m", "hi")
        programs.closing.clear()
        other = begun(all_, third)
        await settled()
        again = begun(all_, all_.enter(first.id))
        await settled()
        turns = programs.turns
        programs.closing.set()
        await asyncio.gather(other, again)
        return turns, first.program is not None

    assert asyncio.run(both()) == (2, True)


def test_no_turn_begins_after_the_stop(made: Made) -> None:
    async def stop() -> tuple[Outcome, int, int]:
        all_, programs = made()
        programs.opening.clear()
        working = begun(all_, all_.enter(None))
        await settled()
        stopping = asyncio.create_task(all_.stop(30))
        await settled()
        programs.opening.set()
        result = await working
        assert await stopping
        return result.outcome, programs.turns, programs.running

    assert asyncio.run(stop()) == (Outcome.STOPPED, 0, 0)


class Slow:
    """Keeps what it is given, once it may."""

    def __init__(self) -> None:
        self.begun, self.may = threading.Event(), threading.Event()
        self.saved: list[list[str]] = []

    def save(self, state: State) -> bool:
        """Wait, then look."""
        self.begun.set()
        assert self.may.wait(30)
        self.saved.append([*state.conversations])
        return True


def test_a_stop_saves_though_no_program_answers(made: Made) -> None:
    keeper = Slow()
    keeper.may.set()

    async def stop() -> bool:
        all_, programs = made(keeper)
        programs.turning.clear()
        programs.interrupting.clear()
        working = begun(all_, all_.enter(None))
        await settled()
        kept = await all_.stop(0.05)
        working.cancel()
        return kept

    assert asyncio.run(stop())
    assert len(keeper.saved) == 1


def test_what_is_saved_is_what_there_was_when_the_save_began(made: Made) -> None:
    keeper = Slow()

    async def save() -> list[str]:
        all_, _ = made(keeper)
        before = all_.enter(None)
        saving = asyncio.create_task(all_.save())
        await asyncio.to_thread(keeper.begun.wait, 30)
        all_.enter(None)
        keeper.may.set()
        await saving
        return [before.id]

    assert [asyncio.run(save())] == keeper.saved


def test_a_control_request_that_fails_ends_no_stop() -> None:
    class Client:
        async def interrupt(self) -> None:
            raise Exception("Control request timeout: interrupt")

        disconnect = interrupt

    async def stop() -> None:
        conversation = Conversation(AGENT, Place(Path("/")), lambda *_: None)
        conversation._client = cast(Any, Client())
        await conversation.interrupt()
        await conversation.close()
        assert conversation._client is None

    asyncio.run(stop())


def test_each_program_gets_the_policy_of_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Place | Exception] = [
        GatewayAwayError("away"),
        Place(Path("/"), note="new"),
        GatewayAwayError("away"),
    ]
    told: list[str] = []

    def place_of(*_: object, **__: object) -> Place:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(serve, "place_of", place_of)

    async def prepared() -> list[str]:
        place = serve._places(cast(Job, None), Place(Path("/"), note="old"), lambda event, _: told.append(event))
        return [(await place()).note for _ in range(3)]

    assert asyncio.run(prepared()) == ["old", "new", "new"]
    assert told == ["error", "error"]
