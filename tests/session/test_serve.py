"""An agent that stays up, with the real `claude` program: HTTP, WebSocket, events, idle stop and state."""

import asyncio
import json
import shutil
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from tests.session.box import AGENT, TOKEN, TOKEN_HASH, Box, ended, until

HEADERS = {"authorization": f"Bearer {TOKEN}"}
Work = Callable[[aiohttp.ClientSession], Awaitable[Any]]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Service:
    """A session that serves."""

    process: Any
    url: str
    seen: list[dict[str, Any]]

    def ask(self, work: Work) -> Any:
        """Do something with a client that has the token."""

        async def asked() -> Any:
            timeout = aiohttp.ClientTimeout(total=30)
            async with aiohttp.ClientSession(self.url, headers=HEADERS, timeout=timeout) as client:
                return await work(client)

        return asyncio.run(asked())

    def say(self, text: str, conversation: str | None = None) -> dict[str, Any]:
        """A message, and its answer."""

        async def said(client: aiohttp.ClientSession) -> Any:
            body = {"text": text, **({"conversation": conversation} if conversation else {})}
            async with client.post("/messages?wait=true", json=body) as answer:
                assert answer.status == 200, await answer.text()
                return await answer.json()

        return dict(self.ask(said))


def declared(box: Box, port: int, **fields: Any) -> str:
    return box.declaration(pattern="long_running", ports=[port], token_sha256=TOKEN_HASH, **fields)


@pytest.fixture
def service(box: Box) -> Iterator[Service]:
    port = free_port()
    with box.serving(declared(box, port)) as process:
        seen = until(process, "serving")
        yield Service(process, f"http://127.0.0.1:{port}", seen)


def test_conversations_keep_their_histories_apart(service: Service) -> None:
    first = service.say('x\nfake: say "one"')
    other = service.say('x\nfake: say "two"')
    assert (first["outcome"], first["text"], other["text"]) == ("success", "one", "two")
    assert first["conversation"] != other["conversation"]
    again = service.say("x\nfake: echo", first["conversation"])
    assert json.loads(again["text"])["answers"] == ["one"]


def test_nobody_is_served_without_the_token(service: Service) -> None:
    async def strangers(_: aiohttp.ClientSession) -> list[int]:
        found = []
        async with aiohttp.ClientSession(service.url) as client:
            for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}):
                async with client.post("/messages", json={"text": "x"}, headers=headers) as answer:
                    found.append(answer.status)
                async with client.get("/ws", headers=headers) as answer:
                    found.append(answer.status)
            async with client.get("/healthz") as answer:
                assert await answer.json() == {"status": "ok"}
        return found

    assert service.ask(strangers) == [401] * 6


BAD = [
    (b"{", 400, "body"),
    (b"[]", 400, "body"),
    (b'{"text": ""}', 400, "body"),
    (b'{"text": 1}', 400, "body"),
    (b"[" * 100_000, 400, "body"),
    (b'{"text": "x", "conversation": 1}', 400, "body"),
    (b'{"text": "x", "conversation": "none"}', 404, "conversation"),
    (b'{"text": "' + b"x" * 300_000 + b'"}', 413, "size"),
]


def test_what_is_no_message_is_refused_with_a_fix(service: Service) -> None:
    async def bad(client: aiohttp.ClientSession) -> list[tuple[int, str]]:
        found = []
        for body, _, _ in BAD:
            async with client.post("/messages", data=body) as answer:
                error = (await answer.json())["error"]
                assert error["fix"]
                found.append((answer.status, error["rule"]))
        async with client.get("/nothing") as answer:
            found.append((answer.status, (await answer.json())["error"]["rule"]))
        return found

    assert service.ask(bad) == [*[(status, rule) for _, status, rule in BAD], (404, "request")]


def test_a_browser_talks_by_web_socket(service: Service) -> None:
    async def browser(_: aiohttp.ClientSession) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        protocols = ("agentenv", f"bearer.{TOKEN}")
        async with (
            aiohttp.ClientSession(service.url) as client,
            client.ws_connect("/ws", protocols=protocols, headers={"origin": "https://example.com"}) as page,
        ):
            assert page.protocol == "agentenv"
            await page.send_str("{")
            await page.send_json({"type": "message", "text": 'x\nfake: bash "echo hi"; say "by socket"'})
            async for message in page:
                found.append(json.loads(message.data))
                if found[-1].get("event") == "answer":
                    break
        return found

    found = service.ask(browser)
    assert found[0]["error"]["rule"] == "body"
    assert found[1]["type"] == "accepted"
    assert {"tool_use", "tool_result", "turn_ended"} <= {one.get("event") for one in found}
    assert found[-1]["text"] == "by socket"
    assert {one["conversation"] for one in found[1:]} == {found[1]["conversation"]}


def test_events_can_be_heard_again_from_where_somebody_stopped(service: Service) -> None:
    conversation = service.say('x\nfake: say "one"')["conversation"]

    async def heard(client: aiohttp.ClientSession) -> list[str]:
        names = []
        async with client.get(f"/events?conversation={conversation}", headers={"last-event-id": "0"}) as answer:
            assert answer.headers["content-type"] == "text/event-stream"
            async for line in answer.content:
                if line.startswith(b"event: "):
                    names.append(line.removeprefix(b"event: ").strip().decode())
                    if names[-1] == "answer":
                        return names
        return names

    assert service.ask(heard) == ["turn_started", "assistant_text", "turn_ended", "answer"]


