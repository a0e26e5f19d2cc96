"""`exec`: a program of the team's own, with what an agent of ours would find prepared for it."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from agentenv_session.environment import agent_variables
from agentenv_session.events import Emit
from agentenv_session.layout import Layout
from agentenv_session.policy import POLICY_FILE, GatewayAwayError, RefusedError, fetch, write

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit codes of a shell for a command that cannot be run."""
_SECONDS = 3.0


def execute(command: Sequence[str], variables: Mapping[str, str], layout: Layout, emit: Emit) -> NoReturn:
    """Become `command`; it gets its task in `AGENTENV_TASK`, as our own runner does.

    Args:
        command: Arguments; no shell.
        variables: The container's.
        layout: The container's folders.
        emit: Told what goes wrong.
    """
    file = layout.scratch / POLICY_FILE
    prepared = {**variables, **agent_variables(variables, layout.home, layout.scratch, file)}
    if gateway := variables.get("AGENTENV_GATEWAY"):
        try:
            write(fetch(gateway, _SECONDS), file)
        except (GatewayAwayError, RefusedError, OSError) as error:
            # The fence holds all the same; what the file would say, each refusal says too.
            emit("error", {"problem": f"{file} is not there: {error}"})
    try:
        os.execvpe(command[0], list(command), prepared)  # noqa: S606 - the declared command, without a shell
    except FileNotFoundError:
        emit("error", {"problem": f"{command[0]!r} is not in the image. Fix: add its package to the environment."})
        sys.exit(NOT_FOUND)
    except OSError as error:
        emit("error", {"problem": f"{command[0]!r} cannot be run: {error.strerror}. Fix: name a program."})
        sys.exit(NOT_EXECUTABLE)
