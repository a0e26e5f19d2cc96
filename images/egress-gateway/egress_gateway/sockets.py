"""Sockets whose kernel buffers do not grow: what a stalled client leaves there counts as the gateway's memory."""

import socket
from typing import Any

BUFFER_BYTES = 256 * 1024
"""Asked of the kernel for each direction of a socket; it takes up to twice as much, for what it keeps besides."""

AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]


def bounded(made: socket.socket) -> socket.socket:
    """The same socket, whose buffers grow no more."""
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        made.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
    return made


def outgoing(info: AddressInfo) -> socket.socket:
    """A socket that is to be connected, of the kind that an address needs."""
    family, kind, protocol, _, _ = info
    return bounded(socket.socket(family, kind, protocol))


def listening(host: str, port: int) -> socket.socket:
    """A bound socket, for an event loop to listen on: what it accepts has its buffers.

    Args:
        host: An address.
        port: Its port, 0 for a free one.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bounded(made).bind((host, port))
    except BaseException:
        made.close()
        raise
    return made
