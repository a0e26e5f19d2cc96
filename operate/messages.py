"""Messages to the agents of a service, at the port that it serves."""

import http.client
import json
import os
import time
from collections.abc import Callable
from typing import Any

from operate.evidence import Progress
from operate.failures import Failure, unreachable, usage

TOKEN = "AGENTENV_TOKEN"  # noqa: S105 - the variable that holds it
READY_SECONDS, PAUSE_SECONDS = 60.0, 0.2
STOPPING_SECONDS = 120.0
"""How much longer one may take that has to save and end before: what it has between SIGTERM and SIGKILL."""
ANSWER_SECONDS = 24 * 3600
"""A turn may take long; whoever waits can end the waiting."""
MOST_BYTES = 4 * 1024 * 1024


def token() -> str:
    """The token of the service, from the variable that holds it.

    Raises:
        Failure: it is not set, or no token.
    """
    found = os.environ.get(TOKEN, "")
    if not found or not found.isascii() or not found.isprintable():
        raise usage(
            f"{TOKEN} is not set to the token that the service asks for. "
            f"Fix: set {TOKEN} to what agentenv token printed when token_sha256 was written."
        )
    return found


def no_way_in(session: str) -> Failure:
    """A message to a service that nobody can talk to."""
    return usage(
        f"Session {session!r} is a service, and nothing on Fargate reaches its port yet. "
        "Fix: leave out what it is to do and have a command of yours ask for work, or run it on a Docker host."
    )


def send(
    address: str,
    text: str,
    held: str,
    progress: Progress,
    conversation: str | None = None,
    wake: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Send a message and wait for the answer.

    Args:
        address: HOST:PORT.
        text: The message.
        held: The token.
        progress: Told what is being waited for.
        conversation: Id of the conversation to go on with; None begins one.
        wake: Starts the service where it does not run; called while it is not ready.

    Returns:
        The answer: `conversation`, `message`, `outcome`, `text`.

    Raises:
        Failure: the service refused, or does not answer.
    """
    body = {"text": text} | ({"conversation": conversation} if conversation else {})
    headers = {"Authorization": f"Bearer {held}", "Content-Type": "application/json"}
    deadline = time.monotonic() + READY_SECONDS
    while True:
        progress("waiting for the service")
        _await_ready(address, deadline, wake)
        progress("waiting for the answer")
        try:
            status, answer = _asked(address, "POST", "/messages?wait=true", headers, json.dumps(body).encode())
        except ConnectionRefusedError:
            # It has ended in between, so nobody has the message.
            if time.monotonic() < deadline + STOPPING_SECONDS:
                continue
            raise unreachable(f"The service at {address} ended again and again. Fix: look at agentenv logs.") from None
        except (OSError, http.client.HTTPException) as error:
            raise unreachable(f"The service at {address} gave no answer ({type(error).__name__}: {error}).") from None
        told = _parsed(answer)
        refused = status == http.HTTPStatus.TOO_MANY_REQUESTS and _is_stopping(told)
        if not refused or time.monotonic() > deadline + STOPPING_SECONDS:
            break
        time.sleep(PAUSE_SECONDS)
    if status == http.HTTPStatus.OK and isinstance(told, dict):
        return told
    refusal = told.get("error") if isinstance(told, dict) else None
    if isinstance(refusal, dict):
        message, fix = refusal.get("message", ""), refusal.get("fix", "")
        raise unreachable(
            f"The service at {address} refused ({status} {refusal.get('rule', '')}): {message} Fix: {fix}"
        )
    raise unreachable(f"The service at {address} refused: HTTP {status}.")


def _parsed(answer: bytes) -> Any:
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        return None


def _is_stopping(told: Any) -> bool:
    """Whether a service refuses a message because it is about to end: it may be started again after that."""
    refusal = told.get("error") if isinstance(told, dict) else None
    return isinstance(refusal, dict) and "stopping" in str(refusal.get("message", ""))


def _await_ready(address: str, deadline: float, wake: Callable[[], object]) -> None:
    more = 0.0
    while True:
        try:
            status, answer = _asked(address, "GET", "/healthz", {}, b"", seconds=5)
            told = _parsed(answer)
            state = told.get("status") if isinstance(told, dict) else None
            if status == http.HTTPStatus.OK and state != "stopping":
                return
            said = f"HTTP {status}"
            if state == "stopping":
                said, more = "it is stopping", STOPPING_SECONDS
        except (OSError, http.client.HTTPException) as error:
            said = str(error) or type(error).__name__
        if time.monotonic() > deadline + more:
            raise unreachable(
                f"The service at {address} is not ready after {READY_SECONDS + more:.0f} s ({said}). "
                "Fix: look at agentenv logs; its port is on the loopback address of the Docker host."
            )
        wake()
        time.sleep(PAUSE_SECONDS)


def _asked(
    address: str, method: str, path: str, headers: dict[str, str], body: bytes, seconds: float = ANSWER_SECONDS
) -> tuple[int, bytes]:
    # Straight to the port: a proxy in the variables is for elsewhere, and must not see the token.
    connection = http.client.HTTPConnection(address, timeout=seconds)
    try:
        connection.request(method, path, body=body or None, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(MOST_BYTES)
    finally:
        connection.close()
