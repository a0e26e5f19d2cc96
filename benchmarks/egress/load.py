"""The load generator, a process of its own: reads one JSON command per line, answers each with one line.

Commands: `{"do": "setups", "count", "concurrency"}`, `{"do": "hold", "count"}` (opens tunnels and keeps them),
`{"do": "release"}`, `{"do": "transfer", "tunnels", "bytes"}`; each with `"via": [address, port] or null`, `"server"`
and `"authority"`. A set-up ends with the first byte of the server's answer to the ClientHello, or, where the command
has `"trust": CA_FILE`, with the whole TLS handshake and the certificate checked.
"""

import asyncio
import json
import resource
import ssl
import sys
import time
from collections.abc import Callable
from typing import Any

import uvloop

from benchmarks.egress.sink import REPLY, REQUEST
from tests.attack.rig.client_hello import hello

SETUP_SECONDS = 20.0


class Setup(asyncio.Protocol):
    """One connection from its first byte to the server's whole reply to the hello, and what comes after it."""

    def __init__(self, authority: str, *, proxied: bool, context: ssl.SSLContext | None) -> None:
        name = authority.partition(":")[0]
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name) if context else None
        self._hello = b"" if context else hello(name.encode())
        self._connect = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode() if proxied else b""
        self._head = b""
        self._reply = 0
        self.transport: Any = None
        self.begun = time.perf_counter()
        self.ready: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.on_data: Callable[[int], None] = lambda _: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the tunnel, or greet at once without a proxy."""
        self.transport = transport
        if self._connect:
            self.transport.write(self._connect)
        else:
            self._greet()

    def _greet(self) -> None:
        if self._tls:
            self._handshake(b"")
        else:
            self.transport.write(self._hello)

    def _handshake(self, data: bytes) -> None:
        if self._tls is None:
            return
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
            self.ready.set_result(time.perf_counter() - self.begun)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._fail(error)
        self.transport.write(self._outgoing.read())

    def data_received(self, data: bytes) -> None:
        """Go one step further."""
        if self._connect:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            if b" 200 " not in head.split(b"\r\n")[0]:
                self._fail(RuntimeError(head.decode(errors="replace")))
                return
            self._connect = b""
            self._greet()
        if self.ready.done():
            self.on_data(len(data))
            return
        if self._tls:
            if data:
                self._handshake(data)
            return
        if data and not self._reply:
            self.elapsed = time.perf_counter() - self.begun
        self._reply += len(data)
        if self._reply == len(REPLY):
            self.ready.set_result(self.elapsed)

    def connection_lost(self, exc: Exception | None) -> None:
        """An end before the reply is a failure."""
        self._fail(exc or ConnectionResetError("the connection was closed"))

    def _fail(self, error: Exception) -> None:
        if not self.ready.done():
            self.ready.set_exception(error)


class Load:
    """Runs commands."""

    def __init__(self) -> None:
        self._held: list[Setup] = []
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def run(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run one; its figures, with the processor time that the generator itself took."""
        before, started = time.process_time(), time.perf_counter()
        work = {"setups": self._setups, "hold": self._hold, "release": self._release, "transfer": self._transfer}
        answer = await work[command["do"]](command)
        return answer | {"seconds": time.perf_counter() - started, "cpu": time.process_time() - before}

    async def _open(self, command: dict[str, Any]) -> Setup:
        address, port = command["via"] or command["server"]
        made = Setup(command["authority"], proxied=command["via"] is not None, context=self._context(command))
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: made, address, port)
        async with asyncio.timeout(SETUP_SECONDS):
            await made.ready
        return made

    def _context(self, command: dict[str, Any]) -> ssl.SSLContext | None:
        file = command.get("trust")
        if file is None:
            return None
        if file not in self._contexts:
            self._contexts[file] = ssl.create_default_context(cafile=file)
        return self._contexts[file]

    async def _setups(self, command: dict[str, Any]) -> dict[str, Any]:
        left = command["count"]
        latencies: list[float] = []

        async def worker() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                made = await self._open(command)
                latencies.append(made.ready.result())
                made.transport.abort()

        await asyncio.gather(*(worker() for _ in range(command["concurrency"])))
        return {"latencies": latencies}

    async def _hold(self, command: dict[str, Any]) -> dict[str, Any]:
        left = command["count"]

        async def worker() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                self._held.append(await self._open(command))

        await asyncio.gather(*(worker() for _ in range(50)))
        return {"held": len(self._held)}

    async def _release(self, _: dict[str, Any]) -> dict[str, Any]:
        open_still = sum(not made.transport.is_closing() for made in self._held)
        for made in self._held:
            made.transport.abort()
        self._held.clear()
        return {"open": open_still}

    async def _transfer(self, command: dict[str, Any]) -> dict[str, Any]:
        tunnels = [await self._open(command) for _ in range(command["tunnels"])]
        each = command["bytes"] // len(tunnels)

        async def receive(made: Setup) -> None:
            received, done = 0, asyncio.get_running_loop().create_future()

            def count(size: int) -> None:
                nonlocal received
                received += size
                if received == each:
                    done.set_result(None)

            made.on_data = count
            made.transport.write(REQUEST + str(each).encode())
            await done

        started = time.perf_counter()
        async with asyncio.timeout(60):
            await asyncio.gather(*(receive(made) for made in tunnels))
        spent = time.perf_counter() - started
        for made in tunnels:
            made.transport.abort()
        return {"bytes_per_second": each * len(tunnels) / spent}


async def main() -> None:
    """Serve commands from standard input until it ends."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    load, loop = Load(), asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        try:
            answer = await load.run(json.loads(line))
        except Exception as error:  # noqa: BLE001 - told to the benchmark, which ends with it
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
