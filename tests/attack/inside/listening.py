"""A TCP and UDP server on the Docker host itself, which remembers who came."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

GREETING = b"host"


class Listener:
    """Listens on every address of the host, both families.

    Attributes:
        received: `tcp ADDRESS` or `udp ADDRESS` of everybody who came.
    """

    def __init__(self, port: int) -> None:
        self.received: list[str] = []
        self._sockets = []
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            one = socket.socket(socket.AF_INET6, kind)
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(("::", port))
            if kind is socket.SOCK_STREAM:
                one.listen(64)
            self._sockets.append(one)
            serve = self._streams if kind is socket.SOCK_STREAM else self._datagrams
            threading.Thread(target=serve, args=(one,), daemon=True).start()

    def _streams(self, one: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, (address, *_) = one.accept()
                self.received.append(f"tcp {address.removeprefix('::ffff:')}")
                with connection, suppress(OSError):
                    connection.sendall(GREETING)

    def _datagrams(self, one: socket.socket) -> None:
        with suppress(OSError):
            while True:
                _, sender = one.recvfrom(2048)
                if sender is None:
                    return
                self.received.append(f"udp {sender[0].removeprefix('::ffff:')}")
                one.sendto(GREETING, sender)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for one in self._sockets:
            # Closing alone leaves a thread that waits in accept or recv.
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
