"""The two joined connections: every byte, in order, at the pace of the slower side."""

import asyncio
import contextlib
import hashlib
import os
import resource
from pathlib import Path

import pytest
from egress_gateway.tunnel import BUFFER_BYTES

from tests.unit.gateway.rig import HOST, Rig, host, rig, run
from tests.unit.gateway.test_client_hello import hello

SIZE = 6 * 1024 * 1024
KIB = 1024


async def open_plain(made: Rig, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A tunnel that has let a ClientHello through; what follows may be any bytes."""
    answer, reader, writer = await made.connect(f"{HOST}:{port}")
    assert answer.status == 200
    writer.write(hello(HOST))
    return reader, writer


async def digest(reader: asyncio.StreamReader, *, slowly: bool) -> str:
    found = hashlib.sha256()
    while data := await reader.read(16 * KIB if slowly else 1024 * KIB):
        found.update(data)
        if slowly:
            await asyncio.sleep(0)
    return found.hexdigest()


@pytest.mark.parametrize("slow", ["client", "host", "nobody"])
def test_every_byte_arrives_in_order_both_ways_in_many_tunnels(tmp_path: Path, slow: str) -> None:
    up, down = os.urandom(SIZE), os.urandom(SIZE)
    arrived: asyncio.Queue[str] = asyncio.Queue()

    async def work() -> None:
        async with rig(tmp_path) as made:
            first = len(hello(HOST))

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.readexactly(first)
                sending = asyncio.get_running_loop().create_task(send(writer, down))
                arrived.put_nowait(await digest(reader, slowly=slow == "host"))
                await sending
                writer.close()

            port = await made.serve(serve, tls=False)
            await made.use(hosts=[host(port)])

            async def one() -> str:
                reader, writer = await open_plain(made, port)
                found, _ = await asyncio.gather(digest(reader, slowly=slow == "client"), send(writer, up))
                return found

            assert set(await asyncio.gather(*(one() for _ in range(4)))) == {hashlib.sha256(down).hexdigest()}
            ends = await made.logged("end", 4)
            assert {await arrived.get() for _ in range(4)} == {hashlib.sha256(up).hexdigest()}
            assert {(line["bytes_up"], line["bytes_down"]) for line in ends} == {(SIZE + first, SIZE)}

    run(work())


async def send(writer: asyncio.StreamWriter, data: bytes) -> None:
    for start in range(0, len(data), 100_000):
        writer.write(data[start : start + 100_000])
        await writer.drain()
    writer.write_eof()


def test_a_client_that_does_not_read_holds_the_host_back(tmp_path: Path) -> None:
    sent = 0

    async def work() -> None:
        async with rig(tmp_path) as made:

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                nonlocal sent
                await reader.read(1)
                with contextlib.suppress(ConnectionError):
                    while True:
                        writer.write(bytes(BUFFER_BYTES))
                        await writer.drain()
                        sent += BUFFER_BYTES

            port = await made.serve(serve, tls=False)
            await made.use(hosts=[host(port)])
            reader, writer = await open_plain(made, port)
            await reader.readexactly(1)
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            before = -1
            while sent != before:
                before = sent
                await asyncio.sleep(0.3)
            # What the sockets' buffers hold; without an end to it the gateway would take all there is.
            assert sent < 100 * 1024 * KIB

    run(work())


def test_one_direction_may_end_before_the_other(tmp_path: Path) -> None:
    async def work() -> None:
        async with rig(tmp_path) as made:

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                received = len(await reader.read())
                writer.write(str(received).encode())
                await asyncio.sleep(0.05)
                writer.write(b" bytes")
                writer.close()

            port = await made.serve(serve, tls=False)
            await made.use(hosts=[host(port)])
            reader, writer = await open_plain(made, port)
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 3) == f"{len(hello(HOST))} bytes".encode()

    run(work())


def test_a_host_that_speaks_first_is_heard_after_the_hello(tmp_path: Path) -> None:
    greeting = os.urandom(300 * KIB)

    async def work() -> None:
        async with rig(tmp_path) as made:

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(greeting)
                await reader.read(1)
                writer.write(b"end")
                writer.close()

            port = await made.serve(serve, tls=False)
            await made.use(hosts=[host(port)])
            answer, reader, writer = await made.connect(f"{HOST}:{port}")
            assert answer.status == 200
            await asyncio.sleep(0.1)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.1)
            writer.write(hello(HOST))
            assert await asyncio.wait_for(reader.read(-1), 3) == greeting + b"end"

    run(work())


def test_an_idle_tunnel_takes_little_memory(tmp_path: Path) -> None:
    count = 300

    async def work() -> None:
        async with rig(tmp_path) as made:

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.read(1)
                writer.write(b"x")
                await reader.read()
                writer.close()

            port = await made.serve(serve, tls=False)
            await made.use(hosts=[host(port)], limits={"tunnels_per_session": 1000})
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            for _ in range(count):
                reader, _ = await open_plain(made, port)
                await reader.readexactly(1)
            # The clients and the host are in this process too.
            assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / count < 64

    run(work())
