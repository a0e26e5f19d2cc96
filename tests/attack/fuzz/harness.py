"""The gateway's proxy in this process: real protocol objects, a clock that does not run, and no network."""

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from egress_gateway import connect as connect_module
from egress_gateway.addresses import Address, Network
from egress_gateway.flows import Flows
from egress_gateway.identity import Identities
from egress_gateway.inject import Injector
from egress_gateway.log import Log
from egress_gateway.metrics import Metrics
from egress_gateway.origins import Origins
from egress_gateway.policy import load_policy
from egress_gateway.proxy import Proxy
from egress_gateway.resolve import Resolver
from egress_gateway.secret_store import SecretStore
from egress_gateway.tunnel import Side

SOURCE = "198.51.100.7"
POLICY = b"""{
  "version": 1, "environment": "fuzz", "networking": "limited", "package_managers": false, "routes": [],
  "hosts": [
    {"host": "allowed.test", "port": 443, "field": "hosts[0]"},
    {"host": "xn--bcher-kva.test", "port": 443, "field": "hosts[1]"},
    {"host": "*.wild.test", "port": 443, "field": "hosts[2]"}
  ],
  "identities": [{"session": "fuzz", "sources": ["198.51.100.0/24"]}],
  "limits": {"head_bytes": 4096, "hello_bytes": 4096, "head_seconds": 3600, "hello_seconds": 3600}
}"""
STEPS = 12
"""Turns of the event loop after which a connection either has its answer or waits for more bytes."""


class FakeTransport(asyncio.Transport):
    """Collects what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (SOURCE, 40000) if name == "peername" else default

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def write_eof(self) -> None:
        """The other half stays open."""

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing waits here."""

    def pause_reading(self) -> None:
        """The fuzzer gives no more than it has."""

    resume_reading = pause_reading

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol


class OneResolver(Resolver):
    """Every name leads to one address; remembers the names."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def addresses(self, host: str, private_range: Network | None) -> list[Address]:
        self.asked.append(host)
        return [IPv4Address("203.0.113.1")]


class Harness:
    """Feeds one connection after another to the same proxy.

    Attributes:
        asked: Names that were resolved in the last run.
        upstream: Bytes that were sent up in the last run.
        answer: Bytes that the client got in the last run.
        faults: Exceptions that the gateway logged in the last run.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._fault)
        self._resolver = OneResolver()
        self._log_lines: list[bytes] = []
        self._side_transport = FakeTransport()
        self._side: Side | None = None
        self._proxy = self._loop.run_until_complete(self._make())
        self.asked: list[str] = []
        self.upstream = self.answer = b""
        self.faults: list[str] = []
        # The only way to the network in this code path is replaced by one that leads to `_side_transport`.
        self._real_connect = connect_module.connect
        connect_module.connect = self._connect

    def close(self) -> None:
        """Give the gateway's code its way to the network back."""
        connect_module.connect = self._real_connect
        self._loop.close()

    async def _make(self) -> Proxy:
        log, metrics = Log(self._log_lines.append), Metrics()
        flows = Flows(log, metrics)
        policy = load_policy(POLICY)
        identities = Identities(Path("/nonexistent"))
        identities.declare(policy.identities)
        injector = Injector(Origins(self._resolver), SecretStore(), flows)
        proxy = Proxy(identities, self._resolver, flows, injector, log, metrics)
        proxy.policy = policy
        return proxy

    async def _connect(self, addresses: Sequence[Address], port: int, seconds: float) -> Side:
        self._side = Side()
        self._side.connection_made(self._side_transport)
        return self._side

    def _fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.faults.append(str(context.get("exception") or context.get("message")))

    def run(self, pieces: Sequence[bytes]) -> None:
        """One client that sends these pieces, waits, and leaves."""
        self._log_lines.clear()
        self._resolver.asked = self.asked = []
        self._side_transport, self._side = FakeTransport(), None
        self.faults.clear()
        self._loop.run_until_complete(self._client(pieces))
        self.upstream = bytes(self._side_transport.written)
        self.faults += [line.decode() for line in self._log_lines if b'"fault"' in line or b"internal-error" in line]

    async def _client(self, pieces: Sequence[bytes]) -> None:
        client = FakeTransport()
        connection: Any = self._proxy.connection()
        client.protocol = connection
        connection.connection_made(client)
        for piece in pieces:
            await self._steps()
            protocol: Any = client.protocol
            if client.closed:
                break
            if isinstance(protocol, Side):
                buffer = protocol.get_buffer(len(piece))
                buffer[: len(piece)] = piece
                protocol.buffer_updated(len(piece))
            else:
                protocol.data_received(piece)
        await self._steps()
        self.answer = bytes(client.written)
        leaving: Any = client.protocol
        leaving.eof_received()
        await self._steps()
        leaving.connection_lost(None)
        if self._side:
            self._side.connection_lost(None)
        await self._steps()

    async def _steps(self) -> None:
        for _ in range(STEPS):
            await asyncio.sleep(0)
