"""A client's connection until it becomes a tunnel: bytes in, bytes out, neither more than can be held."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import cast

_HIGH_WATER = 64 * 1024
_DRAIN_SECONDS = 1.0

Serve = Callable[["Connection"], Coroutine[object, object, None]]


class Connection(asyncio.Protocol):
    """Reads and writes of one client, as coroutines.

    Args:
        serve: Started with each new connection, cancelled when the client is gone.
        keep: Takes the started task.

    Attributes:
        transport: The connection; set once it is made.
        source: Address of the client.
        established: Whether a tunnel has been promised, in which an HTTP answer would be taken for the host's.
    """

    transport: asyncio.Transport

    def __init__(self, serve: Serve, keep: Callable[[asyncio.Task[None]], None]) -> None:
        self._serve, self._keep = serve, keep
        self._received = bytearray()
        self._eof = self._paused = self._is_to_stay = False
        self._waiting: asyncio.Future[None] | None = None
        self._full: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self.source = ""
        self.established = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve."""
        self.transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self.source = peer[0] if peer else ""
        self._task = asyncio.get_running_loop().create_task(self._serve(self))
        self._keep(self._task)

    def data_received(self, data: bytes) -> None:
        """Hold what was read until it is asked for."""
        self._received += data
        if len(self._received) > _HIGH_WATER:
            self.transport.pause_reading()
            self._paused = True
        self._wake()

    def eof_received(self) -> bool:
        """The client sends no more; unless it is to stay, it may still be answered."""
        self._eof = True
        self._wake()
        return not self._is_to_stay

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        """The client is gone: nobody is left to serve."""
        self._eof = True
        self._wake()
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        """The client is slow."""
        self._full = asyncio.Event()

    def resume_writing(self) -> None:
        """The client has taken enough."""
        if self._full is not None:
            self._full.set()
            self._full = None

    async def read(self, deadline: float | None = None) -> bytes:
        """What has been received since the last read, or will be next; nothing at the end.

        Args:
            deadline: When to give up, in the event loop's time.

        Raises:
            TimeoutError: nothing came until then.
        """
        while not self._received and not self._eof:
            loop = asyncio.get_running_loop()
            waiting = self._waiting = loop.create_future()
            timer = loop.call_at(deadline, _expire, waiting) if deadline is not None else None
            try:
                await waiting
            finally:
                if timer is not None:
                    timer.cancel()
        data = bytes(self._received)
        self._received.clear()
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Send, at the client's pace."""
        self.transport.write(data)
        if self._full is not None:
            await self._full.wait()

    async def finish(self, last: bytes) -> None:
        """Send the last bytes and see that the client can read them before the connection closes."""
        if self.transport.is_closing():
            return
        self.transport.write(last)
        if self._eof:
            return
        # Closing with bytes unread resets the connection, and the client may lose the answer.
        self.transport.write_eof()
        deadline = asyncio.get_running_loop().time() + _DRAIN_SECONDS
        try:
            while await self.read(deadline):
                pass
        except TimeoutError:
            return

    @contextmanager
    def staying(self) -> Iterator[None]:
        """While something costly is done for the client, its end is taken for its leaving, and ends the work."""
        self._is_to_stay = True
        if self._eof:
            self.transport.close()
        try:
            yield
        finally:
            self._is_to_stay = False

    def hand_over(self, protocol: asyncio.BaseProtocol) -> bytes:
        """Give the connection to another protocol.

        Returns:
            What was received and not read.

        Raises:
            ConnectionError: the client is gone.
        """
        if self.transport.is_closing() or self._eof:
            raise ConnectionResetError("the client has left")
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        self._task = None
        if self._paused:
            self.transport.resume_reading()
        return bytes(self._received)

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


def _expire(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_exception(TimeoutError())
