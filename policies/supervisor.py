"""The one kind of session that starts as root and keeps capabilities: several agents side by side in one container.

A small supervisor gives each agent a user of its own, so that none reads or writes another's files. Becoming another
user takes SETUID and SETGID, and an engine leaves capabilities to root alone; the agents themselves have none. What the
supervisor could do otherwise is bounded: no other capability, a read-only root, on a Docker host no new privileges, and
no program but the project's own. Fargate cannot add a capability after ALL was dropped, so there every other one is
dropped by name.

Whether a container is one is judged by its role, by what it is told of its session, and by what it runs: on Fargate it
is the only one of its task, called `session`, of the stack's session image.
"""

import json
import re
from typing import Any

from components.models.capabilities import FARGATE_DROPPED, SUPERVISOR
from components.models.tags import Role, Tag
from policies.containers import Container
from policies.reading import get, is_list, items
from policies.roles import Judged, tag

PROGRAM = ["/opt/agentenv/bin/python", "-I", "/usr/local/lib/agentenv/session.py"]
"""The agent runner, without a command of the team's own behind it."""
KEPT = frozenset(SUPERVISOR)
"""Capabilities of a supervisor."""
DROPPED = frozenset(FARGATE_DROPPED)
"""What a supervisor on Fargate drops, by name."""
DECLARATION = "AGENTENV_SESSION"
"""Variable that holds a session's declaration."""
NAME = "session"
"""What a session's one container is called on Fargate."""
_SESSION_IMAGE = re.compile(r"[^/@]+/agentenv/[a-z0-9-]+/session@sha256:[0-9a-f]{64}")
"""References to what is in a stack's repository of session images."""
_FAMILY = re.compile(r".*_agents(?:-[0-9a-f]{8})?")
"""Families of definitions for runs of several agents: a run is told its declaration only when it starts."""


def has_several_agents(declared: Any) -> bool:
    """Whether a session, as it is declared, has two agents or more and runs no command of its own."""
    agents = get(declared, "agents")
    return is_list(agents) and len(agents) > 1 and not items(get(declared, "command"))


def supervises(container: Judged) -> bool:
    """Whether this container of a Docker host is that of several agents."""
    if tag(container, Tag.ROLE) != Role.SESSION or items(get(container.props, "command")) != PROGRAM:
        return False
    variables = (str(text).partition("=") for text in items(get(container.props, "envs")))
    told = [value for name, _, value in variables if name == DECLARATION]
    # Of two the program takes one, and nobody can tell which.
    return bool(told) and all(_several(value) for value in told)


def supervises_task(definition: Judged, container: Container) -> bool:
    """Whether this container of a task definition is that of several agents."""
    if tag(definition, Tag.ROLE) != Role.SESSION or not _is_the_runner(container):
        return False
    told = [value for name, value in container.environment if name == DECLARATION]
    if told:
        return all(_several(value) for value in told)
    return bool(_FAMILY.fullmatch(str(get(definition.props, "family"))))


def _is_the_runner(container: Container) -> bool:
    """Whether nothing but the project's own program runs in the task."""
    body = container.body
    return (
        container.alone
        and body.get("name") == NAME
        and _SESSION_IMAGE.fullmatch(str(body.get("image"))) is not None
        and not body.get("command")
        and not body.get("entryPoint")
    )


def _several(declaration: Any) -> bool:
    try:
        return has_several_agents(json.loads(str(declaration)))
    except ValueError:
        return False
