"""A whole gateway in the test's own process, with a name server and https hosts on loopback."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import dns.message
import dns.rdatatype
import dns.rrset
import trustme
import uvloop
from egress_gateway.gateway import Gateway
from egress_gateway.log import Log
from egress_gateway.settings import Settings

T = TypeVar("T")
HERE = "127.0.0.0/8"
HOST = "allowed.test"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on uvloop, as the gateway does."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(asyncio.wait_for(work, 30))


class Names(asyncio.DatagramProtocol):
    """A name server: addresses by name, each question noted."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] = {}
        self.asked: list[tuple[str, str]] = []
        self.ttl = 60

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = dns.message.make_response(dns.message.from_wire(data))
        question = answer.question[0]
        name = str(question.name).rstrip(".")
        kind = "AAAA" if question.rdtype == dns.rdatatype.AAAA else "A"
        self.asked.append((name, kind))
        found = [one for one in self.addresses.get(name, []) if (":" in one) == (kind == "AAAA")]
        if found:
            answer.answer.append(dns.rrset.from_text(question.name, self.ttl, "IN", kind, *found))
        self._transport.sendto(answer.to_wire(), addr)


@dataclass
class Rig:
    """What a test works with.

    Attributes:
        gateway: The running gateway.
        proxy: Address and port of its proxy.
        admin: Address and port of its admin server.
        folder: Where its files are.
        names: The name server.
        lines: Its log.
        trust: Client context that trusts the hosts' certificates.
        stack: Closed with the rig.
        held: The clients' streams.
    """

    gateway: Gateway
    folder: Path
    names: Names
    trust: ssl.SSLContext
    server: ssl.SSLContext
    stack: AsyncExitStack
    lines: list[dict[str, Any]] = field(default_factory=list)
    held: list[object] = field(default_factory=list)
    proxy: tuple[str, int] = ("", 0)
    admin: tuple[str, int] = ("", 0)

    async def serve(self, handler: Handler, *, tls: bool = True) -> int:
        """Serve on loopback; the port."""
        server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=self.server if tls else None)
        self.stack.callback(server.close)
        return int(server.sockets[0].getsockname()[1])

    def write_policy(self, **changes: Any) -> None:
        """Put a policy into place."""
        incoming = self.folder / "incoming.json"
        incoming.write_text(json.dumps(policy(**changes)))
        incoming.replace(self.folder / "policy.json")

    async def use(self, **changes: Any) -> None:
        """Put a policy in force."""
        self.write_policy(**changes)
        await self.gateway.look()

    async def connect(self, target: str, *headers: str) -> "tuple[Answer, asyncio.StreamReader, asyncio.StreamWriter]":
        """Ask for a tunnel."""
        head = "".join(f"{line}\r\n" for line in (f"CONNECT {target} HTTP/1.1", "Host: x", *headers))
        reader, writer = await self.send(f"{head}\r\n".encode())
        return await read_answer(reader, tunnel=True), reader, writer

    async def send(self, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Send bytes to the proxy."""
        reader, writer = await asyncio.open_connection(*self.proxy)
        # A stream that nobody holds is closed.
        self.held.append((reader, writer))
        self.stack.callback(writer.transport.abort)
        writer.write(data)
        return reader, writer

    async def secure(self, target: str, name: str = HOST) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A TLS connection through a tunnel."""
        answer, reader, writer = await self.connect(target)
        assert answer.status == 200, answer
        await writer.start_tls(self.trust, server_hostname=name)
        return reader, writer

    async def ask(self, method: str, path: str, *headers: str, body: bytes = b"") -> "Answer":
        """One request on a route, on a connection of its own."""
        length = [f"Content-Length: {len(body)}"] if body else []
        lines = (f"{method} {path} HTTP/1.1", "Host: gateway", *length, *headers)
        reader, _ = await self.send("".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body)
        return await read_answer(reader, head=method == "HEAD")

    async def logged(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """The lines of an event, once there are so many."""
        async with asyncio.timeout(5):
            while len(found := [line for line in self.lines if line["event"] == event]) < count:  # noqa: ASYNC110 - the log's sink is the gateway's
                await asyncio.sleep(0.005)
        return found

    async def admin_says(self, path: str) -> "Answer":
        """What the admin server answers."""
        reader, writer = await asyncio.open_connection(*self.admin)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n".encode())
        answer = await read_answer(reader)
        writer.close()
        return answer


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""

    def __getitem__(self, name: str) -> str:
        (value,) = [value for key, value in self.headers if key == name]
        return value

    def has(self, name: str) -> bool:
        return any(key == name for key, _ in self.headers)

    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


async def read_answer(reader: asyncio.StreamReader, *, tunnel: bool = False, head: bool = False) -> Answer:
    """Read one answer; a tunnel's has no body."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(first.split()[1])
    pairs = [line.split(":", 1) for line in lines if line]
    answer = Answer(status, [(key.lower(), value.strip()) for key, value in pairs])
    if head or status in (100, 204, 304) or (tunnel and status == 200):
        return answer
    if answer.has("content-length"):
        return Answer(status, answer.headers, await reader.readexactly(int(answer["content-length"])))
    body = b""
    while piece := await read_chunk(reader):
        body += piece
    return Answer(status, answer.headers, body)


async def read_chunk(reader: asyncio.StreamReader) -> bytes:
    """One chunk of a chunked body, empty at its end."""
    size = int(await reader.readline(), 16)
    data = await reader.readexactly(size)
    assert await reader.readexactly(2) == b"\r\n"
    return data


def policy(**changes: Any) -> dict[str, Any]:
    """A policy document for a session `s` on loopback."""
    return {
        "version": 1,
        "environment": "e",
        "networking": "limited",
        "hosts": [],
        "package_managers": False,
        "routes": [],
        "identities": [{"session": "s", "sources": ["127.0.0.1/32"]}],
    } | changes


def host(port: int, name: str = HOST, **further: Any) -> dict[str, Any]:
    """A host of the policy that lies on loopback."""
    field_ = "config.networking.allowed_hosts[0]"
    return {"host": name, "port": port, "field": field_, "private_range": HERE} | further


def route(port: int, secret: str, name: str = "model", **further: Any) -> dict[str, Any]:
    """A route of the policy to a host on loopback."""
    origin = f"https://{HOST}:{port}"
    return {"name": name, "origin": origin, "header": "x-api-key", "secret": secret, "private_range": HERE} | further


@asynccontextmanager
async def rig(
    folder: Path, *, policy_file: bool = True, registries: Sequence[dict[str, Any]] = (), **changes: Any
) -> AsyncIterator[Rig]:
    """A gateway, a name server and certificates; the first policy allows nothing, with these changes."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST, "other.test").configure_cert(server)
    trust = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    if registries:
        (folder / "registries.json").write_text(json.dumps(registries))
    async with AsyncExitStack() as stack:
        transport, names = await asyncio.get_running_loop().create_datagram_endpoint(Names, ("127.0.0.1", 0))
        stack.callback(transport.close)
        names.addresses = {HOST: ["127.0.0.1"], "other.test": ["127.0.0.1"]}
        lines: list[dict[str, Any]] = []
        settings = Settings(
            policy=str(folder / "policy.json"),
            listen=("127.0.0.1", 0),
            admin=("127.0.0.1", 0),
            state=folder / "state",
            cluster=None,
            registries=folder / "registries.json",
            nameservers=(f"127.0.0.1:{transport.get_extra_info('sockname')[1]}",),
            ca_file=folder / "ca.pem",
        )
        gateway = Gateway(settings, Log(lambda data: lines.extend(json.loads(line) for line in data.splitlines())))
        made = Rig(gateway, folder, names, trust, server, stack, lines)
        if policy_file:
            made.write_policy(**changes)
        await gateway.start()
        stack.push_async_callback(gateway.stop)
        listening = (await made.logged("listening"))[0]
        made.proxy, made.admin = (_place(listening[name]) for name in ("proxy", "admin"))
        yield made
        await stack.aclose()
        assert not [line for line in lines if line["event"] == "fault"]


def _place(text: str) -> tuple[str, int]:
    address, _, port = text.rpartition(":")
    return address, int(port)
