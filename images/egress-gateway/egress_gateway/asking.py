"""What asks a running gateway over its control socket.

Each question is a program of its own inside the gateway's container, within its limit on memory, and many runs may
begin and end at a time: so this imports nothing but the standard library.
"""

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_SECONDS = 5.0
Answer = dict[str, Any]


class ControlError(Exception):
    """The running gateway did not do what was asked, or there is none; the message is one line with the reason."""


def ask(path: Path, asked: Mapping[str, Any]) -> Answer:
    """Ask the running gateway.

    Args:
        path: Of the control socket.
        asked: Has `command`: `policy`, `admit` (with `session`, `source` and, where each agent is to say who it is,
            `agents`: SHA-256 of the token by name) or `dismiss` (with `source`).

    Raises:
        ControlError: nobody answers there, or the answer is an error.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_SECONDS)
            connection.connect(os.fspath(path))
            connection.sendall(json.dumps(asked).encode() + b"\n")
            with connection.makefile("rb") as stream:
                answer: Answer = json.loads(stream.readline())
    except (OSError, ValueError) as error:
        raise ControlError(f"no gateway answers at {path} ({error})") from None
    if "error" in answer:
        raise ControlError(answer["error"])
    return answer
