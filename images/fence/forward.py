"""Relays TCP ports into the network of a limited session, which publishes none itself. Standard library only."""

import asyncio
import ipaddress
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress

# Python in isolated mode looks for modules nowhere near its program.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
from fence import EX_CONFIG, Refused, become_nobody, leave, say

CONNECT_SECONDS = 10
FLUSH_SECONDS = 30
CHUNK = 64 * 1024
MAX_CONNECTIONS = 1024


def main() -> int:
    """Relay until told to stop.

    Returns:
        The exit code: 78 when the container is not as it must be.
    """
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    try:
        asyncio.run(forward(Forward.from_environment(os.environ)))
    except Refused as error:
        say("error", "refused", message=str(error))
    return EX_CONFIG


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
    say("info", "forwarding", listen=plan.listen, target=plan.target, ports=plan.ports)
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
            say("warning", "turned_away", peer=peer, port=port)
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
            say("warning", "session_does_not_answer", port=port, message=str(error) or "timed out")
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


if __name__ == "__main__":
    sys.exit(main())
