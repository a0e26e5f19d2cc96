"""Chooses by the declaration what the container does."""

import asyncio
import os
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from pathlib import Path

from agentenv_session.environment import without_private
from agentenv_session.events import Emit, Output, now
from agentenv_session.layout import Layout
from agentenv_session.outcomes import Outcome
from agentenv_session.settings import Declaration, InvalidTask, Task

USAGE = 64
_TASK_SECONDS = 60
_MOST_TASK_BYTES = 16 * 1024 * 1024


def main(arguments: Sequence[str]) -> int:
    """Do what the container is for.

    Args:
        arguments: Nothing, `agent NAME`, or `exec -- COMMAND...`.

    Returns:
        The exit code, see `outcomes`.
    """
    variables = dict(os.environ)
    emit, layout = Output(), Layout.of(variables)
    if arguments[:2] == ["exec", "--"] and len(arguments) > 2:
        # Here and below: what a container does not need is not imported in it.
        from agentenv_session.execute import execute

        execute(arguments[2:], variables, layout, emit)
    if arguments[:1] == ["keeper"]:
        return _keep(arguments[1:], layout)
    if arguments and (len(arguments) != 2 or arguments[0] != "agent"):
        sys.stderr.write(__doc__ or "")
        return USAGE
    # What the agent's program inherits holds no task: another agent's tokens may be in it.
    without_private(os.environ)
    try:
        declaration = Declaration.parse(variables.get("AGENTENV_SESSION"))
        task = Task.parse(_task(variables), declaration)
        return _work(arguments[1] if arguments else None, declaration, task, variables, layout, emit)
    except InvalidTask as error:
        return _refuse(str(error), variables, emit)


def _work(
    name: str | None,
    declaration: Declaration,
    task: Task,
    variables: dict[str, str],
    layout: Layout,
    emit: Emit,
) -> int:
    if name is None and len(declaration.agents) > 1:
        from agentenv_session import supervise

        return supervise.main(declaration, task, variables, layout, emit)
    agents = [agent for agent in declaration.agents if name in (None, agent.name)]
    if not agents:
        raise InvalidTask(
            f"agent = {name!r}: session {declaration.name!r} has no such agent. Fix: give the session an agent."
        )
    from agentenv_session.run import Job, run

    job = Job(declaration, task, agents[0], variables, layout, *_folders(name, layout))
    if declaration.is_service:
        from agentenv_session import serve

        return serve.main(job, emit)
    return asyncio.run(run(job, emit)).exit_code


def _keep(arguments: Sequence[str], layout: Layout) -> int:
    from agentenv_session import keeper
    from agentenv_session.supervise import SHARED_FOLDER

    name, uid, *group = arguments
    program = [sys.executable, "-I", str(Path(__file__).resolve().parent.parent / "session.py"), "agent", name]
    shared = layout.workspace / SHARED_FOLDER if group else None
    return keeper.main(program, _folders(name, layout), shared, int(group[0]) if group else None, int(uid))


def _folders(name: str | None, layout: Layout) -> tuple[Path, Path, Path]:
    """Work, home and scratch folder; several agents have folders of their own in each."""
    if name is None:
        return layout.workspace, layout.home, layout.scratch
    return layout.workspace / name, layout.home / name, layout.scratch / name


def _task(variables: Mapping[str, str]) -> str | None:
    address = variables.get("AGENTENV_TASK_URL")
    if not address:
        return variables.get("AGENTENV_TASK")
    if not address.startswith("https://"):
        raise InvalidTask("AGENTENV_TASK_URL: must be an https address. Fix: start the run with agentenv.")
    # It is reached past the gateway, which would let nobody else there.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=_TASK_SECONDS) as answer:
            return str(answer.read(_MOST_TASK_BYTES).decode())
    except (OSError, HTTPException, UnicodeDecodeError) as error:
        raise InvalidTask(
            f"AGENTENV_TASK_URL: the task cannot be fetched ({error}). Fix: start the run anew."
        ) from None


def _refuse(problem: str, variables: Mapping[str, str], emit: Emit) -> int:
    from agentenv_session import results

    emit("error", {"problem": problem})
    time = now()
    told = results.document(
        run=variables.get("AGENTENV_RUN", ""),
        session="",
        environment=variables.get("AGENTENV_ENVIRONMENT", ""),
        conversation=None,
        started=time,
        ended=time,
        agents=[],
        outcome=Outcome.INVALID_TASK,
    )
    results.tell(told | {"error": problem}, emit)
    return Outcome.INVALID_TASK.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
