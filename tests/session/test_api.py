"""What a service answers whom, without a program of an agent behind it."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest
from agentenv_session import api, bus
from agentenv_session.api import Api
from agentenv_session.bus import Bus
from agentenv_session.layout import Place
from agentenv_session.settings import AgentSettings
from agentenv_session.state import State
from agentenv_session.talks import Talks
from aiohttp import web


async def here() -> Place:
    return Place(Path("/"))


def made() -> tuple[Api, Talks, Bus]:
    events = Bus()
    talks = Talks(AgentSettings("agent", "sonnet"), here, events, lambda *_: None, None, State("s"))
    return Api(talks, events, hashlib.sha256(b"t").hexdigest(), lambda: False), talks, events


@asynccontextmanager
async def served(one: Api | None = None) -> AsyncIterator[int]:
    runner = web.AppRunner((one or made()[0]).application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def status(port: int, token: bytes, body: bytes) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = b"POST /messages HTTP/1.1\r\nhost: a\r\nauthorization: Bearer %s\r\ncontent-length: %d\r\n\r\n"
    writer.write(head % (token, len(body)) + body)
    line = await reader.readline()
    writer.close()
    return int(line.split()[1])


@pytest.mark.parametrize(
    ("token", "body", "wanted"),
    [
        (b"\xff\xfe", b'{"text": "x"}', 401),
        (b"t", b"\xff\xfe", 400),
        (b"t", b'{"text": "\xff"}', 400),
        (b"t", b'{"text": "\\ud800"}', 400),
    ],
)
def test_bytes_that_are_no_text_are_refused(token: bytes, body: bytes, wanted: int) -> None:
    async def asked() -> int:
        async with served() as port:
            return await status(port, token, body)

    assert asyncio.run(asked()) == wanted


class Stalled:
    """A WebSocket whose other end takes nothing."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.problem, self.aborted = problem, False

    async def send_json(self, _: object) -> None:
        """As aiohttp's."""
        if self.problem is not None:
            raise self.problem
        await asyncio.Event().wait()

    def abort(self) -> None:
        """As its transport's."""
        self.aborted = True


def test_a_message_whose_sender_is_gone_leaves_nobody_busy() -> None:
    async def heard() -> bool:
        served_api, talks, events = made()
        with events.listening(set()) as listener:
            socket = cast(web.WebSocketResponse, Stalled(ConnectionResetError()))
            with pytest.raises(ConnectionResetError):
                await served_api._heard(socket, listener, '{"text": "x"}')
        return talks.busy

    assert asyncio.run(heard()) is False


def test_who_takes_no_events_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "HEARTBEAT_SECONDS", 0.05)
    stalled = Stalled()

    async def sent() -> None:
        events = Bus()
        with events.listening(None) as listener:
            events.publish("e", {})
            await api._send(cast(web.WebSocketResponse, stalled), listener, cast(asyncio.Transport, stalled))

    asyncio.run(sent())
    assert stalled.aborted


def test_a_stream_that_nobody_reads_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "HEARTBEAT_SECONDS", 0.2)

    async def read() -> bytes:
        one, _, events = made()
        async with served(one) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
            writer.write(b"GET /events HTTP/1.1\r\nhost: a\r\nauthorization: Bearer t\r\n\r\n")
            assert b"200" in await reader.readexactly(12)
            for _ in range(400):
                events.publish("e", {"text": "x" * bus.MOST_TEXT})
            await asyncio.wait_for(asyncio.to_thread(gone, events), 30)
            found = b""
            with suppress(ConnectionError):
                while data := await reader.read(2**20):
                    found += data
            writer.close()
            return found

    assert not asyncio.run(asyncio.wait_for(read(), 50)).endswith(b"0\r\n\r\n")


def gone(events: Bus) -> None:
    """Wait until nobody listens."""
    while events.listeners:
        time.sleep(0.05)


def test_all_of_the_past_is_heard_again_and_then_what_comes() -> None:
    async def heard() -> list[int]:
        events = Bus()
        for _ in range(bus.MOST_PAST + 10):
            events.publish("e", {"conversation": "c"})
        with events.listening({"c"}, 0) as listener:
            events.publish("e", {"conversation": "c"})
            return [cast(Any, await listener.next()).number for _ in range(bus.MOST_PAST + 1)]

    assert asyncio.run(heard()) == [*range(11, bus.MOST_PAST + 12)]


def test_who_is_too_slow_goes_on_from_where_the_row_ended() -> None:
    async def heard() -> list[int | None]:
        events = Bus()
        for _ in range(3):
            events.publish("e", {})
        with events.listening(None, 0) as listener:
            for _ in range(bus.MOST_WAITING + 1):
                events.publish("e", {})
            return [event.number if (event := await listener.next()) else None for _ in range(4)]

    assert asyncio.run(heard()) == [1, 2, 3, None]


def test_the_past_takes_no_more_memory_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus, "MOST_PAST_BYTES", 300_000)

    async def heard() -> list[bus.Event]:
        events = Bus()
        for _ in range(9):
            events.publish("tool_use", {"conversation": "c", "input": {"text": "x" * 1_000_000}})
        with events.listening(None, 0) as listener:
            return [*listener.past]

    kept = asyncio.run(heard())
    assert [event.number for event in kept] == [6, 7, 8, 9]
    assert all(event.fields["truncated"] and len(json.dumps(event.fields)) < 70_000 for event in kept)