def test_messages_wait_for_their_turn_and_too_many_are_turned_away(service: Service) -> None:
    conversation = service.say('x\nfake: say "one"')["conversation"]

    async def crowd(client: aiohttp.ClientSession) -> list[int]:
        body = {"text": 'x\nfake: slow 0.2; say "late"', "conversation": conversation}

        async def one() -> int:
            async with client.post("/messages", json=body) as answer:
                if answer.status == 429:
                    assert answer.headers["retry-after"]
                return answer.status

        return await asyncio.gather(*(one() for _ in range(20)))

    statuses = service.ask(crowd)
    assert statuses.count(202) == 16
    assert statuses.count(429) == 4


def test_a_conversation_can_be_forgotten(service: Service) -> None:
    conversation = service.say('x\nfake: say "one"')["conversation"]

    async def forget(client: aiohttp.ClientSession) -> tuple[int, int, Any]:
        async with client.delete(f"/conversations/{conversation}") as first:
            pass
        async with client.delete(f"/conversations/{conversation}") as second:
            pass
        async with client.get("/conversations") as table:
            return first.status, second.status, await table.json()

    assert service.ask(forget) == (204, 404, {"conversations": []})


def test_a_limit_ends_the_message_and_not_the_conversation(service: Service) -> None:
    first = service.say('x\nfake: repeat 20 bash "true"; say never')
    assert first["outcome"] == "limit_reached"
    again = service.say('x\nfake: say "still here"', first["conversation"])
    assert again["text"] == "still here"


def test_told_to_stop_it_ends_well(service: Service) -> None:
    service.process.send_signal(signal.SIGTERM)
    seen = ended(service.process)
    assert seen.code == 0
    assert seen.of("session_ended")[0]["outcome"] == "success"


def test_idle_it_keeps_its_conversations_and_goes_on_with_them_later(box: Box) -> None:
    port = free_port()
    # One second is less than a stack file may say, and enough here.
    told = declared(box, port, idle_timeout=1)
    with box.serving(told, AGENTENV_STATE="volume") as process:
        service = Service(process, f"http://127.0.0.1:{port}", until(process, "serving"))
        first = service.say('x\nfake: bash "echo kept > note"; say "one"')
        seen = ended(process)
    assert seen.code == 0
    assert seen.of("idle")
    box.fresh()
    with box.serving(told, AGENTENV_STATE="volume") as process:
        service = Service(process, f"http://127.0.0.1:{port}", until(process, "serving"))
        again = service.say("x\nfake: read note; echo", first["conversation"])
    assert json.loads(again["text"])["answers"] == ["one"]
    assert "kept" in json.loads(again["text"])["tool_result"]


def test_stopped_in_a_turn_it_keeps_what_was_done_and_goes_on_later(box: Box) -> None:
    port = free_port()
    prompt = 'x\nfake: bash "echo kept > note"; bash "tail -f /dev/null"; say never'

    async def begin(client: aiohttp.ClientSession) -> str:
        async with client.post("/messages", json={"text": prompt}) as answer:
            return str((await answer.json())["conversation"])

    with box.serving(declared(box, port), AGENTENV_STATE="volume") as process:
        service = Service(process, f"http://127.0.0.1:{port}", until(process, "serving"))
        conversation = service.ask(begin)
        until(process, "tool_result")
        until(process, "tool_use")
        process.send_signal(signal.SIGTERM)
        seen = ended(process)
    assert seen.code == 0
    assert [one["outcome"] for one in seen.of("answer")] == ["stopped"]
    assert [one["event"] for one in seen.events[-2:]] == ["state_saved", "session_ended"]
    box.fresh()
    with box.serving(declared(box, port), AGENTENV_STATE="volume") as process:
        service = Service(process, f"http://127.0.0.1:{port}", until(process, "serving"))
        again = json.loads(service.say("x\nfake: read note; echo", conversation)["text"])
    assert "bash" in again["prompts"][0]
    assert "kept" in again["tool_result"]


def test_a_save_that_fails_at_the_stop_is_loud(box: Box) -> None:
    port = free_port()
    with box.serving(declared(box, port), AGENTENV_STATE="volume") as process:
        service = Service(process, f"http://127.0.0.1:{port}", until(process, "serving"))
        shutil.rmtree(box.state)
        service.say('x\nfake: say "one"')
        process.send_signal(signal.SIGTERM)
        seen = ended(process)
    assert seen.code == 13
    assert seen.of("state_save_failed")


def test_without_a_token_or_a_port_nothing_is_served(box: Box) -> None:
    seen = box.run(declared=box.declaration(pattern="long_running", agent=AGENT, ports=[1024]))
    assert seen.code == 78
    assert "token_sha256" in seen.of("error")[0]["problem"]


def test_a_keeper_with_capabilities_starts_nothing(box: Box) -> None:
    with box.started({"prompt": "x"}, "keeper", "agent", "0") as process:
        seen = ended(process)
    assert seen.code == 78
    assert "capabilities" in seen.errors
    assert not (box.workspace / "agent").exists()
