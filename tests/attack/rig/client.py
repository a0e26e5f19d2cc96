"""A session's side of the gateway: raw bytes, CONNECT, and TLS through a tunnel."""

import contextlib
import json
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPResponse
from io import BytesIO
from typing import Any, Self

from tests.attack.rig.namespace import Namespace

LARGEST_ANSWER = 1 << 20


@dataclass(frozen=True)
class Reply:
    """What came back.

    Attributes:
        status: HTTP status; 0 where the connection ended without any answer.
        headers: In lower case; of repeated ones the last.
        body: As sent.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def rule(self) -> str:
        """The rule that a denial names; empty if it names none."""
        return self.headers.get("x-egress-rule", "")

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @classmethod
    def nothing(cls) -> Self:
        """The connection was closed without a word."""
        return cls(0, {}, b"")


def read_reply(connection: socket.socket, *, method: str) -> Reply:
    """Read one answer; `method` CONNECT has no body when it succeeds."""
    response = HTTPResponse(connection, method=method)
    try:
        response.begin()
    except (ConnectionError, OSError) as error:
        if isinstance(error, TimeoutError):
            raise
        return Reply.nothing()
    headers = {name.lower(): value for name, value in response.getheaders()}
    tunnel = method == "CONNECT" and 200 <= response.status < 300
    return Reply(response.status, headers, b"" if tunnel else response.read())


@dataclass(frozen=True)
class Client:
    """Who speaks to the gateway: a source address of the namespace.

    Attributes:
        namespace: Where it runs.
        source: Its address.
        gateway: Address and port of the gateway, or of another proxy.
    """

    namespace: Namespace
    source: str
    gateway: tuple[str, int]

    def dial(self, seconds: float = 8) -> socket.socket:
        """A TCP connection to the gateway."""
        return self.namespace.connect(*self.gateway, source=self.source, seconds=seconds)

    def send(self, data: bytes, *, method: str = "GET") -> Reply:
        """Send bytes as they are, and read one answer."""
        with self.dial() as connection:
            # A gateway that has already refused may close while the rest is under way: its answer still counts.
            with contextlib.suppress(ConnectionError):
                connection.sendall(data)
            return read_reply(connection, method=method)

    def open(self, authority: str | bytes, headers: Iterable[bytes] = ()) -> tuple[Reply, socket.socket]:
        """CONNECT to `authority`; the answer, and the connection, which the caller closes."""
        if isinstance(authority, str):
            authority = authority.encode()
        connection = self.dial()
        try:
            connection.sendall(
                b"\r\n".join([b"CONNECT %s HTTP/1.1" % authority, b"Host: %s" % authority, *headers, b"\r\n"])
            )
            return read_reply(connection, method="CONNECT"), connection
        except BaseException:
            connection.close()
            raise

    def connect(self, authority: str | bytes, headers: Iterable[bytes] = ()) -> Reply:
        """CONNECT to `authority`, and close whatever comes of it."""
        reply, connection = self.open(authority, headers)
        connection.close()
        return reply

    def hello(self, authority: str, first_bytes: bytes) -> bytes:
        """CONNECT, then `first_bytes`; what comes back until the tunnel is closed, or for two seconds."""
        reply, connection = self.open(authority)
        assert reply.status == 200, reply
        with connection:
            connection.sendall(first_bytes)
            return read_until_closed(connection, seconds=2)

    def https(self, name: str, context: ssl.SSLContext, *, port: int = 443, authority: str | None = None) -> Reply:
        """GET / at `name` through a tunnel to `authority` (`name:port` unless given), with the certificate checked."""
        reply, connection = self.open(authority or f"{name}:{port}")
        with connection:
            if reply.status != 200:
                return reply
            with context.wrap_socket(connection, server_hostname=name) as tls:
                return get(tls, name, "/")


def get(connection: socket.socket, host: str, path: str, *headers: str) -> Reply:
    """GET on an open connection, which stays open."""
    lines = [f"GET {path} HTTP/1.1", f"host: {host}", *headers, "", ""]
    connection.sendall("\r\n".join(lines).encode("latin-1"))
    return read_reply(connection, method="GET")


def read_until_closed(connection: socket.socket, *, seconds: float) -> bytes:
    """All bytes until the other side closes.

    Raises:
        TimeoutError: It stays open for `seconds` without a byte.
    """
    connection.settimeout(seconds)
    received = BytesIO()
    while received.tell() < LARGEST_ANSWER:
        try:
            data = connection.recv(65536)
        except ConnectionError:
            break
        if not data:
            break
        received.write(data)
    return received.getvalue()
