"""Events for those who listen: a bounded past, and a bounded queue for each listener."""

import asyncio
import json
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

MOST_PAST, MOST_PAST_BYTES = 2000, 32 * 1024 * 1024
MOST_TEXT = 64 * 1024
"""Characters of each text of an event that stay."""
MOST_WAITING = 512
MOST_LISTENERS = 256


class FullError(Exception):
    """There are too many listeners."""


@dataclass(frozen=True)
class Event:
    """One event.

    Attributes:
        number: Its place in the row of all.
        name: Its name.
        fields: What it tells; `conversation` is whose it is.
        size: Characters of it as JSON.
    """

    number: int
    name: str
    fields: Mapping[str, Any]
    size: int


class Listener:
    """One who listens; who is too slow is told so by the end of the row.

    Attributes:
        conversations: Whose events are heard; None for all.
        past: Events before those of the queue.
    """

    def __init__(self, conversations: set[str] | None) -> None:
        self.conversations = conversations
        self.past: deque[Event] = deque()
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue(MOST_WAITING)

    def hears(self, event: Event) -> bool:
        """Whether the event is for this listener."""
        return self.conversations is None or event.fields.get("conversation") in self.conversations

    def offer(self, event: Event | None) -> bool:
        """Put an event into the queue; False when it is full."""
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            return False
        return True

    def cut(self) -> None:
        """Empty the queue and end it; what is past is still heard, so that whoever comes again has gone on."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def next(self) -> Event | None:
        """The next event; None at the end."""
        return self.past.popleft() if self.past else await self._queue.get()


class Bus:
    """Hands events on."""

    def __init__(self) -> None:
        self._past: deque[Event] = deque()
        self._size = 0
        self._listeners: set[Listener] = set()
        self._number = 0

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def publish(self, name: str, fields: Mapping[str, Any]) -> None:
        """Hand an event to everybody who hears it."""
        self._number += 1
        event = _event(self._number, name, fields)
        self._past.append(event)
        self._size += event.size
        while len(self._past) > MOST_PAST or self._size > MOST_PAST_BYTES:
            self._size -= self._past.popleft().size
        for listener in [one for one in self._listeners if one.hears(event)]:
            if not listener.offer(event):
                listener.cut()
                self._listeners.discard(listener)

    @contextmanager
    def listening(self, conversations: set[str] | None, after: int | None = None) -> Iterator[Listener]:
        """Listen, from now on or from after an event of the past.

        Raises:
            FullError: too many do.
        """
        if len(self._listeners) >= MOST_LISTENERS:
            raise FullError
        listener = Listener(conversations)
        if after is not None:
            listener.past.extend(event for event in self._past if event.number > after and listener.hears(event))
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        """End every listener's row."""
        for listener in self._listeners:
            listener.past.clear()
            listener.cut()
        self._listeners.clear()


def _event(number: int, name: str, fields: Mapping[str, Any]) -> Event:
    """With long texts cut: the whole is in the answer and in the transcript."""
    text = _dump(fields)
    if len(text) > MOST_TEXT:
        fields = {key: _cut(value) for key, value in fields.items()} | {"truncated": True}
        text = _dump(fields)
    return Event(number, name, fields, len(text))


def _cut(value: Any) -> Any:
    text = value if isinstance(value, str) else _dump(value)
    return value if len(text) <= MOST_TEXT else text[:MOST_TEXT]


def _dump(value: Any) -> str:
    return json.dumps(value, default=str)
