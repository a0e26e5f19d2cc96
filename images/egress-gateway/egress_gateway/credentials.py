"""What a client shows to say who it is: a name and a token, of which the gateway holds the hash alone."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_AS = re.compile(rb"/\.as/([^/?#]*)/([^/?#]*)(/.*)")
# Wherever a URL may carry a token: behind the name in a route's path, and before the host.
_TOKENS = re.compile(rb"(/\.as/)[^?#]*|(:)[^/@]*(?=@)", re.IGNORECASE)


@dataclass(frozen=True)
class Shown:
    """A name and a token, as a client sent them; empty ones where it sent none."""

    name: str = ""
    token: str = ""


@dataclass(frozen=True)
class Agent:
    """One of several agents that share a session's address."""

    name: str
    token_sha256: str


def is_token(token: str, sha256: str) -> bool:
    """Whether this is the token with that hash; takes as long whatever the answer."""
    return hmac.compare_digest(hashlib.sha256(token.encode()).hexdigest(), sha256)


def parse_agents(given: Mapping[str, object]) -> tuple[Agent, ...]:
    """Agents from hashes by name, in the order of their names.

    Raises:
        ValueError: a name or a hash is none; the message leaves the hash out, since a token may stand in its place.
    """
    agents = []
    for name, digest in sorted(given.items()):
        if not _NAME.fullmatch(name):
            raise ValueError("agents: a name is not 1 to 64 letters, digits, dots, hyphens and underscores")
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise ValueError(f"agents[{name}]: is no SHA-256 in 64 lower-case hexadecimal digits")
        agents.append(Agent(name, digest))
    return tuple(agents)


def parse_options(given: list[str]) -> dict[str, str]:
    """Hashes by name from `NAME=SHA256` each.

    Raises:
        ValueError: one has no name, or two have the same.
    """
    found: dict[str, str] = {}
    for option in given:
        name, equals, digest = option.partition("=")
        if not equals or name in found:
            raise ValueError("--agent: is not NAME=SHA256, or the name is there twice")
        found[name] = digest
    return found


def from_header(value: bytes | None) -> Shown:
    """Name and token of a `Proxy-Authorization: Basic`; empty ones if it is none."""
    scheme, _, encoded = (value or b"").partition(b" ")
    if scheme.lower() != b"basic":
        return Shown()
    try:
        name, _, token = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return Shown()
    return Shown(name, token)


def from_target(target: bytes) -> tuple[Shown, bytes] | None:
    """Name and token of `/.as/NAME/TOKEN/ROUTE...`, and `/ROUTE...`; None if the target is no such path."""
    match = _AS.fullmatch(target)
    if match is None:
        return None
    try:
        return Shown(match[1].decode("ascii"), match[2].decode("ascii")), match[3]
    except UnicodeDecodeError:
        return None


def without_tokens(target: bytes) -> bytes:
    """A request target as it may be logged."""
    return _TOKENS.sub(rb"\1\2...", target)
