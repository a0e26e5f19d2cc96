"""Where a state is kept: a mounted volume, or an address that somebody signed for this run."""

import os
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import IO, Protocol

FILE = "state.tar"
_ATTEMPTS = 3
_SECONDS = 300
Write = Callable[[IO[bytes]], int]
"""Writes a state; gives the number of bytes."""


class StoreError(Exception):
    """A state cannot be fetched or kept; one line that says why."""


class Store(Protocol):
    """Keeps one state."""

    def fetch(self, scratch: Path) -> Path | None:
        """A file with the state that is kept; None when there is none.

        Raises:
            StoreError: it cannot be had.
        """

    def keep(self, write: Write, scratch: Path) -> int:
        """Put a state in the place of the one before it; either is there, never a part.

        Returns:
            Its bytes.

        Raises:
            StoreError: it cannot be kept; the one before it still is.
        """


class Volume:
    """A folder that outlives the container.

    Args:
        folder: Where it is mounted.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fetch(self, scratch: Path) -> Path | None:  # noqa: ARG002 - it is at hand
        """The file itself."""
        path = self._folder / FILE
        return path if path.exists() else None

    def keep(self, write: Write, scratch: Path) -> int:  # noqa: ARG002 - beside its place, to be renamed there
        """Written beside it, then renamed."""
        fresh = self._folder / f".{FILE}.new"
        try:
            # What a killed run of another user has left may be removed here, but not written to.
            fresh.unlink(missing_ok=True)
            with fresh.open("xb") as stream:
                written = write(stream)
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(self._folder / FILE)
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise StoreError(f"{self._folder} takes no state: {error}") from None
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

    def fetch(self, scratch: Path) -> Path | None:
        """Downloaded to `scratch`."""
        if self._load is None:
            return None
        request = urllib.request.Request(self._load)  # noqa: S310 - https, as the task was checked to say
        target = scratch / FILE
        for attempt in range(_ATTEMPTS):
            try:
                with self._opener.open(request, timeout=_SECONDS) as answer, target.open("wb") as stream:
                    shutil.copyfileobj(answer, stream)
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
                return target
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
