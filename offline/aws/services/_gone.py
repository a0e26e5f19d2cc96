"""Telling that an object is gone by the error codes of a single call."""

from collections.abc import Iterator
from contextlib import contextmanager

from offline.aws.errors import code_of, is_missing
from offline.aws.resource import Gone


@contextmanager
def gone_if(*codes: str) -> Iterator[None]:
    """Around the calls of a `read`: raises `Gone` for the usual "no such thing" and for these error codes."""
    try:
        yield
    except Exception as error:
        if is_missing(error) or code_of(error) in codes:
            raise Gone from error
        raise
