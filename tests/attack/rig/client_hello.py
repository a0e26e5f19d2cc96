"""TLS ClientHellos in every shape, well-formed unless a case asks for otherwise (RFC 8446, 4.1.2; RFC 6066, 3)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

SERVER_NAME, SUPPORTED_GROUPS, SIGNATURE_ALGORITHMS, SUPPORTED_VERSIONS, KEY_SHARE = 0, 10, 13, 43, 51
ENCRYPTED_CLIENT_HELLO = 0xFE0D
HANDSHAKE, CLIENT_HELLO, HOST_NAME = 22, 1, 0


def _vector(data: bytes, *, length_bytes: int = 2) -> bytes:
    return len(data).to_bytes(length_bytes) + data


def server_name(*names: bytes, kind: int = HOST_NAME) -> tuple[int, bytes]:
    """The server_name extension with these names; with none, an empty list."""
    return SERVER_NAME, _vector(b"".join(bytes([kind]) + _vector(name) for name in names))


def encrypted_client_hello() -> tuple[int, bytes]:
    """An outer ECH extension as every Chromium sends it, whether or not there is anything inside (GREASE)."""
    suite = struct.pack("!HH", 1, 1)  # HKDF-SHA256, AES-128-GCM
    return ENCRYPTED_CLIENT_HELLO, b"\x00" + suite + b"\x2a" + _vector(bytes(range(32))) + _vector(b"\x5c" * 176)


@dataclass(frozen=True)
class ClientHello:
    """The parts of a hello that cases change.

    Attributes:
        extensions: (type, body) put before the usual ones.
        record_bytes: Length of the handshake bytes in each record; 0 for all in one.
        padding: Bytes of an extension that means nothing (RFC 7685).
    """

    extensions: Sequence[tuple[int, bytes]] = ()
    record_bytes: int = 0
    padding: int = 0

    def encode(self) -> bytes:
        """The bytes on the wire: one or more handshake records."""
        usual = [
            (SUPPORTED_GROUPS, _vector(struct.pack("!H", 29))),
            (SIGNATURE_ALGORITHMS, _vector(struct.pack("!HHH", 0x0403, 0x0804, 0x0401))),
            (SUPPORTED_VERSIONS, _vector(struct.pack("!H", 0x0304), length_bytes=1)),
            (KEY_SHARE, _vector(struct.pack("!H", 29) + _vector(bytes([9]) + bytes(31)))),
        ]
        padding = [(21, bytes(self.padding))] if self.padding else []
        extensions = [*self.extensions, *usual, *padding]
        body = (
            struct.pack("!H", 0x0303)
            + bytes(range(32))
            + _vector(bytes(32), length_bytes=1)
            + _vector(struct.pack("!HHH", 0x1301, 0x1302, 0x1303))
            + _vector(b"\x00", length_bytes=1)
            + _vector(b"".join(struct.pack("!H", kind) + _vector(data) for kind, data in extensions))
        )
        message = bytes([CLIENT_HELLO]) + _vector(body, length_bytes=3)
        step = self.record_bytes or len(message)
        pieces = [message[index : index + step] for index in range(0, len(message), step)]
        return b"".join(struct.pack("!BH", HANDSHAKE, 0x0301) + _vector(piece) for piece in pieces)


def hello(*names: bytes, record_bytes: int = 0, padding: int = 0) -> bytes:
    """A hello with a server_name extension of these names."""
    return ClientHello([server_name(*names)], record_bytes, padding).encode()
