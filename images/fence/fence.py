"""Holds the network namespace that a session on a Docker host lives in, or relays a port into one.

`hold` sets the firewall rules of its namespace, gives up every privilege, and only then answers on a socket that
nobody outside the namespace can see: whatever joins the namespace waits for that, and stays connected, so that it
learns when the fence is gone. A session under gVisor has UNIX sockets of its own, so a port of the loopback address
answers too. `forward` relays TCP ports. `hold` is the first process of its container: an init before it would keep its
capabilities. Standard library only.
"""

import asyncio
import functools
import ipaddress
import json
import operator
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

SOCKET = "\0agentenv-fence"
"""Abstract name: it belongs to the network namespace and to no file system."""
READY_PORT = 1023
"""On the loopback address of the namespace; below the ports that a session may declare."""
NOBODY = 65534
EX_CONFIG = 78
"""Exit code for a configuration error (sysexits.h)."""
NFT_SECONDS = 10
CONNECT_SECONDS = 10
FLUSH_SECONDS = 30
CHUNK = 64 * 1024
MAX_CONNECTIONS = 1024
MAX_GUESTS = 64
"""Connections held at a time; a namespace has one or two programs that wait for its fence."""


class Refused(Exception):  # noqa: N818 - reads as what it is wherever it is raised
    """The container is not as it must be; nothing is served."""


def main(arguments: list[str]) -> int:
    """Run one of the two.

    Args:
        arguments: `hold` or `forward`.

    Returns:
        The exit code: 78 when the container is not as it must be.
    """
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    try:
        if arguments == ["hold"]:
            hold(os.environ.get("FENCE_RULES", ""))
        if arguments == ["forward"]:
            asyncio.run(forward(Forward.from_environment(os.environ)))
    except Refused as error:
        _say("error", "refused", message=str(error))
    else:
        _say("error", "usage", message="what to do must be given: hold or forward")
    return EX_CONFIG


def hold(rules: str) -> NoReturn:
    """Set `rules`, become nobody, then stand by for as long as the namespace is needed.

    Raises:
        Refused: the rules are missing or not taken, or a privilege is left.
    """
    if not rules.strip():
        raise Refused("FENCE_RULES is empty, and a namespace without rules is no fence")
    apply(rules)
    become_nobody()
    # What others leave behind here is nobody's to wait for; from now on nothing of this program's own is either.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door, socket.socket() as port:
        # A connection that a fence before this one held may still be on its way out.
        port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(SOCKET)
            port.bind(("127.0.0.1", READY_PORT))
        except OSError as error:
            raise Refused(f"somebody in this namespace stands in for the fence: {error.strerror}") from None
        door.listen(64)
        port.listen(64)
        _say("info", "fence_stands")
        stand([door, port])


def stand(doors: list[socket.socket]) -> NoReturn:
    """Take whoever connects, and keep the connection: its end tells the other side that the fence is gone."""
    guests = selectors.DefaultSelector()
    for door in doors:
        door.settimeout(0)
        guests.register(door, selectors.EVENT_READ, door)
    while True:
        ready: list[socket.socket] = [key.data for key, _ in guests.select()]
        # Those who leave first: they make room for whoever is at a door.
        for one in sorted(ready, key=lambda one: one in doors):
            if one not in doors:
                # There is nothing to say here, so it is gone, or not what it should be.
                guests.unregister(one)
                one.close()
                continue
            with suppress(OSError):
                guest, _ = one.accept()
                if len(guests.get_map()) < MAX_GUESTS + len(doors):
                    guests.register(guest, selectors.EVENT_READ, guest)
                else:
                    guest.close()


