"""The Docker engine that the resources live on."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

_POLL_SECONDS = 0.25
# How long the real provider waits for the users of a network or a volume to go.
_REMOVE_SECONDS = 30.0


class EngineError(Exception):
    """The engine refuses or does not answer; the message is one line."""


class Engine:
    """A connection to a Docker engine, made at the first call.

    Args:
        host: address of the engine, e.g. `tcp://127.0.0.1:2375`; None for the environment's own
            (`DOCKER_HOST`, else the local socket).
    """

    def __init__(self, host: str | None = None) -> None:
        self._host = host
        # The engine of Pulumi calls from many threads, and an HTTP session belongs to one.
        self._own = threading.local()
        self._cancelled = threading.Event()

    @property
    def api(self) -> Any:
        """The Docker SDK's `APIClient`, one for each thread (`Any`, because its stubs are incomplete).

        Raises:
            EngineError: nothing answers at the address.
        """
        if not hasattr(self._own, "client"):
            import docker
            from docker import utils

            settings = utils.kwargs_from_env()
            if self._host:
                settings["base_url"] = self._host
            with self.told("cannot connect to the Docker engine"):
                self._own.client = docker.APIClient(version="auto", **settings)
        return self._own.client

    @contextlib.contextmanager
    def told(self, action: str) -> Iterator[None]:
        """Turns the engine's refusal of what is done inside into one line: the action and the engine's own words.

        Raises:
            EngineError: the engine refused or did not answer.
        """
        import requests
        from docker import errors

        try:
            yield
        except errors.APIError as error:
            words = str(error.explanation or error)
            raise EngineError(f"{action}: {' '.join(words.split())}") from error
        except (errors.DockerException, requests.RequestException) as error:
            raise EngineError(f"{action}: {' '.join(str(error).split())}") from error

    def needs_api(self, version: str, feature: str) -> None:
        """Refuses what the engine is too old for, and would leave out without a word.

        Args:
            version: the first API version that has it, e.g. `1.44`.
            feature: what for, e.g. `healthcheck.startInterval`.

        Raises:
            EngineError: the engine's API is older.
        """
        own = str(self.api.api_version)
        if _parts(own) < _parts(version):
            raise EngineError(f"{feature} needs a Docker engine with API {version}, this one has {own}; leave it out")

    def remove(self, name: str, call: Callable[[], object], busy: str) -> None:
        """Removes something once nothing uses it any more; what is gone already is fine.

        Args:
            name: what it is, for messages.
            call: removes it.
            busy: what the engine says as long as something uses it.

        Raises:
            EngineError: the engine refuses, or it stays in use for 30 s.
        """
        from docker.errors import APIError, NotFound

        reason = ""
        for _ in self.polls(_REMOVE_SECONDS):
            with self.told(f"unable to delete {name}"):
                try:
                    call()
                except NotFound:
                    return
                except APIError as error:
                    reason = str(error.explanation)
                    if busy not in reason:
                        raise
                else:
                    return
        raise EngineError(f"unable to delete {name}: {reason} (waited {_REMOVE_SECONDS:.0f} s)")

    def cancel(self) -> None:
        """Ends every wait of this connection."""
        self._cancelled.set()

    def polls(self, seconds: float | None) -> Iterator[None]:
        """Yields a few times a second, at least once, until the time is over.

        Args:
            seconds: how long; None for as long as it takes.

        Raises:
            EngineError: the user cancelled.
        """
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            yield
            if end is not None and time.monotonic() >= end:
                return
            self.pause(_POLL_SECONDS)

    def pause(self, seconds: float) -> None:
        """Waits.

        Raises:
            EngineError: the user cancelled meanwhile.
        """
        if self._cancelled.wait(seconds):
            raise EngineError("cancelled")


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
