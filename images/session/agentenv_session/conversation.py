"""One agent's conversation with the model, by the Agent SDK and the `claude` program that comes with it."""

import asyncio
import signal
import uuid
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    ClaudeSDKError,
    ProcessError,
    ResultMessage,
    SessionStore,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
    UserMessage,
)

from agentenv_session.events import Emit
from agentenv_session.layout import Place
from agentenv_session.outcomes import Outcome
from agentenv_session.policy import REFUSALS, refusal
from agentenv_session.settings import AgentSettings
from agentenv_session.transcript import Transcript

CLOSE_SECONDS = 25
"""For a program to end: the SDK kills it within 20 s."""
_STDERR_LINES = 20
_MOST_SAID = 1000
_MOST_BUFFER = 64 * 1024 * 1024


@dataclass(frozen=True)
class TurnResult:
    """How one turn ended.

    Attributes:
        outcome: In a word.
        text: The agent's final answer.
        error: What went wrong, one line; None when nothing did.
        turns: Requests of the agent loop that it took.
        cost_usd: What it cost by list price; 0 where that is not known.
        usage: Tokens, as the API counts them.
        session_id: The SDK's id of the conversation.
    """

    outcome: Outcome
    text: str = ""
    error: str | None = None
    turns: int = 0
    cost_usd: float = 0.0
    usage: Mapping[str, Any] = field(default_factory=dict)
    session_id: str = ""


