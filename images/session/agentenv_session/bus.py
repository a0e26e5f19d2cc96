"""Events for those who listen: a bounded past, and a bounded queue for each listener."""

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

MOST_PAST = 2000
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
    """

    number: int
    name: str
    fields: Mapping[str, Any]


class Listener:
    """One who listens; who is too slow is told so by the end of the row.

    Attributes:
        conversations: Whose events are heard; None for all.
    """

    def __init__(self, conversations: set[str] | None) -> None:
        self.conversations = conversations
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
        """Empty the queue and end it."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def next(self) -> Event | None:
        """The next event; None at the end."""
        return await self._queue.get()


class Bus:
    """Hands events on."""

    def __init__(self) -> None:
        self._past: deque[Event] = deque(maxlen=MOST_PAST)
        self._listeners: set[Listener] = set()
        self._number = 0

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def publish(self, name: str, fields: Mapping[str, Any]) -> None:
        """Hand an event to everybody who hears it."""
        self._number += 1
        event = Event(self._number, name, fields)
        self._past.append(event)
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
        for event in self._past if after is not None else ():
            if event.number > (after or 0) and listener.hears(event) and not listener.offer(event):
                listener.cut()
                break
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        """End every listener's row."""
        for listener in self._listeners:
            listener.cut()
        self._listeners.clear()
