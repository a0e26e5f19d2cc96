"""The runner's output: one JSON object a line, none longer than 8 KiB, for whoever reads the container's log."""

import json
import os
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

Emit = Callable[[str, Mapping[str, object]], None]
"""Tells an event: its name and its fields."""
MOST_BYTES = 8 * 1024
_LENGTHS = (6000, 3000, 1200, 400, 100, 20)
"""Characters of each text that stay where a line would be too long, tried in turn until it fits."""
_MOST_FIELDS, _LONGEST_NAME = 12, 64
"""Of the fields of such a line: with the last of the lengths it fits, since a character takes six bytes at most."""
STDOUT = 1


def now() -> str:
    """The time, RFC 3339 in UTC with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def line(event: str, fields: Mapping[str, object], *, time: str | None = None) -> str:
    """One event as a line without its end; long texts are cut where it would be too long."""
    told = {"time": time or now(), "event": event, **fields}
    text = _dump(told)
    fewer = [(name, value) for name, value in told.items() if len(name) <= _LONGEST_NAME][:_MOST_FIELDS]
    for length in _LENGTHS:
        if len(text.encode()) < MOST_BYTES:
            return text
        short = {name: _cut(value, length) for name, value in fewer}
        text = _dump(short | {"truncated": True})
    return text


class Output:
    """Writes events to a file descriptor; whoever reads it may be gone.

    Args:
        file: The descriptor.
        common: Fields of every event.
    """

    def __init__(self, file: int = STDOUT, common: Mapping[str, object] | None = None) -> None:
        self._file, self._common = file, dict(common or {})
        self._writing = threading.Lock()

    def __call__(self, event: str, fields: Mapping[str, object] | None = None) -> None:
        """Write one event, whole: several agents' lines may share a pipe."""
        text = line(event, {**self._common, **(fields or {})})
        rest = memoryview(text.encode(errors="replace") + b"\n")
        try:
            with self._writing:
                while rest:
                    rest = rest[os.write(self._file, rest) :]
        except OSError:
            # A log that nobody takes ends no work.
            return


def _dump(told: object) -> str:
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"), default=str).encode(errors="replace").decode()


def _cut(value: object, length: int) -> object:
    if isinstance(value, str):
        return value[:length]
    text = _dump(value)
    return text[:length] if len(text) > length else value
