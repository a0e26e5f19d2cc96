"""The server behind the proxies: answers a ClientHello with bytes of that kind, then sends what it is asked for.

Started as `sink ADDRESS PORT`, without TLS: a proxy that splices never sees more of it than the hello, and
cryptography on both ends would hide what the proxy costs. Started as `sink ADDRESS PORT PEM`, it is a TLS server with
that certificate.
"""

import asyncio
import ssl
import sys

import uvloop

REPLY = b"\x16\x03\x03\x04\x00" + bytes(1024)
"""As long as a usual ServerHello flight."""
REQUEST = b"\x17SEND "
BLOCK = bytes(256 * 1024)


class Sink(asyncio.Protocol):
    """One connection: the first bytes are answered with `REPLY`, `REQUEST` and a number with that many bytes."""

    def __init__(self) -> None:
        self._greeted = False
        self._left = 0
        self._paused = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's class is no asyncio.Transport

    def data_received(self, data: bytes) -> None:
        """Answer."""
        if not self._transport:
            return
        if not self._greeted:
            self._greeted = True
            self._transport.write(REPLY)
        elif data.startswith(REQUEST):
            self._left = int(data.removeprefix(REQUEST))
            self._send()

    def pause_writing(self) -> None:
        """The other end is slow."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on."""
        self._paused = False
        self._send()

    def _send(self) -> None:
        while self._left and not self._paused and self._transport:
            size = min(self._left, len(BLOCK))
            self._left -= size
            self._transport.write(BLOCK[:size] if size < len(BLOCK) else BLOCK)


async def serve(address: str, port: int, certificate: str | None = None) -> None:
    """Serve for ever."""
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    protocol = asyncio.Protocol if context else Sink
    server = await asyncio.get_running_loop().create_server(protocol, address, port, backlog=4096, ssl=context)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]))
