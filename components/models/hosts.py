"""Host names as an egress policy may name them."""

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

import idna
from pydantic import AfterValidator

HTTPS_PORT = 443
_MAX_INPUT = 1024
_HOST_FIX = "write a host name like api.example.com, or *.example.com for every name below it"
_URL_FIX = "write it like https://mcp.example.com/sse"
_NUMERIC_LABEL = re.compile(r"0x[0-9a-f]*|[0-9]+")


def _check_text(value: str, fix: str) -> None:
    if len(value) > _MAX_INPUT:
        raise ValueError(f"has {len(value)} characters, more than any host name. Fix: {fix}")
    if not value.isprintable() or any(c.isspace() for c in value):
        raise ValueError(f"holds white space or control characters. Fix: {fix}")


def _is_address(name: str) -> bool:
    """Whether some resolver would read `name` as an address: dotted, decimal, hexadecimal, octal or short forms."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        # inet_aton takes numbers in any base and fewer than four of them. No top-level domain is a number (RFC 3696),
        # so whatever ends in one is meant as an address, or is none at all.
        return _NUMERIC_LABEL.fullmatch(name.lower().rpartition(".")[2]) is not None
    return True


def _host(name: str, fix: str) -> str:
    """`name` as a lower-case A-label without its trailing dot.

    Raises:
        ValueError: it is no host name; with rule and fix.
    """
    if _is_address(name.removesuffix(".")):
        raise ValueError(f"is an address, and an egress policy names hosts. Fix: {fix}")
    try:
        mapped = idna.uts46_remap(name, std3_rules=True).removesuffix(".")
        encoded = idna.encode(mapped, std3_rules=True).decode().lower()
    except UnicodeError as error:
        raise ValueError(f"is not a host name ({error}). Fix: {fix}") from None
    # Once more, since the mapping turns full-width digits and dots into plain ones.
    if _is_address(encoded):
        raise ValueError(f"is an address, and an egress policy names hosts. Fix: {fix}")
    if encoded.endswith("."):
        raise ValueError(f"is not a host name (it ends in two dots). Fix: {fix}")
    if "." not in encoded:
        raise ValueError(f"is a single label: a whole top-level domain or a local name. Fix: {fix}")
    return encoded


def _pattern(value: str) -> str:
    _check_text(value, _HOST_FIX)
    scheme, separator, rest = value.partition("://")
    if separator:
        if scheme.lower() != "https":
            raise ValueError(f"names a scheme other than https, and only https leaves an environment. Fix: {_HOST_FIX}")
        value = rest
    if value.startswith("[") or value.count(":") > 1:
        raise ValueError(f"is an address, and an egress policy names hosts. Fix: {_HOST_FIX}")
    if any(c in value for c in "/?#@\\%"):
        raise ValueError(f"holds a path, query or credentials, and the fence sees host names only. Fix: {_HOST_FIX}")
    if ":" in value:
        raise ValueError(f"names a port, and allowed hosts are reached on port {HTTPS_PORT} only. Fix: {_HOST_FIX}")
    wildcard = value.startswith("*.")
    name = value[2:] if wildcard else value
    if "*" in name:
        raise ValueError(f"has a * that is not its whole first label before a domain. Fix: {_HOST_FIX}")
    return f"*.{_host(name, _HOST_FIX)}" if wildcard else _host(name, _HOST_FIX)


HostPattern = Annotated[str, AfterValidator(_pattern)]
"""A host of `allowed_hosts`, stored bare: `https://` in front is dropped; `*.x` is any name below x, never x itself."""


def url_host(url: str) -> tuple[str, int]:
    """Host and port of an https URL, such as an MCP server's.

    Args:
        url: Absolute URL; path and query may be anything.

    Returns:
        The host as a lower-case A-label without trailing dot, and the port (443 when the URL names none).

    Raises:
        ValueError: the URL is not https, holds credentials, or names no host; with rule and fix.
    """
    if not url.isprintable() or any(c.isspace() or c == "\\" for c in url):
        raise ValueError(f"holds white space, control characters or backslashes. Fix: {_URL_FIX}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(f"is not a URL. Fix: {_URL_FIX}") from None
    if parts.scheme != "https":
        raise ValueError(f"must be https. Fix: {_URL_FIX}")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"holds credentials, which belong into a secret. Fix: {_URL_FIX}")
    if not parts.hostname:
        raise ValueError(f"names no host. Fix: {_URL_FIX}")
    if port == 0:
        raise ValueError(f"names port 0, which nobody listens on. Fix: {_URL_FIX}")
    _check_text(parts.hostname, _URL_FIX)
    return _host(parts.hostname, _URL_FIX), port or HTTPS_PORT


def matches(pattern: str, host: str) -> bool:
    """Whether a policy's pattern allows a host.

    Args:
        pattern: A `HostPattern` as stored.
        host: A lower-case A-label without trailing dot.

    Returns:
        Whether they are equal or, for `*.x`, whether one label or more stands before `.x`.
    """
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) >= len(pattern)
    return host == pattern
