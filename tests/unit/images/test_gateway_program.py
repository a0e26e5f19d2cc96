"""The gateway that refuses everything: over real sockets on loopback."""

import asyncio
import http.client
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.unit.images.programs import program

gateway = program("egress-gateway", "gateway")
Log = list[dict[str, Any]]


def asked(*requests: bytes, head_seconds: float = 5.0) -> tuple[list[bytes], Log]:
    """Send each request on a connection of its own; give all answers and the log."""
    log: Log = []

    async def talk(proxy_port: int, _health_port: int) -> list[bytes]:
        return [await exchange(proxy_port, request) for request in requests]

    return serving(talk, log, head_seconds), log


async def exchange(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        await writer.drain()
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()
        await writer.wait_closed()


def serving(talk: Callable[[int, int], Awaitable[Any]], log: Log, head_seconds: float = 5.0) -> Any:
    async def main() -> Any:
        server = gateway.Gateway(log.append, head_seconds)
        ports = await server.start("127.0.0.1", 0, 0)
        try:
            return await talk(*ports)
        finally:
            await server.stop()

    # Not asyncio.run, which leaves the thread without an event loop for the tests that come after.
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(main())
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def parts(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return int(status.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body


@pytest.mark.parametrize(
    ("request_", "method", "target"),
    [
        (
            b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n",
            "CONNECT",
            "api.example.com:443",
        ),
        (b"GET http://example.test/x HTTP/1.1\r\nHost: example.test\r\n\r\n", "GET", "http://example.test/x"),
        (b"POST / HTTP/1.1\r\nHost: gateway\r\nContent-Length: 4\r\n\r\nbody", "POST", "/"),
        (b"OPTIONS * HTTP/1.1\r\nHost: gateway\r\n\r\n", "OPTIONS", "*"),
        (b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n", "GET", "/healthz"),
        (b"GET / HTTP/1.0\r\n\r\n", "GET", "/"),
    ],
)
def test_every_request_is_refused_with_a_reason(request_: bytes, method: str, target: str) -> None:
    (answer,), log = asked(request_)
    status, headers, body = parts(answer)
    assert status == 403
    assert headers["x-egress-rule"] == "no-policy"
    assert headers["connection"] == "close"
    told = json.loads(body)
    assert told["rule"] == "no-policy"
    assert told["retry"] is False
    assert "Retrying" in told["message"]
    assert "owner" in told["message"]
    assert log == [{"event": "denied", "rule": "no-policy", "client": "127.0.0.1", "method": method, "target": target}]


def test_a_head_request_gets_no_body() -> None:
    (answer,), _ = asked(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
    status, headers, body = parts(answer)
    assert (status, body) == (403, b"")
    assert int(headers["content-length"]) > 0


@pytest.mark.parametrize(
    ("request_", "status", "rule"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "malformed-request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "malformed-request"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "malformed-request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 20_000 + b"\r\n\r\n", 431, "head-too-large"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 20_000, 431, "head-too-large"),
    ],
)
def test_what_is_no_request_is_refused_too(request_: bytes, status: int, rule: str) -> None:
    (answer,), log = asked(request_)
    found, headers, body = parts(answer)
    assert (found, headers["x-egress-rule"], json.loads(body)["rule"]) == (status, rule, rule)
    assert [record["rule"] for record in log] == [rule]


def test_a_slow_head_is_not_waited_for() -> None:
    (answer,), log = asked(b"GET / HTTP/1.1\r\n", head_seconds=0.2)
    assert parts(answer)[0] == 408
    assert log[0]["rule"] == "head-too-slow"


@pytest.mark.parametrize("raw", [b"\x1b[2J", b"\xff", b"\x00", b"\x7f", b"\r", b"a b"])
def test_bytes_that_would_act_on_a_terminal_are_no_request_and_not_logged(raw: bytes) -> None:
    (answer,), log = asked(b"GET /" + raw + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert parts(answer)[0] == 400
    assert (log[0]["method"], log[0]["target"]) == (None, None)


def test_a_long_target_is_cut_in_the_log() -> None:
    _, log = asked(b"GET /" + b"z" * 2000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert log[0]["target"] == "/" + "z" * 511 + "... (2001 bytes)"


def test_a_client_that_leaves_is_no_refusal_and_no_crash() -> None:
    async def talk(proxy_port: int, _health_port: int) -> bytes:
        socket.create_connection(("127.0.0.1", proxy_port)).close()
        await asyncio.sleep(0.1)
        return await exchange(proxy_port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

    log: Log = []
    assert parts(serving(talk, log))[0] == 403
    assert len(log) == 1


def test_the_health_port_answers_on_loopback_and_the_check_hears_it() -> None:
    async def talk(_proxy_port: int, health_port: int) -> tuple[int, int]:
        def other_path() -> int:
            connection = http.client.HTTPConnection("127.0.0.1", health_port, timeout=5)
            connection.request("GET", "/metrics")
            status = connection.getresponse().status
            connection.close()
            return status

        return await asyncio.to_thread(gateway.check, health_port), await asyncio.to_thread(other_path)

    assert serving(talk, []) == (0, 404)


def test_the_check_fails_when_nobody_answers() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert gateway.check(free.getsockname()[1]) == 1
