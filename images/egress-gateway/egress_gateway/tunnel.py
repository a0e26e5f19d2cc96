"""Two connections joined: what one receives the other sends, at the pace of the slower one."""

import asyncio
from collections.abc import Callable
from typing import cast

from egress_gateway.denial import Subject
from egress_gateway.document import HostEntry
from egress_gateway.flows import Flow, Flows
from egress_gateway.policy import Policy

BUFFER_BYTES = 128 * 1024
_SPARE_BUFFERS = 16


class _Buffers:
    """The read buffer that all tunnels share, since the bytes of a read are sent before the next read begins.

    Only what a slow receiver does not take at once stays in a buffer, which that tunnel then keeps for as long.
    """

    def __init__(self) -> None:
        self._spare: list[memoryview] = []
        self.view = memoryview(bytearray(BUFFER_BYTES))

    def keep(self) -> memoryview:
        """The current buffer, which is still being sent from; others read into a new one."""
        kept = self.view
        self.view = self._spare.pop() if self._spare else memoryview(bytearray(BUFFER_BYTES))
        return kept

    def give_back(self, kept: memoryview) -> None:
        """A buffer that all has been sent from."""
        if len(self._spare) < _SPARE_BUFFERS:
            self._spare.append(kept)


_BUFFERS = _Buffers()


class Side(asyncio.BufferedProtocol):
    """One of a tunnel's two connections.

    Attributes:
        transport: The connection.
        received: Bytes read from it.
    """

    __slots__ = ("_early", "_ended", "_kept", "_lost", "_other", "received", "transport")

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.received = 0
        self._other: Side | None = None
        self._lost: Callable[[], None] | None = None
        self._kept: memoryview | None = None
        self._early = b""
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the connection."""
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        """Send the other side what it has not taken yet, and close it."""
        if self._other is not None and self._other.transport is not None:
            self._other.transport.close()
        if self._lost is not None:
            self._lost()

    def join(self, other: "Side", lost: Callable[[], None]) -> None:
        """Send on to `other` whatever is read from now on.

        Args:
            other: The tunnel's other side.
            lost: Called when this side's connection is gone.
        """
        self._other, self._lost = other, lost
        if self.transport is not None:
            # Whatever is not sent at once stops the reading, so no more than one buffer ever waits.
            self.transport.set_write_buffer_limits(high=0)

    def pass_on(self, first: bytes = b"") -> None:
        """Send on what was read before the two sides were joined, and then read on.

        Args:
            first: What another protocol read.
        """
        first, self._early = first + self._early, b""
        other = self._other
        if not first or other is None or other.transport is None:
            return
        other.transport.write(first)
        # What the other side has not taken has stopped the reading here, and will start it again.
        if not other.transport.get_write_buffer_size():
            self.read_again()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the protocol's signature
        """Where to read to."""
        return _BUFFERS.view

    def buffer_updated(self, nbytes: int) -> None:
        """Send what was read."""
        self.received += nbytes
        other = self._other
        if other is None:
            # A host that speaks first is not heard before the client's first bytes are found good.
            self._early += bytes(_BUFFERS.view[:nbytes])
            if self.transport is not None:
                self.transport.pause_reading()
            return
        peer = other.transport
        if peer is not None and not peer.is_closing():
            peer.write(_BUFFERS.view[:nbytes])
            if peer.get_write_buffer_size():
                self._kept = _BUFFERS.keep()

    def eof_received(self) -> bool:
        """Pass the end on; the other direction goes on until it ends too."""
        self._ended = True
        other = self._other
        if other is None or other.transport is None or other.transport.is_closing():
            return False
        if other._ended:
            other.transport.close()
            return False
        other.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        """This side is slow: read no more from the other."""
        if self._other is not None and self._other.transport is not None:
            self._other.transport.pause_reading()

    def resume_writing(self) -> None:
        """This side has taken everything: read from the other again."""
        if self._other is not None:
            self._other.read_again()

    def read_again(self) -> None:
        """Everything that was read has been sent: read on."""
        if self._kept is not None:
            _BUFFERS.give_back(self._kept)
            self._kept = None
        if self.transport is not None and not self._ended:
            self.transport.resume_reading()

    def abort(self) -> None:
        """Close the connection at once."""
        if self.transport is not None:
            self.transport.abort()


class Tunnel(Flow):
    """A client joined with the host that it asked for.

    Args:
        subject: Whose, and where to.
        source: Address of the client.
        entry: The policy's entry that allows it.
        client: The client's side.
        upstream: The host's side.
    """

    def __init__(self, subject: Subject, source: str, entry: HostEntry, client: Side, upstream: Side) -> None:
        super().__init__(subject, source, entry.field)
        self._entry, self._client, self._upstream = entry, client, upstream
        self._open = 2

    def start(self, flows: Flows, first: bytes, done: Callable[[], None]) -> None:
        """Send the client's first bytes on, unchanged, and join the two sides.

        Args:
            flows: Takes note of the tunnel.
            first: What was read from the client for its ClientHello.
            done: Called when both connections are gone.
        """

        def lost() -> None:
            self._open -= 1
            if self._open == 0:
                flows.end(self, "closed")
                done()

        flows.begin(self)
        self._client.received += len(first)
        # Joined before anything is sent: whoever is slow from the first byte must be able to stop the other.
        self._client.join(self._upstream, lost)
        self._upstream.join(self._client, lost)
        self._client.pass_on(first)
        self._upstream.pass_on()

    def moved(self) -> tuple[int, int]:
        """Bytes from the client and to the client until now."""
        return self._client.received, self._upstream.received

    def allowed_by(self, policy: Policy) -> bool:
        """Whether the policy lets the session connect to the host, at the kind of address that it is connected to."""
        subject = self.subject
        entry = policy.host(subject.session or "", subject.host or "", subject.port or 0)
        return entry.private_range == self._entry.private_range

    def cut(self) -> None:
        """Break both connections off."""
        self._client.abort()
        self._upstream.abort()
