"""The egress gateway of an environment whose policy is not served yet: it refuses everything, and says why.

Listens as an HTTP proxy on port 3128. Each request is answered with 403, a header and a JSON body that name the rule,
and is one JSON line in the log. Nothing is resolved and nothing is connected to. `--check` asks the health port whether
the program still answers; ECS runs that in the container.
"""

import asyncio
import http.client
import json
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

import h11

PROXY_PORT = 3128
HEALTH_PORT = 9901
LOOPBACK = "127.0.0.1"
MAX_HEAD_BYTES = 16 * 1024
HEAD_SECONDS = 5.0
MAX_CONNECTIONS = 512
DRAIN_SECONDS = 1.0
LOGGED_BYTES = 512
RULE = "no-policy"


@dataclass(frozen=True)
class Refusal:
    """Why a request is refused.

    Attributes:
        status: HTTP status code.
        rule: Short name, in the header, the body and the log.
        message: For whoever reads the body: what was refused and what changes it.
    """

    status: int
    rule: str
    message: str

    def body(self) -> bytes:
        """The JSON body."""
        told = {"rule": self.rule, "retry": False, "message": self.message}
        return json.dumps(told).encode() + b"\n"


NO_POLICY = Refusal(
    403,
    RULE,
    "This environment's egress gateway lets nothing out. Retrying, another port or a mirror will not help. The owner "
    "of the environment can change what is allowed: config.networking of the environment in the stack file.",
)
NOT_HTTP = Refusal(400, "malformed-request", "This is no HTTP request that a proxy can read. Retrying will not help.")
HEAD_TOO_LARGE = Refusal(
    431,
    "head-too-large",
    f"The request's head is larger than {MAX_HEAD_BYTES} bytes. Retrying will not help; send fewer headers.",
)
HEAD_TOO_SLOW = Refusal(
    408,
    "head-too-slow",
    f"The request's head did not arrive within {HEAD_SECONDS:g} seconds, and will not be waited for.",
)


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[object, object, None]]


class Gateway:
    """Serves the proxy port and the health port.

    Args:
        log: Takes one record for each refusal.
        head_seconds: How long a client may take for its request's head.
    """

    def __init__(self, log: Callable[[dict[str, object]], None], head_seconds: float = HEAD_SECONDS) -> None:
        self._log, self._head_seconds = log, head_seconds
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self._servers: list[asyncio.Server] = []
        self._running: set[asyncio.Task[None]] = set()

    async def start(self, proxy_host: str, proxy_port: int, health_port: int) -> tuple[int, int]:
        """Listen.

        Returns:
            The proxy port and the health port in use, which differ from the ones given where those were 0.
        """
        proxy = await asyncio.start_server(self._begin(self._serve), proxy_host, proxy_port, limit=MAX_HEAD_BYTES)
        health = await asyncio.start_server(self._begin(self._serve_health), LOOPBACK, health_port)
        self._servers = [proxy, health]
        ports = [server.sockets[0].getsockname()[1] for server in self._servers]
        return ports[0], ports[1]

    async def stop(self) -> None:
        """Listen no more, and finish what was begun: seconds at most."""
        for server in self._servers:
            server.close()
        await asyncio.gather(*self._running)

    def _begin(self, serve: Handler) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(serve(reader, writer))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

        return begin

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self._slots:
            try:
                await self._refuse_one(reader, writer)
            except (ConnectionError, TimeoutError):
                pass  # The client went away: nobody is left to tell.
            finally:
                writer.close()

    async def _refuse_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        request: h11.Request | None = None
        try:
            async with asyncio.timeout(self._head_seconds):
                request = await _head(connection, reader)
            if request is None:
                return
            refusal = NO_POLICY
        except TimeoutError:
            refusal = HEAD_TOO_SLOW
        except h11.RemoteProtocolError as error:
            refusal = HEAD_TOO_LARGE if error.error_status_hint == HEAD_TOO_LARGE.status else NOT_HTTP
        peer = writer.get_extra_info("peername")
        self._log(
            {
                "event": "denied",
                "rule": refusal.rule,
                "client": peer[0] if peer else None,
                "method": _shown(request.method) if request else None,
                "target": _shown(request.target) if request else None,
            }
        )
        writer.write(_response(refusal, head_only=request is not None and request.method == b"HEAD"))
        await writer.drain()
        # Closing with bytes unread resets the connection, and the client may lose the answer.
        writer.write_eof()
        async with asyncio.timeout(DRAIN_SECONDS):
            while await reader.read(MAX_HEAD_BYTES):
                pass

    async def _serve_health(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self._head_seconds):
                line = await reader.readline()
            found = line.startswith(b"GET /healthz ")
            status = b"200 OK" if found else b"404 Not Found"
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        except (ConnectionError, TimeoutError, ValueError):
            pass  # A checker that gave up or sent nonsense gets no answer.
        finally:
            writer.close()


async def _head(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    """The request's head, None if the client leaves before it is whole.

    Raises:
        h11.RemoteProtocolError: it is no HTTP request, or too large.
    """
    room = MAX_HEAD_BYTES
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        if room == 0:
            raise h11.RemoteProtocolError("head too large", error_status_hint=HEAD_TOO_LARGE.status)
        received = await reader.read(room)
        connection.receive_data(received)
        room -= len(received)


def _response(refusal: Refusal, *, head_only: bool) -> bytes:
    body = refusal.body()
    reason = http.client.responses[refusal.status]
    head = (
        f"HTTP/1.1 {refusal.status} {reason}\r\n"
        f"x-egress-rule: {refusal.rule}\r\n"
        "content-type: application/json\r\n"
        "cache-control: no-store\r\n"
        f"content-length: {len(body)}\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode() + (b"" if head_only else body)


def _shown(raw: bytes) -> str:
    """A method or target for the log. h11 lets nothing but visible ASCII into them; here much is cut."""
    text = raw[:LOGGED_BYTES].decode("ascii")
    return text if len(raw) <= LOGGED_BYTES else f"{text}... ({len(raw)} bytes)"


def _write_line(record: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


async def serve() -> None:
    """Serve until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    gateway = Gateway(_write_line)
    # Sessions come from other hosts; the security group says which.
    proxy_port, health_port = await gateway.start("0.0.0.0", PROXY_PORT, HEALTH_PORT)
    _write_line({"event": "listening", "rule": RULE, "proxy_port": proxy_port, "health_port": health_port})
    await stopped.wait()
    await gateway.stop()


def check(port: int = HEALTH_PORT) -> int:
    """Ask the health port.

    Returns:
        0 when the gateway answers, else 1.
    """
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=3)
    try:
        connection.request("GET", "/healthz")
        return 0 if connection.getresponse().status == http.client.OK else 1
    except (OSError, http.client.HTTPException):
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(check())
    asyncio.run(serve())
