"""Where a state is kept: a mounted volume, or an address that somebody signed for this run."""

import os
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from errno import EFBIG
from http import HTTPStatus
from http.client import HTTPException, IncompleteRead
from pathlib import Path
from typing import IO, Protocol, TypeVar

from agentenv_session.state import BrokenStateError, number

FILE = "state.tar"
SLOTS = ("a.tar", "b.tar")
"""What the image puts into a volume; its folder lets an agent add none."""
_ATTEMPTS = 3
_SECONDS = 300
Write = Callable[[IO[bytes]], int]
"""Writes a state; gives the number of bytes."""
T = TypeVar("T")
Read = Callable[[Path], T]
"""Reads a file with a state; raises `BrokenStateError`, and has done nothing then, where that is not whole."""


class StoreError(Exception):
    """A state cannot be fetched or kept; one line that says why."""


class Store(Protocol):
    """Keeps one state."""

    def fetch(self, read: Read[T], scratch: Path) -> T | None:
        """What `read` makes of the state that is kept; None when there is none.

        Raises:
            StoreError: it cannot be had.
            BrokenStateError: it cannot be used.
        """

    def keep(self, write: Write, scratch: Path) -> int:
        """Put a state in the place of the one before it; either is there, never a part.

        Returns:
            Its bytes.

        Raises:
            StoreError: it cannot be kept; the one before it still is.
        """


class Volume:
    """A folder that outlives the container, with two files that are written in turns: neither can be added to it.

    Args:
        folder: Where it is mounted.
    """

    def __init__(self, folder: Path) -> None:
        self._slots = [folder / name for name in SLOTS]
        self._whole: Path | None = None
        """What is kept: the other one is written next."""

    def fetch(self, read: Read[T], scratch: Path) -> T | None:  # noqa: ARG002 - it is at hand
        """Of the file that was written last, if it is whole: the end of the container may have cut it."""
        missing = [slot for slot in self._slots if not slot.is_file()]
        if missing:
            raise BrokenStateError(
                f"the volume at {missing[0].parent} has no file {missing[0].name}, as one of an older image has none. "
                "Fix: begin a new conversation; of a service, remove its volume."
            )
        problem: BrokenStateError | None = None
        for slot in sorted((slot for slot in self._slots if slot.stat().st_size), key=number, reverse=True):
            try:
                found = read(slot)
            except BrokenStateError as error:
                problem = problem or error
            else:
                self._whole = slot
                return found
        if problem is not None:
            raise problem
        return None

    def keep(self, write: Write, scratch: Path) -> int:  # noqa: ARG002 - in its place
        """Written over the older one."""
        slot = next(slot for slot in self._slots if slot != self._whole)
        try:
            with slot.open("r+b") as stream:
                stream.truncate()
                written = write(stream)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            with suppress(OSError):
                os.truncate(slot, 0)
            fix = ". Fix: raise resources.disk_gib, or have less in the work folder" if error.errno == EFBIG else ""
            raise StoreError(f"{slot} takes no state: {error}{fix}") from None
        self._whole = slot
        return written


class Addresses:
    """Addresses that are signed for one object, see presigned URLs of S3.

    Args:
        load: Of the state that is kept; None when there is none.
        save: Where it is put.
        pause: Waits some seconds before another attempt.
    """

    def __init__(self, load: str | None, save: str | None, pause: Callable[[float], None] = time.sleep) -> None:
        self._load, self._save, self._pause = load, save, pause
        # They are reached past the gateway, which would let nobody else there.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def fetch(self, read: Read[T], scratch: Path) -> T | None:
        """Downloaded to `scratch`."""
        if self._load is None:
            return None
        request = urllib.request.Request(self._load)  # noqa: S310 - https, as the task was checked to say
        target = scratch / FILE
        for attempt in range(_ATTEMPTS):
            try:
                with self._opener.open(request, timeout=_SECONDS) as answer, target.open("wb") as stream:
                    shutil.copyfileobj(answer, stream)
                    wanted = answer.headers.get("content-length")
                    if wanted is not None and stream.tell() != int(wanted):
                        raise IncompleteRead(b"", int(wanted) - stream.tell())
            except urllib.error.HTTPError as error:
                with error:
                    if error.code == HTTPStatus.NOT_FOUND:
                        return None
                problem = f"the store answered {error.code} {error.reason}"
                if error.code < HTTPStatus.INTERNAL_SERVER_ERROR:
                    break
            except (OSError, HTTPException) as error:
                problem = f"the store cannot be reached: {error}"
            else:
                return read(target)
            self._pause(2.0**attempt)
        raise StoreError(problem)

    def keep(self, write: Write, scratch: Path) -> int:
        """Written to `scratch`, then sent as one request."""
        if self._save is None:
            raise StoreError("the task names no address to save to")
        with tempfile.TemporaryFile(dir=scratch) as stream:
            try:
                written = write(stream)
            except OSError as error:
                raise StoreError(f"the state cannot be written to {scratch}: {error}") from None
            for attempt in range(_ATTEMPTS):
                stream.seek(0)
                request = urllib.request.Request(  # noqa: S310 - https, as the task was checked to say
                    self._save,
                    data=stream,
                    method="PUT",
                    headers={"content-length": str(written), "content-type": "application/x-tar"},
                )
                try:
                    with self._opener.open(request, timeout=_SECONDS):
                        return written
                except urllib.error.HTTPError as error:
                    with error:
                        problem = f"the store answered {error.code} {error.reason}"
                    if error.code < HTTPStatus.INTERNAL_SERVER_ERROR:
                        break
                except (OSError, HTTPException) as error:
                    problem = f"the store cannot be reached: {error}"
                self._pause(2.0**attempt)
        raise StoreError(problem)
