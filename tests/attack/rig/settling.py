"""Counters that lag behind the kernel miss what has just arrived: so a look at them waits for what is in flight."""

import select
import socket
import threading
import time

_PAUSE_SECONDS = 0.001
_LIMIT_SECONDS = 30.0


class Inbox:
    """Sockets whose readiness is taken note of in one step with what is read from them.

    A thread waits for a socket with `wait`, then reads and counts inside `lock`. `settle` returns when nothing is ready
    any more, and so everything that had arrived before it was called has been counted.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._watched: set[socket.socket] = set()

    def watch(self, connection: socket.socket) -> None:
        """Settling waits for this one too."""
        with self.lock:
            self._watched.add(connection)

    def close(self, connection: socket.socket) -> None:
        """Close it, and wait for it no more."""
        with self.lock:
            self._watched.discard(connection)
            connection.close()

    def wait(self, connection: socket.socket, seconds: float | None = None) -> bool:
        """Whether there is something to read, within `seconds`; None waits for ever."""
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        return bool(poll.poll(None if seconds is None else seconds * 1000))

    def settle(self) -> None:
        """Return when all that has arrived is counted.

        Raises:
            TimeoutError: There is no end to it.
        """
        deadline = time.monotonic() + _LIMIT_SECONDS
        while self._ready():
            if time.monotonic() > deadline:
                raise TimeoutError("the rig's servers do not come to rest")
            time.sleep(_PAUSE_SECONDS)

    def _ready(self) -> bool:
        with self.lock:
            poll = select.poll()
            for connection in self._watched:
                poll.register(connection, select.POLLIN)
            # A connection that has ended stays readable until its thread closes it; that is no news.
            return any(events & select.POLLIN and not events & select.POLLHUP for _, events in poll.poll(0))
