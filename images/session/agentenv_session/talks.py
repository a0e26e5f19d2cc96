"""The conversations of one agent that stays up: turns in their order, programs closed when others need the room."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from claude_agent_sdk import ClaudeSDKError

from agentenv_session.aside import aside
from agentenv_session.bus import Bus
from agentenv_session.conversation import Conversation, TurnResult
from agentenv_session.events import Emit
from agentenv_session.keeping import Keeper
from agentenv_session.layout import Place
from agentenv_session.outcomes import Outcome
from agentenv_session.settings import AgentSettings
from agentenv_session.state import Kept, State
from agentenv_session.transcript import Transcript

MOST_OPEN = 8
"""Programs that run at a time; each takes some 100 MiB."""
MOST_WAITING = 16
"""Messages that wait in one conversation."""
MOST_KEPT = 1000
"""Conversations that are remembered."""
STOP_SECONDS, SAVE_SECONDS = 30, 40
"""For turns to end, and for the last save: with `CLOSE_SECONDS` between them less than the 120 s of the engine."""


_STOPPED = TurnResult(Outcome.STOPPED, error="the session is stopping")


class BusyError(Exception):
    """There is no room for another message now."""


class UnknownError(Exception):
    """There is no such conversation."""


@dataclass
class Talk:
    """One conversation.

    Attributes:
        id: Its id.
        kept: What is saved of it.
        program: The agent's program, while it runs.
        waiting: Messages that wait or are being answered.
        used: When it was last used, by the monotonic clock.
        answering: Whether one is being answered, by a program that runs or starts.
        closing: The end of the program before, until it has ended.
    """

    id: str
    kept: Kept
    program: Conversation | None = None
    waiting: int = 0
    used: float = 0.0
    answering: bool = False
    closing: "asyncio.Future[None] | None" = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Talks:
    """All conversations of one agent.

    `max_turns` holds for each message, the budget for each conversation.

    Args:
        agent: Who answers.
        place: Prepares where its next program runs.
        bus: Told everything that happens.
        emit: Told the same, for the log.
        keeper: Saves after each turn; None where nothing is kept.
        state: What is kept already.
    """

    def __init__(
        self,
        agent: AgentSettings,
        place: Callable[[], Awaitable[Place]],
        bus: Bus,
        emit: Emit,
        keeper: Keeper | None,
        state: State,
    ) -> None:
        self._agent, self._place, self._bus, self._emit = agent, place, bus, emit
        self._keeper, self._state = keeper, state
        self._talks = {name: Talk(name, kept) for name, kept in state.conversations.items()}
        self._saving = asyncio.Lock()
        self._rooms = asyncio.Semaphore(MOST_OPEN)
        self._stopping = False
        self.save_failed = False
        """Whether the last attempt to save went wrong."""
        self.last_used = time.monotonic()
        """When anything last happened."""

    @property
    def busy(self) -> bool:
        """Whether a message waits or is being answered."""
        return any(talk.waiting for talk in self._talks.values())

    def table(self) -> list[dict[str, Any]]:
        """What there is, for people."""
        return [
            {
                "conversation": talk.id,
                "waiting": talk.waiting,
                "turns": talk.kept.turns,
                "cost_usd": round(talk.kept.cost_usd, 6),
            }
            for talk in self._talks.values()
        ]

    def enter(self, conversation: str | None) -> Talk:
        """The conversation that a message goes to, with a place in its queue; a new one for None.

        Raises:
            UnknownError: there is none with this id.
            BusyError: too many messages wait.
        """
        self.last_used = time.monotonic()
        if self._stopping:
            raise BusyError("the session is stopping")
        if conversation is None:
            talk = self._new()
        elif conversation in self._talks:
            talk = self._talks[conversation]
        else:
            raise UnknownError
        if talk.waiting >= MOST_WAITING:
            raise BusyError(f"{MOST_WAITING} messages of this conversation wait already")
        talk.waiting += 1
        talk.used = time.monotonic()
        return talk

    async def say(self, talk: Talk, message: str, text: str) -> TurnResult:
        """Answer a message, once those before it have been answered."""
        try:
            async with talk.turn:
                async with self._rooms:
                    result = _STOPPED if self._stopping else await self._answer(talk, message, text)
                if not self._stopping:
                    await self.save()
                return result
        finally:
            self.leave(talk)

    def leave(self, talk: Talk) -> None:
        """Give back the place in its queue that :meth:`enter` gave."""
        talk.waiting -= 1
        talk.used = self.last_used = time.monotonic()

    async def forget(self, conversation: str) -> None:
        """Close a conversation and remember nothing of it.

        Raises:
            UnknownError: there is none with this id.
            BusyError: it is at work.
        """
        talk = self._talks.get(conversation)
        if talk is None:
            raise UnknownError
        if talk.waiting:
            raise BusyError("a message of this conversation is being answered")
        await self._drop(talk)
        await self.save()

    async def save(self) -> bool:
        """Keep all of it, where it is kept."""
        if self._keeper is not None:
            async with self._saving:
                self.save_failed = not await aside(self._keeper.save, self._state.copy())
        return not self.save_failed

    async def stop(self, seconds: float = STOP_SECONDS) -> bool:
        """Have every turn end within so many seconds, close, and save.

        Returns:
            Whether all is kept.
        """
        self._stopping = True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                programs = [talk.program for talk in self._talks.values() if talk.program is not None]
                await asyncio.gather(*(program.interrupt() for program in programs), return_exceptions=True)
                # Whoever is at work has the turn of its conversation.
                for talk in list(self._talks.values()):
                    async with talk.turn:
                        pass
        await asyncio.gather(*(self._close(talk) for talk in list(self._talks.values())), return_exceptions=True)
        try:
            async with asyncio.timeout(SAVE_SECONDS):
                return await self.save()
        except TimeoutError:
            self._emit("state_save_failed", {"problem": f"it was not done within {SAVE_SECONDS} s"})
            return False

    def _new(self) -> Talk:
        if len(self._talks) >= MOST_KEPT:
            idle = [talk for talk in self._talks.values() if not talk.waiting]
            if not idle:
                raise BusyError("every conversation is at work")
            oldest = min(idle, key=lambda talk: talk.used)
            self._emit("conversation_forgotten", {"conversation": oldest.id})
            self._talks.pop(oldest.id)
            self._state.conversations.pop(oldest.id, None)
        talk = Talk(uuid.uuid4().hex, Kept(Transcript(str(uuid.uuid4()))))
        self._talks[talk.id] = talk
        self._state.conversations[talk.id] = talk.kept
        return talk

    async def _drop(self, talk: Talk) -> None:
        self._talks.pop(talk.id, None)
        self._state.conversations.pop(talk.id, None)
        await self._close(talk)

    async def _close(self, talk: Talk) -> None:
        """End a conversation's program; one that a next message opens begins after that."""
        program, talk.program = talk.program, None
        if program is not None:
            talk.closing = asyncio.ensure_future(program.close())
        closing = talk.closing
        if closing is not None:
            await asyncio.shield(closing)
            if talk.closing is closing:
                talk.closing = None

    async def _answer(self, talk: Talk, message: str, text: str) -> TurnResult:
        budget = self._agent.max_budget_usd
        left = None if budget is None else budget - talk.kept.cost_usd
        if left is not None and left <= 0:
            result = TurnResult(Outcome.LIMIT_REACHED, error="the budget of this conversation is spent")
        else:
            talk.answering = True
            try:
                program = await self._opened(talk, left)
                # Told to stop meanwhile, nobody would interrupt it.
                result = _STOPPED if self._stopping else await program.turn(text)
            except (ClaudeSDKError, OSError) as error:
                result = TurnResult(Outcome.CRASH, error=f"the agent's program does not start: {error}")
            finally:
                talk.answering = False
        talk.kept.turns += result.turns
        talk.kept.cost_usd += result.cost_usd
        if result.outcome is not Outcome.SUCCESS:
            # A program that has failed, or is at a limit, makes room for a new one.
            await self._close(talk)
        self._told(talk, "answer", {"message": message, "outcome": result.outcome.value, "text": result.text})
        return result

    async def _opened(self, talk: Talk, budget: float | None) -> Conversation:
        if talk.program is not None:
            return talk.program
        if talk.closing is not None:
            # It still writes its last lines.
            await asyncio.shield(talk.closing)
        others = [one for one in self._talks.values() if one is not talk]
        resting = [one for one in others if one.program is not None and not one.answering]
        if len(resting) + sum(one.answering for one in others) >= MOST_OPEN and resting:
            await self._close(min(resting, key=lambda one: (one.waiting, one.used)))
        program = Conversation(
            self._agent,
            await self._place(),
            lambda event, fields: self._told(talk, event, fields),
            transcript=talk.kept.transcript,
            conversation=talk.id,
        )
        await program.open(budget_usd=budget)
        talk.program = program
        return program

    def _told(self, talk: Talk, event: str, fields: Mapping[str, object]) -> None:
        told = {"conversation": talk.id, **fields}
        self._emit(event, told)
        self._bus.publish(event, told)
