"""A second opinion on what may pass, written from the RFCs without a line of the gateway's code.

It need not be complete: it answers for the few names of the fuzzers' policy, and whatever it does not recognise is not
allowed.
"""

import re
import socket
import struct

ALLOWED_TARGET = re.compile(
    rb"(?i:(allowed\.test|xn--bcher-kva\.test|(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+wild\.test))\.?:443"
)
CONNECT_LINE = re.compile(rb"\r?\n?CONNECT ([^ ]+) HTTP/1\.[01]\r?\n")
CONTENT_TYPE_HANDSHAKE, CLIENT_HELLO, SERVER_NAME, HOST_NAME = 22, 1, 0, 0


def allowed_host(target: bytes) -> str | None:
    """The canonical host of a CONNECT target that the fuzzers' policy allows; None for any other."""
    match = ALLOWED_TARGET.fullmatch(target)
    if not match or len(match[1]) > 253:
        return None
    return match[1].decode("ascii").lower()


def connect_host(data: bytes) -> str | None:
    """The allowed host that a request asks for in its first line; None for anything else."""
    match = CONNECT_LINE.match(data)
    return allowed_host(match[1]) if match else None


def is_address(name: str) -> bool:
    """Whether the C library reads it as an address."""
    for read in (socket.inet_aton, lambda text: socket.inet_pton(socket.AF_INET6, text)):
        try:
            read(name)
        except OSError:
            continue
        return True
    return False


def server_name(data: bytes) -> str | None:
    """The name in the ClientHello at the beginning of a TLS stream; None if there is no such hello or name."""
    try:
        extensions = _extensions(_handshake(data))
        names = [body for kind, body in extensions if kind == SERVER_NAME]
        if len(names) != 1:
            return None
        (length,) = struct.unpack_from("!H", names[0])
        kind, size = struct.unpack_from("!BH", names[0], 2)
        if length != len(names[0]) - 2 or kind != HOST_NAME or size != length - 3:
            return None
        return names[0][5:].decode("ascii").lower()
    except (struct.error, UnicodeDecodeError):
        return None


def _handshake(data: bytes) -> bytes:
    """The body of the first handshake message, which must be a ClientHello, gathered from the records."""
    message, at = b"", 0
    while len(message) < 4 or len(message) < 4 + int.from_bytes(message[1:4]):
        kind, _, length = struct.unpack_from("!BHH", data, at)
        piece = data[at + 5 : at + 5 + length]
        if kind != CONTENT_TYPE_HANDSHAKE or len(piece) != length or not length:
            raise struct.error("no whole handshake record")
        message, at = message + piece, at + 5 + length
    if message[0] != CLIENT_HELLO:
        raise struct.error("another message")
    return message[4 : 4 + int.from_bytes(message[1:4])]


def _extensions(body: bytes) -> list[tuple[int, bytes]]:
    at = 34
    for size in ("!B", "!H", "!B"):  # session id, cipher suites, compression methods
        (length,) = struct.unpack_from(size, body, at)
        at += struct.calcsize(size) + length
    (total,) = struct.unpack_from("!H", body, at)
    at += 2
    if at + total != len(body):
        raise struct.error("extensions do not fill the message")
    found = []
    while at < len(body):
        kind, length = struct.unpack_from("!HH", body, at)
        if at + 4 + length > len(body):
            raise struct.error("an extension is longer than the message")
        found.append((kind, body[at + 4 : at + 4 + length]))
        at += 4 + length
    return found
