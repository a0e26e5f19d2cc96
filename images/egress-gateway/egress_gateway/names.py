"""Names and ports as clients and policies write them, brought to one spelling or refused."""

import ipaddress
import re
from functools import lru_cache

import idna

from egress_gateway.denial import Denied

MAX_NAME = 253
MAX_PORT = 65535
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
# Characters of a host and port, and the brackets and colons of IPv6 literals, which get a rule of their own.
_AUTHORITY = re.compile(r"[A-Za-z0-9._:\[\]-]+")


@lru_cache(maxsize=4096)
def authority(target: bytes) -> tuple[str, int]:
    """Host and port of a CONNECT request's target.

    Args:
        target: The request target as it came.

    Returns:
        The host as a lower-case A-label without trailing dot, and the port.

    Raises:
        Denied: `bad-authority`, `address-literal` or `bad-host`.
    """
    text = target.decode("latin-1")
    if not _AUTHORITY.fullmatch(text):
        raise Denied("bad-authority")
    host, _, port = text.rpartition(":")
    if _is_address(host.removeprefix("[").removesuffix("]")):
        raise Denied("address-literal")
    if not host or not _PORT.fullmatch(port) or int(port) > MAX_PORT or not {*"[]:"}.isdisjoint(host):
        raise Denied("bad-authority")
    return canonical_host(host), int(port)


def canonical_host(name: str) -> str:
    """`name` in the one spelling that decisions are made on: a lower-case A-label without trailing dot.

    Raises:
        Denied: `address-literal` for what any resolver would read as an address, else `bad-host`.
    """
    host = name.lower().removesuffix(".")
    if _is_address(host):
        raise Denied("address-literal")
    if len(host) > MAX_NAME or not name.isascii():
        raise Denied("bad-host")
    for label in host.split("."):
        if not _LABEL.fullmatch(label):
            raise Denied("bad-host")
        if label.startswith("xn--"):
            _check_a_label(label)
    return host


def _check_a_label(label: str) -> None:
    """An A-label must decode, and encode to itself again: two spellings of one name would be two names."""
    try:
        same = idna.alabel(idna.ulabel(label)).decode() == label
    except UnicodeError:
        same = False
    if not same:
        raise Denied("bad-host")


def _is_address(name: str) -> bool:
    """Whether some resolver would read `name` as an address: dotted, decimal, hexadecimal, octal or short forms."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        # inet_aton takes numbers in any base and fewer than four of them. No top-level domain is a number (RFC 3696),
        # so whatever ends in one is meant as an address, or is none at all.
        return _NUMBER.fullmatch(name.lower().removesuffix(".").rpartition(".")[2]) is not None
    return True
