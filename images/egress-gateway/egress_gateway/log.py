"""The log: one line of JSON for each thing that happened, on standard output."""

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

MAX_SHOWN = 256

Sink = Callable[[bytes], None]


def write_out(data: bytes) -> None:
    """Write all of it to standard output, past Python's buffers."""
    view = memoryview(data)
    while view:
        view = view[os.write(sys.stdout.fileno(), view) :]


class Log:
    """Makes lines of JSON out of records.

    What happens in one turn of the event loop is written at its end, in one piece.

    Args:
        sink: Takes whole lines, with their line breaks.
    """

    def __init__(self, sink: Sink = write_out) -> None:
        self._sink = sink
        self._lines: list[bytes] = []

    def flush(self) -> None:
        """Write what has not been written yet."""
        lines, self._lines = self._lines, []
        if lines:
            self._sink(b"".join(lines))

    def __call__(self, event: str, record: Mapping[str, object]) -> None:
        """Write one line: the time in RFC 3339 (UTC, milliseconds), the event and the record.

        JSON's own escapes keep any text in it to one line of ASCII.
        """
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if not self._lines:
            asyncio.get_running_loop().call_soon(self.flush)
        self._lines.append(json.dumps({"time": time, "event": event, **record}).encode() + b"\n")

    def fault(self, error: BaseException) -> None:
        """Write down that the program itself failed: where and by what kind of error.

        The error's text is left out, since it may quote anything.
        """
        frames = traceback.extract_tb(error.__traceback__)
        places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
        self("fault", {"error": type(error).__name__, "where": places})


def shown(raw: bytes) -> str:
    """Bytes from a client as text for the log: what is not ASCII as an escape, and not more than a line's worth."""
    text = raw[:MAX_SHOWN].decode("ascii", "backslashreplace")
    return text if len(raw) <= MAX_SHOWN else f"{text}... ({len(raw)} bytes)"
