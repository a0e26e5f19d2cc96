"""CONNECT: a tunnel to an allowed host, opened step by step; the first step that fails refuses it."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence

import aiohappyeyeballs

from egress_gateway.addresses import Address
from egress_gateway.client_hello import ClientHello
from egress_gateway.connection import Connection
from egress_gateway.denial import Denied, Subject
from egress_gateway.document import HostEntry, Limits
from egress_gateway.flows import Flows
from egress_gateway.resolve import Resolver
from egress_gateway.sockets import bounded, outgoing
from egress_gateway.tunnel import Side, Tunnel

ESTABLISHED = b"HTTP/1.1 200 Connection Established\r\n\r\n"
_NEXT_ADDRESS_SECONDS = 0.25


async def connect(addresses: Sequence[Address], port: int, seconds: float) -> Side:
    """A connection to one of some addresses, each of which has been checked.

    Raises:
        Denied: `connect-failed` or `connect-timeout`.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            if len(addresses) == 1:
                # In half the time of the other way; nothing to speak of can have come before the buffers are bounded.
                transport, side = await loop.create_connection(Side, str(addresses[0]), port)
                bounded(transport.get_extra_info("socket"))
            else:
                chosen = await aiohappyeyeballs.start_connection(
                    [_address_info(address, port) for address in addresses],
                    happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS,
                    interleave=1,
                    socket_factory=outgoing,
                )
                _, side = await loop.create_connection(Side, sock=chosen)
    except TimeoutError:
        raise Denied("connect-timeout") from None
    except OSError:
        raise Denied("connect-failed") from None
    return side


def _address_info(address: Address, port: int) -> aiohappyeyeballs.AddrInfoType:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    name = (str(address), port) if address.version == 4 else (str(address), port, 0, 0)
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", name


async def open_tunnel(
    connection: Connection,
    early: bytes,
    subject: Subject,
    entry: HostEntry,
    limits: Limits,
    resolver: Resolver,
) -> tuple[Side, bytes]:
    """Everything from the name, which is allowed, to the ClientHello, which names it too.

    Args:
        connection: The client's.
        early: What it sent behind its request's head.
        subject: Whose tunnel, and where to.
        entry: The policy's entry that allows the host.
        limits: For times and sizes.
        resolver: Resolves the host.

    Returns:
        The upstream side, to which nothing has been sent, and the client's first bytes, which are a ClientHello.

    Raises:
        Denied: a step failed. From the ClientHello on it is too late for an answer.
    """
    host, port = subject.host or "", subject.port or 0
    upstream = await connect(await resolver.addresses(host, entry.private_range), port, limits.connect_seconds)
    try:
        connection.established = True
        await connection.write(ESTABLISHED)
        hello = await _client_hello(connection, early, host, limits)
    except BaseException:
        upstream.abort()
        raise
    return upstream, hello


async def _client_hello(connection: Connection, early: bytes, host: str, limits: Limits) -> bytes:
    """The client's first bytes, whole enough to be a ClientHello for `host`.

    Raises:
        InTunnel: they are none.
    """
    hello, received = ClientHello(), bytearray()
    deadline = asyncio.get_running_loop().time() + limits.hello_seconds
    try:
        whole, data = False, early or await connection.read(deadline)
        while data:
            received += data
            whole = hello.feed(data)
            if hello.size > limits.hello_bytes:
                raise InTunnel("hello-too-large")
            if whole:
                break
            data = await connection.read(deadline)
    except TimeoutError:
        raise InTunnel("hello-too-slow") from None
    except ssl.SSLError:
        raise InTunnel("not-tls", alert=hello.alert()) from None
    if not whole:
        raise InTunnel("client-left")
    name = hello.server_name
    if not name:
        raise InTunnel("sni-missing", alert=hello.alert())
    if name.lower() != host:
        raise InTunnel("sni-mismatch", alert=hello.alert())
    return bytes(received)


class InTunnel(Denied):
    """A refusal after 200 was answered: all that the client can still be told is a TLS alert."""

    def __init__(self, rule: str, *, alert: bytes = b"") -> None:
        super().__init__(rule)
        self.alert = alert


def join(
    connection: Connection,
    upstream: Side,
    hello: bytes,
    subject: Subject,
    entry: HostEntry,
    flows: Flows,
    done: Callable[[], None],
) -> None:
    """Make a tunnel of a client's connection and an upstream one.

    Args:
        connection: The client's; it is the tunnel's from now on.
        upstream: The host's.
        hello: What the client has sent.
        subject: Whose, and where to.
        entry: The policy's entry that allows it.
        flows: Watches over it.
        done: Called when both connections are gone.

    Raises:
        ConnectionError: the client is gone.
        InTunnel: the host is gone.
    """
    if upstream.transport is None or upstream.transport.is_closing():
        raise InTunnel("upstream-left")
    client = Side()
    more = connection.hand_over(client)
    tunnel = Tunnel(subject, connection.source, entry, client, upstream)
    try:
        tunnel.start(flows, hello + more, done)
    except BaseException:
        flows.cut(tunnel, "internal-error")
        raise