class Conversation:
    """One agent's conversation; turns run one after another.

    The container is the sandbox, so no tool asks for permission. Where `allowed_tools` names some, the others are not
    there: the program tells the model so, and denies what a pattern like `Bash(git *)` does not cover.

    Args:
        agent: Who.
        place: Where its program runs.
        emit: Told what happens.
        transcript: Where the conversation is mirrored to; with entries of an earlier run to go on with it.
        conversation: Its id, in events.
    """

    def __init__(
        self,
        agent: AgentSettings,
        place: Place,
        emit: Emit,
        *,
        transcript: Transcript | None = None,
        conversation: str = "",
    ) -> None:
        self._agent, self._place, self._emit = agent, place, emit
        self.transcript = transcript or Transcript(str(uuid.uuid4()))
        self.conversation = conversation
        self._client: ClaudeSDKClient | None = None
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self._turn = 0
        self._interrupted = False
        self._spent_before = 0.0

    async def open(self, *, turns: int | None = None, budget_usd: float | None = None) -> None:
        """Start the program; it goes on where the transcript ends, if that has entries.

        Args:
            turns: What is left of the agent's `max_turns`; None for all of it.
            budget_usd: What is left of its budget; None for all of it.

        Raises:
            ClaudeSDKError: it does not start.
        """
        self._spent_before = 0.0
        self._stderr.clear()
        client = ClaudeSDKClient(self._options(turns, budget_usd))
        try:
            await client.connect()
        except BaseException as error:
            with suppress(Exception):
                await client.disconnect()
            if not isinstance(error, Exception):
                raise
            # The SDK also raises what is no error of its own, for a program that answers nothing for instance.
            raise ClaudeSDKError(f"the claude program does not start: {self._problem(error)}") from error
        self._client = client

    async def turn(self, text: str) -> TurnResult:
        """Say something, and wait for the agent to be done with it. Never raises for what the agent or the API does."""
        self._turn += 1
        self._interrupted = False
        self._emit("turn_started", {"turn": self._turn})
        try:
            result = await self._turned(text)
        except Exception as error:  # noqa: BLE001 - the SDK also raises what is no error of its own
            result = TurnResult(Outcome.CRASH, error=self._problem(error), session_id=self.transcript.session_id)
        if self._interrupted and result.outcome is not Outcome.SUCCESS:
            result = replace(result, outcome=Outcome.STOPPED, error=None)
        self._emit(
            "turn_ended",
            {
                "turn": self._turn,
                "outcome": result.outcome.value,
                "turns": result.turns,
                "cost_usd": result.cost_usd,
                "usage": result.usage,
                **({"problem": result.error} if result.error else {}),
            },
        )
        return result

    async def interrupt(self) -> None:
        """Have the turn that runs end soon, as stopped."""
        self._interrupted = True
        if self._client is not None:
            # The SDK also raises what is no error of its own, for an answer that does not come for instance.
            with suppress(Exception):
                await self._client.interrupt()

    async def close(self) -> None:
        """End the program. Never raises, and takes no longer than `CLOSE_SECONDS`."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await client.disconnect()

    async def _turned(self, text: str) -> TurnResult:
        client = self._client
        if client is None:
            raise RuntimeError("the conversation is not open")
        prompt = str(uuid.uuid4())
        await client.query(_message(text, prompt))
        said = ""
        async for message in client.receive_messages():
            if isinstance(message, AssistantMessage):
                said = self._told(message) or said
            elif isinstance(message, UserMessage):
                self._results(message)
            elif isinstance(message, ResultMessage):
                if _answers(message, prompt):
                    return await self._ended(message, said)
                said = ""
        raise RuntimeError("the claude program ended in the middle of a turn")

    def _told(self, message: AssistantMessage) -> str:
        texts = []
        for block in message.content:
            if isinstance(block, TextBlock):
                texts.append(block.text)
                self._emit("assistant_text", {"text": block.text})
            elif isinstance(block, ToolUseBlock):
                self._emit("tool_use", {"tool": block.name, "id": block.id, "input": block.input})
        return "".join(texts)

    def _results(self, message: UserMessage) -> None:
        for block in message.content if isinstance(message.content, list) else ():
            if isinstance(block, ToolResultBlock):
                self._emit(
                    "tool_result",
                    {"id": block.tool_use_id, "is_error": bool(block.is_error), "text": _text(block.content)},
                )

    async def _ended(self, message: ResultMessage, said: str) -> TurnResult:
        spent = message.total_cost_usd or 0.0
        # The program counts from its start.
        cost, self._spent_before = max(spent - self._spent_before, 0.0), spent
        outcome, error = _judged(message)
        route = self._place.variables.get("ANTHROPIC_BASE_URL")
        if outcome is Outcome.AGENT_ERROR and message.api_error_status in REFUSALS and route:
            # The program tells the status and a message; only the gateway's own answer tells who has said no.
            rule = await asyncio.to_thread(refusal, route)
            if rule:
                outcome, error = Outcome.REFUSED_BY_POLICY, f"{error} (gateway: {rule})"
        return TurnResult(
            outcome=outcome,
            text=(message.result or said) if outcome is Outcome.SUCCESS else said,
            error=error,
            turns=message.num_turns,
            cost_usd=round(cost, 6),
            usage=message.usage or {},
            session_id=message.session_id,
        )

    def _options(self, turns: int | None, budget_usd: float | None) -> ClaudeAgentOptions:
        agent, place = self._agent, self._place
        options = ClaudeAgentOptions(
            cwd=place.cwd,
            env=dict(place.variables),
            model=agent.model,
            max_turns=agent.max_turns if turns is None else turns,
            max_budget_usd=agent.max_budget_usd if budget_usd is None else budget_usd,
            mcp_servers={one.name: {"type": _transport(one.url), "url": one.url} for one in agent.mcp_servers},  # type: ignore[misc]
            strict_mcp_config=True,
            setting_sources=[],
            session_store=cast(SessionStore, self.transcript),
            stderr=self._stderr.append,
            max_buffer_size=_MOST_BUFFER,
        )
        if place.cli is not None:
            options.cli_path = place.cli
        if agent.system is not None:
            options.system_prompt = f"{agent.system}\n\n{place.note}".strip()
        else:
            # Without a word of this, the SDK leaves the program's own instructions out.
            options.system_prompt = {"type": "preset", "preset": "claude_code", "append": place.note}
        mode, options.tools, options.allowed_tools = _tools(agent.allowed_tools)
        options.permission_mode = mode
        if self.transcript.empty:
            options.session_id = self.transcript.session_id
        else:
            options.resume = self.transcript.session_id
        return options

    def _problem(self, error: BaseException) -> str:
        """What went wrong, in one line, with the last words of the program."""
        code = error.exit_code if isinstance(error, ProcessError) else None
        if code == -signal.SIGKILL:
            problem = "the claude program was killed, perhaps for want of memory. Fix: raise resources.memory_gib"
        else:
            problem = " ".join(str(error).split()) or repr(error)
        said = " ".join(" ".join(self._stderr).split())
        return problem + (f": {said[-_MOST_SAID:]}" if said else "")


def _tools(
    allowed: tuple[str, ...],
) -> tuple[Literal["bypassPermissions", "dontAsk"], list[str] | None, list[str]]:
    """Permission mode, the built-in tools that are there (None: all), and what runs without asking."""
    if not allowed:
        return "bypassPermissions", None, []
    built_in = [name.partition("(")[0] for name in allowed if not name.startswith("mcp__")]
    return "dontAsk", list(dict.fromkeys(built_in)), list(allowed)


async def _message(text: str, prompt: str) -> AsyncIterator[dict[str, Any]]:
    """One message of the user; by its id, a result tells whether it answers it."""
    yield {
        "type": "user",
        "message": {"role": "user", "content": text},
        "parent_tool_use_id": None,
        "session_id": "default",
        "uuid": prompt,
    }


def _answers(message: ResultMessage, prompt: str) -> bool:
    """Whether a result is the end of this prompt's turn, and not of one that a task in the background has begun."""
    injected = message.origin is not None and message.origin.get("kind") == "task-notification"
    return not injected or prompt in (message.user_message_uuids or ())


def _transport(url: str) -> str:
    return "sse" if url.rstrip("/").endswith("/sse") else "http"


def _judged(message: ResultMessage) -> tuple[Outcome, str | None]:
    if message.subtype in ("error_max_turns", "error_max_budget_usd"):
        return Outcome.LIMIT_REACHED, "; ".join(message.errors or []) or message.subtype
    if not message.is_error:
        return Outcome.SUCCESS, None
    return Outcome.AGENT_ERROR, message.result or "; ".join(message.errors or []) or message.subtype


def _text(content: str | list[dict[str, Any]] | None) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content)
    return content or ""
