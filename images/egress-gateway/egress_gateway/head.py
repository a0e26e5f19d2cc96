"""The head of a request, read by h11 and held to what a proxy serves."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import h11

from egress_gateway.connection import Connection
from egress_gateway.denial import Denied
from egress_gateway.document import Limits

_TOO_LARGE = 431
_VERSIONS = (b"1.0", b"1.1")
# Headers of which two would be read differently by different programs.
_ONCE = frozenset({b"content-length", b"transfer-encoding", b"host", b"proxy-authorization"})


@dataclass(frozen=True)
class Head:
    """A request's head.

    Attributes:
        request: As h11 read it; header names are in lower case.
        fields: Its headers by name; those that must not be there twice are not.
        wire: The connection's HTTP state, with what was received after the head.
    """

    request: h11.Request
    fields: Mapping[bytes, bytes]
    wire: h11.Connection

    @property
    def method(self) -> str:
        """The method as it was sent; methods tell upper from lower case."""
        return self.request.method.decode("ascii")

    @property
    def credentials(self) -> bytes | None:
        """Value of `Proxy-Authorization`, None if there is none."""
        return self.fields.get(b"proxy-authorization")

    @property
    def has_body(self) -> bool:
        """Whether a body follows, of any length."""
        return b"content-length" in self.fields or b"transfer-encoding" in self.fields


async def read_head(connection: Connection, limits: Limits, wire: h11.Connection | None = None) -> Head | None:
    """The next request's head.

    Args:
        connection: The client's.
        limits: How long and how large it may be.
        wire: State of the connection after an earlier request; None for the first one.

    Returns:
        The head, None if the client leaves without having sent any of it.

    Raises:
        Denied: `head-too-slow`, `head-too-large` or `malformed-request`.
    """
    reused = wire is not None
    wire = wire or h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_bytes)
    try:
        request = await _next_request(connection, wire, asyncio.get_running_loop().time() + limits.head_seconds)
    except TimeoutError:
        if reused and not wire.trailing_data[0]:
            return None
        raise Denied("head-too-slow") from None
    except h11.RemoteProtocolError as error:
        raise Denied("head-too-large" if error.error_status_hint == _TOO_LARGE else "malformed-request") from None
    if request is None:
        return None
    # h11 minds the size of a head that is not whole yet; one that came in a single read is measured here.
    size = len(request.method) + len(request.target)
    fields: dict[bytes, bytes] = {}
    for name, value in request.headers:
        size += len(name) + len(value)
        if name in fields and name in _ONCE:
            raise Denied("malformed-request")
        fields[name] = value
    if size > limits.head_bytes:
        raise Denied("head-too-large")
    if request.http_version not in _VERSIONS:
        raise Denied("malformed-request")
    head = Head(request, fields, wire)
    # Two framings are read differently too, and a tunnel has none.
    framings = (b"content-length" in fields) + (b"transfer-encoding" in fields)
    if framings > (request.method != b"CONNECT"):
        raise Denied("malformed-request")
    return head


async def _next_request(connection: Connection, wire: h11.Connection, deadline: float) -> h11.Request | None:
    while True:
        event = wire.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        wire.receive_data(await connection.read(deadline))
