"""Tokens: what proves to a service or a gateway who is asking."""

import hashlib
import secrets


def new_token() -> str:
    """A token of 256 random bits, of letters, digits, `-` and `_`."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """SHA-256 of a token, as `token_sha256` wants it."""
    return hashlib.sha256(token.encode()).hexdigest()
