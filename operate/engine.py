"""The Docker engine: how it is asked, and how its refusals are told."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import docker
import requests
from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container

from operate.failures import unreachable

Answer = TypeVar("Answer")
SECONDS = 120
AWAY = (requests.RequestException, DockerException, OSError)
"""What an engine that is away, or refuses, is told by."""
PATIENCE_SECONDS, PAUSE_SECONDS = 600.0, 1.0
"""How long an engine may be away while something is waited for, and how often it is asked."""
NOT_RUNNING = 409
"""HTTP status of a command in a container that does not run."""


@contextmanager
def asking_engine(about: str) -> Iterator[None]:
    """The engine's own reason for what it refuses, as one error.

    Args:
        about: What is being done, for the error.

    Raises:
        Failure: it refused, or could not be reached.
    """
    try:
        yield
    except NotFound as error:
        raise unreachable(f"{about}: {error.explanation}. Fix: run pulumi up.") from None
    except APIError as error:
        if error.status_code == NOT_RUNNING:
            raise unreachable(f"{about}: {error.explanation}. Fix: docker start it, or run pulumi up.") from None
        raise unreachable(f"{about}: the engine refused: {error.explanation}") from None
    except (DockerException, OSError) as error:
        raise unreachable(
            f"The Docker engine cannot be reached ({error}). Fix: start it, or set DOCKER_HOST to this stack's host."
        ) from None


def is_away(error: Exception) -> bool:
    """Whether an error says that the engine cannot answer just now, rather than that it refuses."""
    return error.is_server_error() if isinstance(error, APIError) else isinstance(error, AWAY)


def patiently(ask: Callable[[], Answer]) -> Answer:
    """Ask the engine for what changes nothing again, for as long as it is away.

    Raises:
        APIError: it refused.
        OSError: it stayed away.
        DockerException: the same.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return ask()
        except AWAY as error:
            if not is_away(error) or time.monotonic() > deadline:
                raise
        time.sleep(PAUSE_SECONDS)


def connect() -> docker.DockerClient:
    """A client of the engine that the environment variables name.

    Raises:
        Failure: it cannot be reached.
    """
    with asking_engine("connecting"):
        # It asks for the engine's version, so that it is known to answer.
        return docker.from_env(timeout=SECONDS)


def run_in(container: Container, command: list[str]) -> tuple[int, str, str]:
    """Run a command in a container, through no shell.

    Returns:
        Exit code, standard output, standard error.
    """
    # Without a stream the exit code is known, and `demux` makes the output two parts; the stubs know neither.
    done: Any = container.exec_run(command, demux=True)
    out, err = ((part or b"").decode(errors="replace") for part in done.output)
    return int(done.exit_code), out, err


def described(client: docker.DockerClient, isolation: str) -> str:
    """Name and version of the engine and of the runtime that sessions run under."""
    version: Mapping[str, object] = client.version()
    return f"docker {version['Version']} ({isolation})"
