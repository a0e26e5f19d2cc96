"""What a container wrote, line by line."""

import struct
import time
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from docker.models.containers import Container
from urllib3.exceptions import HTTPError

from operate.engine import patiently

MOST_BYTES = 1024 * 1024
"""Of one line; what is beyond is another line."""
AGAIN_SECONDS = 0.2
"""Before a log that ended before its container is followed again."""


def lines(pieces: Iterable[bytes], *, unfinished: bool = True) -> Iterator[str]:
    """Whole lines out of the engine's pieces, without line ends.

    The engine splits lines at 16 KiB and gives several at once; the last one may have no end.

    Args:
        pieces: In order.
        unfinished: Whether a last line without an end is one.
    """
    rest = b""
    for piece in pieces:
        rest += piece
        if b"\n" in piece:
            *whole, rest = rest.split(b"\n")
            for line in whole:
                yield _text(line)
        while len(rest) > MOST_BYTES:
            yield _text(rest[:MOST_BYTES])
            rest = rest[MOST_BYTES:]
    if rest and unfinished:
        yield _text(rest)


def container_lines(container: Container, *, follow: bool) -> Iterator[str]:
    """What a container wrote: its output, then its errors.

    Args:
        container: Any.
        follow: Whether to give the output as it comes, until the container has ended.

    Raises:
        NotFound: it has been removed meanwhile.
        OSError: the engine broke off, so that the rest is missing; while it is followed, it is followed again instead.
    """
    seen = 0
    while follow:
        try:
            for line in islice(lines(_read(container, "stdout", follow=True), unfinished=False), seen, None):
                seen += 1
                yield line
        except OSError:
            # The engine restarts, while the container may go on.
            time.sleep(AGAIN_SECONDS)
        patiently(container.reload)
        follow = container.status in ("running", "paused", "restarting")
        if follow:
            time.sleep(AGAIN_SECONDS)
    # An engine that follows may break off before the last of it, so all is read once more.
    pieces = (_read(container, name, follow=False) for name in ("stdout", "stderr"))
    yield from islice(chain.from_iterable(map(lines, pieces)), seen, None)


def _read(container: Container, name: str, *, follow: bool) -> Iterator[bytes]:
    # The stubs do not know that a stream gives bytes.
    wanted: Any = {"stdout": name == "stdout", "stderr": name == "stderr"}
    stream: Any = container.logs(stream=True, follow=follow, **wanted)
    try:
        # The SDK's own stream takes a connection that was cut for the end: a log would look whole.
        yield from getattr(stream, "_stream", stream)
    except (HTTPError, struct.error) as error:
        raise ConnectionError(f"it broke the log of {container.name} off: {error}") from None
    finally:
        close = getattr(stream, "close", None)
        if close:
            close()


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode(errors="replace")
