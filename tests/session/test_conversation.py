"""One agent's conversation, by the real `claude` program: how it starts, fails, is interrupted, and what it is told."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from agentenv_session.conversation import Conversation, TurnResult
from agentenv_session.environment import agent_variables
from agentenv_session.layout import Place
from agentenv_session.outcomes import Outcome
from agentenv_session.settings import AgentSettings, McpServer
from aiohttp import web
from claude_agent_sdk import ClaudeSDKError

from components.models.secrets import Injection
from components.plans.egress import MODEL_REQUESTS
from offline.model_api.server import ModelApi

AGENT = AgentSettings("agent", "sonnet", max_turns=9)
WORKS = 'x\nfake: bash "sleep 30"; say never'
CLAUDE_CODE = "Claude Code"
"""Stands in the program's own instructions, and not in the SDK's few words in their place."""


class Events:
    """What is told, and who waits for it."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Mapping[str, object]]] = []
        self._waiting: dict[str, asyncio.Event] = {}

    def __call__(self, event: str, fields: Mapping[str, object]) -> None:
        self.told.append((event, fields))
        if event in self._waiting:
            self._waiting[event].set()

    async def seen(self, event: str) -> None:
        """Wait for it."""
        waiting = self._waiting.setdefault(event, asyncio.Event())
        if not any(name == event for name, _ in self.told):
            await waiting.wait()

    def problems(self) -> list[object]:
        """Of the turns that have ended."""
        return [fields.get("problem") for name, fields in self.told if name == "turn_ended"]


