"""The server name of a TLS ClientHello, read by OpenSSL itself.

What counts is the name in clear. With Encrypted Client Hello that is the outer one, which must be the tunnel's host as
any other must: the inner one only the host itself can read, and it is reached at the address of the outer.
"""

import ssl


class _Object(ssl.SSLObject):
    """Keeps what the ClientHello asked for."""

    hello_read = False
    server_name: str | None = None


def _note_name(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> int:
    if isinstance(connection, _Object):
        connection.hello_read, connection.server_name = True, name
    # Ends the handshake here: no certificate is needed, and if the name is refused the alert is there to send.
    return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = _Object
    context.sni_callback = _note_name
    return context


_CONTEXT = _context()


class ClientHello:
    """Takes a client's first bytes until they are a ClientHello, or cannot become one."""

    def __init__(self) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._fed = 0
        self._tls = _CONTEXT.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def feed(self, data: bytes) -> bool:
        """Take more bytes.

        Returns:
            Whether the ClientHello is whole.

        Raises:
            ssl.SSLError: the bytes are no ClientHello.
        """
        self._fed += len(data)
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError:
            if not self._read.hello_read:
                raise
        return True

    @property
    def size(self) -> int:
        """Bytes that have been read of the ClientHello; what came behind it is not."""
        return self._fed - self._incoming.pending

    @property
    def server_name(self) -> str | None:
        """The name asked for as it was written; None if the client named none."""
        return self._read.server_name

    def alert(self) -> bytes:
        """The TLS alert that tells the client of the refusal; empty if there is none."""
        return self._outgoing.read()

    @property
    def _read(self) -> _Object:
        if not isinstance(self._tls, _Object):
            raise TypeError("the context makes objects of its own class")
        return self._tls
