"""How a command ends: exit codes, the one error that carries them to the user, and what is told besides."""

import sys
from contextlib import suppress
from enum import IntEnum

from operate.events import clean


class Exit(IntEnum):
    """Exit codes of `agentenv`."""

    OK = 0
    DIFFERENCE = 1
    """Something was seen that is not as declared."""
    USAGE = 2
    """The command line, or what it names, cannot be used."""
    UNREACHABLE = 3
    """The Docker engine, AWS or a container on them did not do what was asked."""


class Failure(Exception):  # noqa: N818 - reads as what it is wherever it is raised
    """Ends a command with one message.

    Attributes:
        code: What the process exits with.
    """

    def __init__(self, message: str, code: Exit) -> None:
        self.code = code
        super().__init__(message)


def usage(message: str) -> Failure:
    """Something that the user gave cannot be used."""
    return Failure(message, Exit.USAGE)


def unreachable(message: str) -> Failure:
    """What would have to answer does not."""
    return Failure(message, Exit.UNREACHABLE)


def tell(text: str) -> None:
    """Something for whoever reads standard error; what of it others wrote is no command for their terminal."""
    # A terminal that is gone is no reason to end.
    with suppress(OSError):
        sys.stderr.write(f"agentenv: {clean(text)}\n")