@pytest.fixture
def place(tmp_path: Path, model: ModelApi, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A folder, and the way to the stand-in."""
    # The program's own word for a container; it runs as root in these tests.
    monkeypatch.setenv("IS_SANDBOX", "1")
    work = tmp_path / "work"
    work.mkdir()
    told = {"AGENTENV_MODEL_ROUTE": model.url}
    variables = agent_variables(told, tmp_path / "home", tmp_path, tmp_path / "policy.json")
    return Place(work, variables | {"CLAUDE_CODE_MAX_RETRIES": "0"})


@asynccontextmanager
async def opened(talk: Conversation) -> AsyncIterator[Conversation]:
    await talk.open()
    try:
        yield talk
    finally:
        await talk.close()


@contextmanager
def left_alone() -> Iterator[set[int]]:
    """Children of this process that come in the block; none is left after it."""
    before, found = children(), set[int]()
    yield found
    assert children() - before == set()


def children() -> set[int]:
    text = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text()
    return {int(number) for number in text.split()}


def program(place: Place) -> int:
    """Process id of the one `claude` that works in this folder."""
    (found,) = [child for child in children() if Path(f"/proc/{child}/cwd").readlink() == place.cwd]
    return found


def until_more(model: ModelApi, asked: int) -> None:
    """Wait until the program asks for more by itself."""
    end = time.monotonic() + 30
    while len(model.requests) == asked:
        assert time.monotonic() < end, "the program asks for nothing"
        time.sleep(0.05)


def said(agent: AgentSettings, place: Place, prompt: str) -> TurnResult:
    """What one turn of a new conversation gives."""

    async def talk() -> TurnResult:
        async with opened(Conversation(agent, place, lambda *_: None)) as conversation:
            return await conversation.turn(prompt)

    return asyncio.run(talk())


def test_an_interrupted_turn_is_stopped_and_the_conversation_goes_on(place: Place) -> None:
    async def talk() -> tuple[TurnResult, TurnResult]:
        events = Events()
        async with opened(Conversation(AGENT, place, events)) as conversation:
            turn = asyncio.create_task(conversation.turn(WORKS))
            await events.seen("tool_use")
            await conversation.interrupt()
            first = await turn
            second = await conversation.turn("x\nfake: say 'still here'")
        assert events.problems() == [None, None]
        return first, second

    with left_alone():
        first, second = asyncio.run(talk())
    assert (first.outcome, first.error) == (Outcome.STOPPED, None)
    assert first.usage["output_tokens"] > 0
    assert (second.outcome, second.text) == (Outcome.SUCCESS, "still here")


def test_a_program_that_is_killed_is_a_crash_that_says_why(place: Place) -> None:
    async def talk() -> list[TurnResult]:
        events = Events()
        async with opened(Conversation(AGENT, place, events)) as conversation:
            turn = asyncio.create_task(conversation.turn(WORKS))
            await events.seen("tool_use")
            os.kill(program(place), signal.SIGKILL)
            return [await turn, await conversation.turn("x")]

    with left_alone():
        results = asyncio.run(talk())
    assert [result.outcome for result in results] == [Outcome.CRASH] * 2
    assert "Fix: raise resources.memory_gib" in str(results[0].error)
    assert all("\n" not in str(result.error) for result in results)


@pytest.mark.parametrize("wrong", ["program", "folder"])
def test_a_program_that_does_not_start_is_one_kind_of_error(place: Place, tmp_path: Path, wrong: str) -> None:
    broken = tmp_path / "claude"
    broken.write_text("#!/bin/sh\necho it is broken >&2\nexit 3\n")
    broken.chmod(0o755)
    there = Place(place.cwd if wrong == "program" else tmp_path / "nowhere", place.variables, cli=broken)
    with left_alone(), pytest.raises(ClaudeSDKError, match="the claude program does not start") as error:
        asyncio.run(Conversation(AGENT, there, lambda *_: None).open())
    assert "\n" not in str(error.value)
    assert ("it is broken" in str(error.value)) == (wrong == "program")


@pytest.mark.parametrize("note", ["", "This network is fenced."])
def test_the_note_follows_the_agents_instructions_or_the_programs_own(place: Place, model: ModelApi, note: str) -> None:
    there = Place(place.cwd, place.variables, note)
    said(AGENT, there, "x\nfake: say a")
    own = model.requests[-1].system
    assert CLAUDE_CODE in own
    assert len(own) > 1000
    assert note in own
    said(AgentSettings("agent", "sonnet", system="You are a careful clerk."), there, "x\nfake: say a")
    given = model.requests[-1].system
    assert "You are a careful clerk." in given
    assert given.rstrip().endswith(note or "clerk.")
    assert len(given) < 1000


HELPER = """x
fake: tool Agent '{"description": "d", "prompt": "y\\nfake: slow 1; say helped", "subagent_type": "general-purpose"}'
fake: tell"""


def test_a_turn_ends_after_the_helpers_that_it_has_begun(place: Place) -> None:
    async def talk() -> list[TurnResult]:
        async with opened(Conversation(AGENT, place, lambda *_: None)) as conversation:
            return [await conversation.turn(HELPER), await conversation.turn("x\nfake: say two")]

    first, second = asyncio.run(talk())
    assert "helped" in first.text
    assert second.text == "two"


def test_a_task_in_the_background_answers_no_later_prompt(place: Place, tmp_path: Path, model: ModelApi) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    task = json.dumps({"command": f"cat {gate}", "run_in_background": True, "description": "d"})
    variables = {name: value for name, value in place.variables.items() if not name.endswith("BACKGROUND_TASKS")}

    async def talk() -> list[TurnResult]:
        there = Place(place.cwd, variables)
        async with opened(Conversation(AGENT, there, lambda *_: None)) as conversation:
            first = await conversation.turn(f"x\nfake: tool Bash '{task}'; say started")
            asked = len(model.requests)
            await asyncio.to_thread(gate.write_text, "done")
            await asyncio.to_thread(until_more, model, asked)
            return [first, await conversation.turn("x\nfake: say two"), await conversation.turn("x\nfake: say three")]

    assert [result.text for result in asyncio.run(talk())] == ["started", "two", "three"]


def test_the_program_asks_nothing_that_the_models_route_would_refuse(place: Place, model: ModelApi) -> None:
    assert said(AGENT, place, "x\nfake: bash true; say done").text == "done"
    route = Injection(origin="https://api.anthropic.com", header="x-api-key", paths=MODEL_REQUESTS)
    asked = {f"{request.method} {request.path.partition('?')[0]}" for request in model.requests}
    assert "POST /v1/messages" in asked
    assert [one for one in sorted(asked) if not route.covers(one)] == []


@asynccontextmanager
async def running_mcp_server() -> AsyncIterator[str]:
    """An MCP server with one tool, over HTTP."""
    tool = {"name": "weigh", "description": "Weighs", "inputSchema": {"type": "object"}}
    answers: dict[str, dict[str, Any]] = {
        "initialize": {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "scales", "version": "1"},
        },
        "tools/list": {"tools": [tool]},
        "tools/call": {"content": [{"type": "text", "text": "12 kg"}]},
    }

    async def answer(request: web.Request) -> web.Response:
        asked = await request.json()
        if "id" not in asked:
            return web.Response(status=202)
        result = answers.get(asked["method"], {})
        return web.json_response({"jsonrpc": "2.0", "id": asked["id"], "result": result})

    app = web.Application()
    app.router.add_post("/mcp", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/mcp"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("allowed", [(), ("mcp__scales__weigh",), ("mcp__scales",), ("Read",)])
def test_an_agent_uses_the_tools_of_its_mcp_server_as_far_as_they_are_allowed(
    place: Place, allowed: tuple[str, ...]
) -> None:
    async def talk() -> Events:
        events = Events()
        async with running_mcp_server() as url:
            agent = AgentSettings("agent", "sonnet", None, 5, None, (McpServer("scales", url),), allowed)
            async with opened(Conversation(agent, place, events)) as conversation:
                await conversation.turn("x\nfake: tool mcp__scales__weigh {}; say done")
        return events

    (result,) = [fields for name, fields in asyncio.run(talk()).told if name == "tool_result"]
    refused = allowed == ("Read",)
    assert result["is_error"] is refused
    assert ("12 kg" in str(result["text"])) is not refused


def test_a_conversation_that_is_opened_anew_counts_from_there(place: Place) -> None:
    async def talk() -> list[TurnResult]:
        conversation = Conversation(AGENT, place, lambda *_: None)
        results = []
        for prompt in ("a\nfake: usage 1000 10; say one", "b\nfake: usage 1000 10; say two"):
            await conversation.open(turns=3)
            results.append(await conversation.turn(prompt))
            await conversation.close()
        return results

    first, second = asyncio.run(talk())
    assert (first.turns, second.turns) == (1, 1)
    assert second.cost_usd == pytest.approx(first.cost_usd)
    assert first.session_id == second.session_id
