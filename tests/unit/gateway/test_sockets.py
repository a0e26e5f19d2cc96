"""The gateway's sockets hold no more than so much of what nobody takes."""

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest
from egress_gateway.sockets import BUFFER_BYTES, listening
from egress_gateway.tunnel import BUFFER_BYTES as TUNNEL_BYTES

from tests.unit.gateway.rig import HOST, Rig, host, rig, route, run
from tests.unit.gateway.test_client_hello import hello

OWN_BYTES = 64 * 1024
TAKEN = 32 * 1024 * 1024
# The kernel takes up to twice what it was asked for. One socket receives, one sends, and two buffers lie between them.
TUNNEL = 2 * (2 * BUFFER_BYTES) + 2 * (2 * OWN_BYTES) + 2 * TUNNEL_BYTES
# On a route there are the buffers of two ends of TLS besides, the host's own included.
MOST = {"tunnel": TUNNEL, "route": TUNNEL + 3 * 512 * 1024}


class Flood:
    """A host that sends as long as it is taken from it."""

    def __init__(self) -> None:
        self.sent = 0
        self.stuck = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        own = writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, OWN_BYTES)
        await reader.read(1)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(bytes(OWN_BYTES))
                await writer.drain()
                self.sent += OWN_BYTES


async def stalled(made: Rig, first: bytes) -> asyncio.StreamReader:
    """A client with small buffers that asks, takes so much that the kernel would trust it with more, and then stops."""
    own = socket.socket()
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, OWN_BYTES)
    own.setblocking(False)
    await asyncio.get_running_loop().sock_connect(own, made.proxy)
    reader, writer = await asyncio.open_connection(sock=own, limit=1024)
    made.held.append((reader, writer))
    made.stack.callback(writer.transport.abort)
    writer.write(first)
    await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(TAKEN)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    return reader


async def at_rest(flood: Flood) -> int:
    """How much was sent when nothing more is taken."""
    before = -1
    while flood.sent != before:
        before = flood.sent
        await asyncio.sleep(0.5)
    return flood.sent


@pytest.mark.parametrize("way", ["tunnel", "route"])
def test_a_download_that_stalls_holds_little_in_the_kernel(tmp_path: Path, way: str) -> None:
    async def work() -> None:
        async with rig(tmp_path) as made:
            flood = Flood()
            port = await made.serve(flood.serve, tls=way == "route")
            (tmp_path / "key").write_text("k")
            await made.use(hosts=[host(port)], routes=[route(port, f"file:{tmp_path}/key")])
            asked = f"CONNECT {HOST}:{port}" if way == "tunnel" else "GET /model/"
            await stalled(made, f"{asked} HTTP/1.1\r\nHost: x\r\n\r\n".encode() + hello(HOST) * (way == "tunnel"))
            held = await at_rest(flood) - TAKEN
            assert OWN_BYTES < held < MOST[way]

    run(work())


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_what_is_accepted_has_the_listening_sockets_buffers(address: str) -> None:
    with listening(address, 0) as server:
        server.listen()
        with socket.create_connection(server.getsockname()[:2]), server.accept()[0] as accepted:
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                assert accepted.getsockopt(socket.SOL_SOCKET, option) <= 2 * BUFFER_BYTES
                assert accepted.getsockopt(socket.SOL_SOCKET, option) == server.getsockopt(socket.SOL_SOCKET, option)