def apply(rules: str) -> None:
    """Give `rules` to nft, which takes all of them or none.

    Raises:
        Refused: it did not take them.
    """
    try:
        done = subprocess.run(
            ["/usr/sbin/nft", "-f", "-"], input=rules, capture_output=True, text=True, timeout=NFT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(f"nft cannot be run: {error}") from None
    if done.returncode:
        raise Refused(f"nft does not take the rules: {' '.join(done.stderr.split())[:500]}")


def become_nobody() -> None:
    """Give up root and with it every capability, for good.

    Raises:
        Refused: something of them is left.
    """
    if os.getuid() == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        except OSError as error:
            raise Refused(f"cannot become nobody: {error.strerror}") from None
    if left := capabilities():
        raise Refused(f"capabilities are left: {left:#x}")


def capabilities() -> int:
    """What this process may do now or could take back, as a bit set (capabilities(7))."""
    sets = ("CapInh", "CapPrm", "CapEff", "CapAmb")
    lines = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    return functools.reduce(operator.or_, (int(lines[name], 16) for name in sets))


class Forward:
    """What is relayed to where.

    Attributes:
        listen: Address that ports are served on: the container's own in the network that publishes them.
        target: Address of the session.
        source: The one address whose connections are relayed: the host's own in that network, where published ports
            come from.
        ports: TCP ports, the same on both sides.
    """

    def __init__(self, listen: str, target: str, source: str, ports: str) -> None:
        try:
            self.listen = str(ipaddress.ip_address(listen))
            self.target = str(ipaddress.ip_address(target))
            self.source = ipaddress.ip_address(source)
            self.ports = [int(port) for port in ports.split(",")]
        except ValueError as error:
            raise Refused(f"FORWARD_LISTEN, _TARGET, _FROM or _PORTS is wrong: {error}") from None

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> "Forward":
        """As the container was told."""
        return cls(*(variables.get(f"FORWARD_{name}", "") for name in ("LISTEN", "TARGET", "FROM", "PORTS")))

    def takes(self, peer: str) -> bool:
        """Whether a connection from this address is relayed."""
        return ipaddress.ip_address(peer) == self.source


async def forward(plan: Forward) -> None:
    """Relay until told to stop.

    Raises:
        Refused: a privilege is left, or a port cannot be served.
    """
    become_nobody()
    relay = Relay(plan)
    try:
        servers = [await asyncio.start_server(relay.serve, plan.listen, port, limit=CHUNK) for port in plan.ports]
    except OSError as error:
        raise Refused(f"cannot listen: {error.strerror}") from None
    _say("info", "forwarding", listen=plan.listen, target=plan.target, ports=plan.ports)
    await asyncio.gather(*(server.serve_forever() for server in servers))


class Relay:
    """Pairs of connections, each copied in both directions until both are done."""

    def __init__(self, plan: Forward) -> None:
        self._plan = plan
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection from outside."""
        peer, port = writer.get_extra_info("peername")[0], writer.get_extra_info("sockname")[1]
        if not self._plan.takes(peer) or self._open >= MAX_CONNECTIONS:
            _say("warning", "turned_away", peer=peer, port=port)
            writer.transport.abort()
            return
        self._open += 1
        try:
            await self._relay(port, reader, writer)
        finally:
            self._open -= 1
            writer.transport.abort()

    async def _relay(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                inner_reader, inner_writer = await asyncio.open_connection(self._plan.target, port, limit=CHUNK)
        except (OSError, TimeoutError) as error:
            _say("warning", "session_does_not_answer", port=port, message=str(error) or "timed out")
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_copy(reader, inner_writer))
                both.create_task(_copy(inner_reader, writer))
            await _flushed(writer)
        except* OSError:
            # One side is gone: so is the pair, as it would be without a relay.
            pass
        finally:
            inner_writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def _flushed(writer: asyncio.StreamWriter) -> None:
    """Wait until the last bytes have gone, for as long as somebody who still reads would take."""
    writer.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(FLUSH_SECONDS):
            await writer.wait_closed()


def _leave(*_: object) -> NoReturn:
    sys.exit(0)


def _say(level: str, event: str, **more: object) -> None:
    print(json.dumps({"level": level, "event": event, **more}), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
