"""Requests that a credential route lets through: `METHOD /path`, or `METHOD /path/*` for every path below."""

import re
from collections.abc import Iterable

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# A path that every program reads alike: nothing encoded, no empty segment, none of dots, no parameter, no backslash.
_PLAIN = r"(?:/|(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~!$&'()+,=:@-]+)+/?)"
_PLAIN_PATH = re.compile(_PLAIN)
_REQUEST = re.compile(rf"(?:{'|'.join(sorted(METHODS))}) (?:/\*|{_PLAIN}|{_PLAIN}/\*)")


def is_request(text: str) -> bool:
    """Whether a text names requests as a policy does."""
    return _REQUEST.fullmatch(text) is not None and "//" not in text


def covers(allowed: Iterable[str], method: str, target: str) -> bool:
    """Whether a request is among these; `GET` covers `HEAD`, and a query counts for nothing.

    Args:
        allowed: Requests as a policy names them.
        method: In upper case.
        target: Path at the origin, with its query.
    """
    path = target.partition("?")[0]
    if not _PLAIN_PATH.fullmatch(path):
        return False
    asked = {f"{method} {path}", f"{'GET' if method == 'HEAD' else method} {path}"}
    return any(
        one in asked if not one.endswith("/*") else any(_below(request, one.removesuffix("*")) for request in asked)
        for one in allowed
    )


def _below(request: str, prefix: str) -> bool:
    return request.startswith(prefix) and request != prefix
