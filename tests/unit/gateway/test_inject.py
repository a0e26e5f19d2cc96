"""Credential routes: one origin, the gateway's credential, streams as they come."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.unit.gateway.rig import HOST, Rig, read_answer, read_chunk, rig, route, run

SECRET = "canary-5e1f9c"


class Origin:
    """An origin that notes requests and answers as it is told."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Own: 1\r\n\r\nok"
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                self.bodies.append(await self._body(head.lower(), reader))
                writer.write(self.answer)
                await writer.drain()

    async def _body(self, head: bytes, reader: asyncio.StreamReader) -> bytes:
        body = b""
        if b"transfer-encoding: chunked" in head:
            while piece := await read_chunk(reader):
                body += piece
        elif b"content-length: " in head:
            body = await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
        return body

    def field(self, name: str) -> list[str]:
        """Values of a header of the last request."""
        lines = self.heads[-1].decode().split("\r\n")[1:]
        return [line.partition(": ")[2] for line in lines if line.lower().startswith(f"{name}:")]


@asynccontextmanager
async def routed(folder: Path, **further: Any) -> AsyncIterator[tuple[Rig, Origin]]:
    """A gateway with a route to an origin."""
    (folder / "secret").write_text(f"{SECRET}\n")
    async with rig(folder) as made:
        origin = Origin()
        port = await made.serve(origin.serve)
        await made.use(routes=[route(port, f"file:{folder / 'secret'}", **further)])
        yield made, origin
    assert SECRET not in json.dumps(made.lines)


def test_a_request_reaches_the_origin_with_the_gateways_credential_alone(tmp_path: Path) -> None:
    async def work() -> None:
        async with routed(tmp_path) as (made, origin):
            answer = await made.ask(
                "POST",
                "/model/v1/messages?a=b&c=%2F",
                "X-Api-Key: mine",
                "Authorization: Bearer mine",
                "Cookie: mine",
                "Proxy-Authorization: Basic bWluZTptaW5l",
                "Forwarded: for=mine",
                "X-Forwarded-For: mine",
                "X-Forwarded-Host: mine",
                "Via: mine",
                "TE: trailers",
                "Connection: x-hop, keep-alive",
                "X-Hop: mine",
                "Anthropic-Version: 2023-06-01",
                "Accept: text/event-stream",
                body=b"hello",
            )
            assert (answer.status, answer.body, answer["x-own"]) == (200, b"ok", "1")
            port = made.gateway.describe()["policy"]["routes"][0]["origin"].rpartition(":")[2]
            assert origin.heads[0].startswith(b"POST /v1/messages?a=b&c=%2F HTTP/1.1\r\n")
            assert origin.bodies == [b"hello"]
            assert origin.field("x-api-key") == [SECRET]
            assert origin.field("host") == [f"{HOST}:{port}"]
            assert origin.field("anthropic-version") == ["2023-06-01"]
            assert origin.field("accept") == ["text/event-stream"]
            assert origin.field("content-length") == ["5"]
            assert origin.field("user-agent") == origin.field("accept-encoding") == []
            assert b"mine" not in origin.heads[0]
            (decision,) = await made.logged("decision")
            assert (decision["verdict"], decision["rule"], decision["route"]) == ("allowed", "route", "model")
            (end,) = await made.logged("end")
            assert (end["rule"], end["bytes_up"], end["bytes_down"]) == ("closed", 5, 2)

    run(work())


def test_the_routes_header_is_the_gateways_whatever_the_client_sends(tmp_path: Path) -> None:
    async def work() -> None:
        async with routed(tmp_path, header="x-token") as (made, origin):
            assert (await made.ask("GET", "/model/", "X-Token: mine", "x-token: mine too")).status == 200
            assert origin.field("x-token") == [SECRET]

    run(work())


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/model", "/"),
        ("/model/", "/"),
        ("/model?x=1", "/?x=1"),
        ("/model/a%2Fb/%2e%2e/c", "/a%2Fb/%2e%2e/c"),
        ("/model/../../other", "/../../other"),
        ("/model//evil.test/x", "//evil.test/x"),
        ("/model/@evil.test/x", "/@evil.test/x"),
        ("/model/http://evil.test/x", "/http://evil.test/x"),
        ("/model/:8443/x", "/:8443/x"),
        ("/model/a\\b", "/a\\b"),
    ],
)
def test_a_path_is_passed_as_written_and_never_leaves_the_origin(tmp_path: Path, path: str, target: str) -> None:
    async def work() -> None:
        async with routed(tmp_path) as (made, origin):
            assert (await made.ask("GET", path)).status == 200
            assert origin.heads[0].startswith(f"GET {target} HTTP/1.1\r\n".encode())
            assert {name for name, _ in made.names.asked} == {HOST}

    run(work())


