"""Network namespaces that the tests own, joined to each other and to nothing else: nothing can leave them.

`internet` makes one in which *every* address is local, so that a connection to a metadata address, a private or a
public one is answered by the rig's own listeners, and seen by them.
"""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

_SOCKET_MAKER = Path(__file__).with_name("socket_maker.py")
# In the main table, where the route to the neighbour is more specific; the kernel does not mind the table.
_EVERY_ADDRESS_IS_LOCAL = (
    ("route", "add", "local", "0.0.0.0/0", "dev", "lo", "table", "main"),
    ("-6", "route", "add", "local", "::/0", "dev", "lo", "table", "main"),
)
_UPLINK = (
    ("address", "add", "10.99.0.{end}/30", "dev", "uplink"),
    ("address", "add", "fd99::{end}/64", "dev", "uplink", "nodad"),
    ("link", "set", "uplink", "up"),
)


class NamespaceError(Exception):
    """The kernel or the account does not allow what the rig needs."""


class Namespace:
    """A network namespace, held open by a process in it that makes sockets on request.

    Sockets made here belong to the namespace and are used in this process as any other.
    """

    def __init__(self, enter: Sequence[str], *, user_namespace: bool) -> None:
        """Hold the namespace that `enter` (a command prefix) leads into; use `create` or `of_process`."""
        self._user_namespace = user_namespace
        self._lock = threading.Lock()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # The folder of a script is put before the standard library on sys.path; -I keeps it out.
            self._holder = subprocess.Popen(
                [*enter, sys.executable, "-I", str(_SOCKET_MAKER), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stderr=subprocess.PIPE,
            )
        if self._channel.recv(1) != b"+":
            _, error = self._holder.communicate(timeout=10)
            raise NamespaceError(
                f"no network namespace: {error.decode(errors='replace').strip()}. Run as root, or allow unprivileged "
                "user namespaces (sysctl kernel.unprivileged_userns_clone=1)."
            )

    @classmethod
    def create(cls) -> Self:
        """A new namespace with nothing but its `lo`.

        Raises:
            NamespaceError: Where neither root nor user namespaces are at hand.
        """
        user_namespace = os.geteuid() != 0
        kind = ["--user", "--map-root-user", "--net"] if user_namespace else ["--net"]
        made = cls(["unshare", *kind, "--"], user_namespace=user_namespace)
        made.ip("link", "set", "lo", "up")
        return made

    def internet(self) -> Self:
        """A second namespace behind this one's default route, in which every address is local."""
        made = type(self)(self.command(["unshare", "--net", "--"]), user_namespace=self._user_namespace)
        made.ip("link", "set", "lo", "up")
        self.ip("link", "add", "uplink", "type", "veth", "peer", "name", "uplink", "netns", str(made.pid))
        for end, namespace in ((1, self), (2, made)):
            for words in _UPLINK:
                namespace.ip(*(word.format(end=end) for word in words))
        self.ip("route", "add", "default", "via", "10.99.0.2")
        self.ip("-6", "route", "add", "default", "via", "fd99::2")
        for command in _EVERY_ADDRESS_IS_LOCAL:
            made.ip(*command)
        return made

    @classmethod
    def of_process(cls, pid: int) -> Self:
        """The namespace of a running process, for instance of a container; needs root, changes nothing in it."""
        return cls(["nsenter", "--target", str(pid), "--net", "--"], user_namespace=False)

    @property
    def pid(self) -> int:
        """A process in the namespace."""
        return self._holder.pid

    def new_socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A fresh socket that belongs to the namespace."""
        with self._lock:
            self._channel.send(json.dumps([family, kind]).encode())
            _, descriptors, _, _ = socket.recv_fds(self._channel, 1, 1)
        return socket.socket(fileno=descriptors[0])

    def listen(self, address: str, port: int, kind: int = socket.SOCK_STREAM, backlog: int = 512) -> socket.socket:
        """A socket bound to `address` and `port`; a stream socket listens. An IPv6 one takes IPv6 alone."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = self.new_socket(family, kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((address, port))
        if kind == socket.SOCK_STREAM:
            made.listen(backlog)
        return made

    def connect(self, address: str, port: int, *, source: str | None = None, seconds: float = 5) -> socket.socket:
        """A TCP connection inside the namespace, from `source` if given; its time-out stays at `seconds`."""
        made = self.new_socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        try:
            made.settimeout(seconds)
            if source:
                made.bind((source, 0))
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.connect((address, port))
        except BaseException:
            made.close()
            raise
        return made

    def command(self, arguments: Sequence[str]) -> list[str]:
        """`arguments` as a command line that runs inside the namespace."""
        enter = ["nsenter", "--target", str(self._holder.pid), "--net"]
        if self._user_namespace:
            enter += ["--user", "--preserve-credentials"]
        return [*enter, "--", *arguments]

    def run(self, arguments: Sequence[str]) -> str:
        """Run a short command inside; its output. A failure raises `subprocess.CalledProcessError`."""
        done = subprocess.run(self.command(arguments), check=True, capture_output=True, text=True, timeout=30)
        return done.stdout

    def ip(self, *arguments: str) -> None:
        """Run `ip` inside."""
        self.run(["ip", *arguments])

    def start(
        self, arguments: Sequence[str], *, environment: Mapping[str, str], output: IO[bytes], cwd: Path | None = None
    ) -> "subprocess.Popen[bytes]":
        """Start a program inside, its output and errors in one file."""
        return subprocess.Popen(
            self.command(arguments),
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def close(self) -> None:
        """Let the namespace go; it ends with the last process and socket in it."""
        self._channel.close()
        self._holder.wait(timeout=10)
        if self._holder.stderr:
            self._holder.stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
