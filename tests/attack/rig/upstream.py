"""The servers behind the gateway: one program for every address, which counts what reached which address.

ALLOWED, EVIL and PRIVATE are addresses of one listener per port, so that no address of the namespace goes unwatched.
"""

import json
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

import h11

from tests.attack.rig.namespace import Namespace
from tests.attack.rig.settling import Inbox

Place = tuple[str, int]
"""An address and a port of the namespace."""

CHUNK = 64 * 1024
IDLE_SECONDS = 60.0
WEBSOCKET_GREETING = b"\x81\x05hello"
"""A text frame from the server, unmasked: `hello`."""


@dataclass(frozen=True)
class Request:
    """A request as an upstream saw it.

    Attributes:
        place: Where it arrived.
        method: Its method.
        target: Its target.
        headers: Names and values as sent.
        body: Its body, byte by byte as Latin-1.
    """

    place: Place
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: str

    def to_json(self) -> bytes:
        """As `/` answers it."""
        address, port = self.place
        return json.dumps(asdict(self) | {"address": address, "port": port}).encode()


class Upstreams:
    """HTTPS on the `tls_ports`, HTTP on the `plain_ports`, on every address of some namespaces.

    Paths: `/` answers with what was seen of the request as JSON, `/redirect?to=URL` with 302, `/stream?count=&gap=`
    with server-sent events, `/bytes?count=` with that many bytes, `/websocket` with 101, a greeting and then an echo.

    Attributes:
        connections: How many connections reached an address and port.
        received: How many bytes reached it, TLS and all.
        requests: All requests that were read.
    """

    def __init__(
        self,
        namespaces: Iterable[Namespace],
        context: ssl.SSLContext,
        *,
        tls_ports: Iterable[int],
        plain_ports: Iterable[int],
    ) -> None:
        self.connections: Counter[Place] = Counter()
        self.received: Counter[Place] = Counter()
        self.requests: list[Request] = []
        self._context = context
        self._listening: list[socket.socket] = []
        self._inbox = Inbox()
        ports = [(port, True) for port in tls_ports] + [(port, False) for port in plain_ports]
        for namespace, (port, tls), address in product(namespaces, ports, ("0.0.0.0", "::")):
            listening = namespace.listen(address, port)
            self._listening.append(listening)
            self._inbox.watch(listening)
            threading.Thread(target=self._accept, args=(listening, tls), daemon=True).start()

    def touched(self) -> set[Place]:
        """Every address and port that a connection reached so far."""
        return set(self.connections)

    def _accept(self, listening: socket.socket, tls: bool) -> None:
        # A socket that is closed meanwhile ends the thread.
        with suppress(OSError, ValueError):
            while self._inbox.wait(listening):
                with self._inbox.lock:
                    connection, _ = listening.accept()
                    address, port = connection.getsockname()[:2]
                    self.connections[address, port] += 1
                self._inbox.watch(connection)
                threading.Thread(target=self._serve, args=(connection, (address, port), tls), daemon=True).start()

    def _serve(self, connection: socket.socket, place: Place, tls: bool) -> None:
        # Whatever a client does wrong ends its own connection; the counters keep what had arrived until then.
        with suppress(OSError, ssl.SSLError, h11.ProtocolError):
            connection.settimeout(IDLE_SECONDS)
            # Without it each answer in two pieces waits 40 ms for an acknowledgement.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = _Link(connection, self._context if tls else None, partial(self._receive, connection, place))
            _Conversation(link, place, self).serve()
        self._inbox.close(connection)

    def _receive(self, connection: socket.socket, place: Place) -> bytes:
        if not self._inbox.wait(connection, IDLE_SECONDS):
            return b""
        with self._inbox.lock:
            data = connection.recv(CHUNK)
            self.received[place] += len(data)
        return data

    def settle(self) -> None:
        """Return when all that has reached the servers is counted."""
        self._inbox.settle()

    def close(self) -> None:
        """Close the listening ports."""
        for each in self._listening:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            self._inbox.close(each)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class _Link:
    """A connection whose every received byte is counted before TLS, if any, sees it."""

    def __init__(self, connection: socket.socket, context: ssl.SSLContext | None, receive: Callable[[], bytes]) -> None:
        self._connection = connection
        self._receive = receive
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True) if context else None

    def receive(self) -> bytes:
        """The next bytes of the application; empty at the end."""
        if not self._tls:
            return self._receive()
        while True:
            try:
                return self._tls.read(CHUNK)
            except ssl.SSLWantReadError:
                self._flush()
                data = self._receive()
                self._incoming.write(data) if data else self._incoming.write_eof()
            except ssl.SSLEOFError:
                return b""
            except ssl.SSLError:
                self._flush()
                raise

    def send(self, data: bytes) -> None:
        """Send all of `data`."""
        if self._tls:
            self._tls.write(data)
            self._flush()
        else:
            self._connection.sendall(data)

    def _flush(self) -> None:
        if data := self._outgoing.read():
            self._connection.sendall(data)


class _Conversation:
    """HTTP/1.1 on one link, until it closes."""

    def __init__(self, link: _Link, place: Place, upstreams: Upstreams) -> None:
        self._link, self._place, self._upstreams = link, place, upstreams
        self._http = h11.Connection(h11.SERVER)

    def serve(self) -> None:
        """Answer requests until the client closes or a request says so."""
        while request := self._request():
            target = urlsplit(request.target.decode("ascii", "replace"))
            query = {key: values[0] for key, values in parse_qs(target.query).items()}
            if target.path == "/websocket":
                self._websocket()
                return
            self._answer(target.path, query)
            if self._http.our_state is h11.MUST_CLOSE or self._http.their_state is h11.MUST_CLOSE:
                return
            self._http.start_next_cycle()

    def _request(self) -> h11.Request | None:
        request, body = None, b""
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(self._link.receive())
            elif isinstance(event, h11.Request):
                request = event
                if request.target.startswith(b"/websocket"):
                    self._remember(request, body)
                    return request
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage) and request:
                self._remember(request, body)
                return request
            else:
                return None

    def _remember(self, request: h11.Request, body: bytes) -> None:
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers]
        target = request.target.decode("latin-1")
        self._last = Request(self._place, request.method.decode(), target, headers, body.decode("latin-1"))
        self._upstreams.requests.append(self._last)

    def _send(self, *events: h11.Event) -> None:
        for event in events:
            self._link.send(self._http.send(event) or b"")

    def _answer(self, path: str, query: dict[str, str]) -> None:
        if path == "/redirect":
            self._send(h11.Response(status_code=302, headers=[("location", query["to"]), ("content-length", "0")]))
        elif path == "/stream":
            self._send(h11.Response(status_code=200, headers=[("content-type", "text/event-stream")]))
            for index in range(int(query["count"])):
                self._send(h11.Data(data=f"data: {index}\n\n".encode()))
                time.sleep(float(query["gap"]))
        elif path == "/bytes":
            left = int(query["count"])
            self._send(h11.Response(status_code=200, headers=[("content-length", str(left))]))
            while left:
                size = min(left, CHUNK)
                self._send(h11.Data(data=bytes(size)))
                left -= size
        else:
            body = self._last.to_json()
            headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
            self._send(h11.Response(status_code=200, headers=headers), h11.Data(data=body))
        self._send(h11.EndOfMessage())

    def _websocket(self) -> None:
        headers = [("connection", "upgrade"), ("upgrade", "websocket")]
        self._send(h11.InformationalResponse(status_code=101, headers=headers))
        self._link.send(WEBSOCKET_GREETING)
        while data := self._link.receive():
            self._link.send(data)