def test_what_the_origin_says_is_passed_on_but_for_state_and_hops(tmp_path: Path) -> None:
    async def work() -> None:
        async with routed(tmp_path) as (made, origin):
            origin.answer = (
                b"HTTP/1.1 302 Found\r\nLocation: https://evil.test/\r\nSet-Cookie: a=b\r\nAlt-Svc: h3\r\n"
                b"X-Egress-Rule: fake\r\nConnection: x-hop\r\nX-Hop: 1\r\nContent-Encoding: gzip\r\n"
                b"X-Echo: " + SECRET.encode() + b"\r\nX-Two: 1\r\nX-Two: 2\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x00"
            )
            answer = await made.ask("GET", "/model/x")
            assert (answer.status, answer["location"], answer.body) == (302, "https://evil.test/", b"\x1f\x8b\x00")
            assert sorted(answer.headers) == [
                ("content-encoding", "gzip"),
                ("content-length", "3"),
                ("location", "https://evil.test/"),
                ("x-two", "1"),
                ("x-two", "2"),
            ]
            assert len(origin.heads) == 1

    run(work())


def test_events_stream_as_they_come(tmp_path: Path) -> None:
    async def work() -> None:
        async with routed(tmp_path) as (made, _):
            more = asyncio.Event()

            async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                )
                for text in (b"data: 1\n\n", b"data: 2\n\n"):
                    writer.write(b"%x\r\n%s\r\n" % (len(text), text))
                    await more.wait()
                writer.write(b"0\r\n\r\n")

            port = await made.serve(stream)
            await made.use(routes=[route(port, f"file:{tmp_path / 'secret'}")])
            reader, _ = await made.send(b"GET /model/ HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 3)
            assert b"content-type: text/event-stream" in head.lower()
            assert await asyncio.wait_for(read_chunk(reader), 3) == b"data: 1\n\n"
            more.set()
            assert await asyncio.wait_for(read_chunk(reader), 3) == b"data: 2\n\n"
            assert await asyncio.wait_for(read_chunk(reader), 3) == b""

    run(work())


def test_a_body_streams_to_the_origin_as_it_comes(tmp_path: Path) -> None:
    async def work() -> None:
        async with routed(tmp_path) as (made, _):
            received: asyncio.Queue[bytes] = asyncio.Queue()

            async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.readuntil(b"\r\n\r\n")
                while piece := await read_chunk(reader):
                    received.put_nowait(piece)
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

            port = await made.serve(take)
            await made.use(routes=[route(port, f"file:{tmp_path / 'secret'}")])
            head = b"POST /model/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
            reader, writer = await made.send(head)
            assert (await asyncio.wait_for(read_answer(reader), 3)).status == 100
            for piece in (b"first", b"second"):
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                assert await asyncio.wait_for(received.get(), 3) == piece
            writer.write(b"0\r\n\r\n")
            assert (await asyncio.wait_for(read_answer(reader), 3)).status == 204

    run(work())


def test_connections_are_kept_on_both_sides(tmp_path: Path) -> None:
    async def work() -> None:
        async with routed(tmp_path) as (made, origin):
            reader, writer = await made.send(b"")
            for method in ("GET", "HEAD", "DELETE"):
                writer.write(f"{method} /model/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                assert (await read_answer(reader, head=method == "HEAD")).status == 200
                if method == "HEAD":
                    origin.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
                else:
                    origin.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
            assert (len(origin.heads), origin.connections) == (3, 1)

    run(work())


@pytest.mark.parametrize(
    ("method", "path", "headers", "rule"),
    [
        ("TRACE", "/model/", [], "method-refused"),
        ("FETCH", "/model/", [], "method-refused"),
        ("GET", "/model/", ["Upgrade: websocket", "Connection: upgrade"], "upgrade-refused"),
        ("GET", "/Model/", [], "unknown-route"),
        ("GET", "/model2/", [], "unknown-route"),
        ("GET", "//model/", [], "unknown-route"),
        ("GET", "/", [], "unknown-route"),
        ("GET", "/theirs/", [], "route-not-allowed"),
    ],
)
def test_other_requests_are_refused(tmp_path: Path, method: str, path: str, headers: list[str], rule: str) -> None:
    async def work() -> None:
        async with routed(tmp_path) as (made, origin):
            mine = made.gateway.describe()["policy"]["routes"][0]
            await made.use(routes=[mine, mine | {"name": "theirs", "sessions": ["other"]}])
            answer = await made.ask(method, path, *headers)
            assert (answer.status, answer["x-egress-rule"], answer.told()["retry"]) == (403, rule, False)
            assert origin.connections == 0

    run(work())


def test_an_origin_at_an_address_that_is_not_allowed_is_not_connected_to(tmp_path: Path) -> None:
    async def work() -> None:
        async with routed(tmp_path, private_range="10.0.0.0/8") as (made, origin):
            answer = await made.ask("GET", "/model/")
            assert (answer.status, answer.told()["rule"]) == (403, "address-not-allowed")
            assert origin.connections == 0
            await made.use(routes=[route(1, f"file:{tmp_path / 'secret'}")])
            assert (await made.ask("GET", "/model/")).told()["rule"] == "connect-failed"
            made.names.addresses.clear()
            await made.use(routes=[route(2, f"file:{tmp_path / 'secret'}", origin="https://none.test")])
            assert (await made.ask("GET", "/model/")).told()["rule"] == "dns-failed"

    run(work())


def test_an_origin_without_a_valid_certificate_gets_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with routed(tmp_path) as (made, origin):
            trustme.CA().issue_cert(HOST).configure_cert(made.server)
            answer = await made.ask("GET", "/model/")
            assert (answer.status, answer.told()["rule"], answer.told()["retry"]) == (502, "certificate-refused", False)
            assert origin.heads == []

    run(work())


@pytest.mark.parametrize("content", [None, "", "\n", "two\nlines\n", "caf\u00e9", "a\x00b"])
def test_a_secret_that_no_header_can_carry_stops_the_request(tmp_path: Path, content: str | None) -> None:
    async def work() -> None:
        async with routed(tmp_path) as (made, origin):
            secret = tmp_path / "secret"
            if content is None:
                secret.unlink()
            else:
                secret.write_text(content)
            answer = await made.ask("GET", "/model/")
            assert (answer.status, answer.told()["rule"]) == (503, "secret-unavailable")
            assert origin.connections == 0
            secret.write_text("mended")
            assert (await made.ask("GET", "/model/")).status == 200
            assert origin.field("x-api-key") == ["mended"]

    run(work())


def test_an_answer_that_breaks_off_breaks_off(tmp_path: Path) -> None:
    async def work() -> None:
        async with routed(tmp_path) as (made, _):

            async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                writer.close()

            port = await made.serve(half)
            await made.use(routes=[route(port, f"file:{tmp_path / 'secret'}")])
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await made.ask("GET", "/model/")
            (end,) = await made.logged("end")
            assert end["rule"] == "upstream-failed"

    run(work())


def test_an_answer_that_is_none_is_the_upstreams_fault(tmp_path: Path) -> None:
    async def work() -> None:
        async with routed(tmp_path) as (made, origin):
            for answer in (
                b"SSH-2.0-x\r\n\r\n",
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            ):
                origin.answer = answer
                found = await made.ask("GET", "/model/")
                assert (found.status, found.told()["rule"]) == (502, "upstream-failed")

    run(work())


@pytest.mark.parametrize("change", ["route", "session", "policy"])
def test_a_request_under_way_is_cut_when_it_is_no_longer_allowed(tmp_path: Path, change: str) -> None:
    async def work() -> None:
        async with routed(tmp_path) as (made, _):
            left = asyncio.Event()

            async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    await reader.read()
                left.set()

            port = await made.serve(hang)
            mine = route(port, f"file:{tmp_path / 'secret'}")
            await made.use(routes=[mine])
            reader, _ = await made.send(b"GET /model/ HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"half")
            if change == "policy":
                (tmp_path / "policy.json").unlink()
                await made.gateway.look()
            elif change == "session":
                await made.use(routes=[mine], identities=[])
            else:
                await made.use(routes=[mine | {"header": "authorization"}])
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 3) == b""
            await asyncio.wait_for(left.wait(), 3)
            (end,) = await made.logged("end")
            assert end["rule"] == "policy-changed"

    run(work())


def test_a_client_that_leaves_ends_its_request(tmp_path: Path) -> None:
    async def work() -> None:
        async with routed(tmp_path) as (made, _):
            asked, left = asyncio.Event(), asyncio.Event()

            async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.readuntil(b"\r\n\r\n")
                asked.set()
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    await reader.read()
                left.set()

            port = await made.serve(hang)
            await made.use(routes=[route(port, f"file:{tmp_path / 'secret'}")])
            _, writer = await made.send(b"GET /model/ HTTP/1.1\r\nHost: x\r\n\r\n")
            await asked.wait()
            writer.transport.abort()
            await asyncio.wait_for(left.wait(), 3)
            (decision,) = await made.logged("decision")
            assert decision["rule"] == "client-left"
            assert not [line for line in made.lines if line["event"] == "end"]

    run(work())


def test_a_body_that_is_malformed_is_refused(tmp_path: Path) -> None:
    async def work() -> None:
        async with routed(tmp_path) as (made, _):
            head = b"POST /model/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            reader, _ = await made.send(head + b"zz\r\nnonsense\r\n")
            answer = await asyncio.wait_for(read_answer(reader), 3)
            assert (answer.status, answer.told()["rule"]) == (400, "malformed-request")

    run(work())
