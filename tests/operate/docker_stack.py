"""A stack on a Docker host of plain Python, and what tests of its runs do with it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from operate.docker_backend import DockerRuns
from operate.failures import Exit, Failure
from operate.outputs import Outputs
from operate.records import Records
from operate.runs import Order, RunInfo
from tests.operate.deployed import DESK, outputs
from tests.operate.fake_engine import FakeContainer, FakeEngine

OWN = {"name": "own", "environment": "api-client", "pattern": "ephemeral", "command": ["true"]}
NOTES = DESK | {"name": "notes", "pattern": "hybrid"}
PAIR = {
    "name": "pair",
    "environment": "api-client",
    "pattern": "single_container",
    "agents": [{"name": "writer", "model": "m"}, {"name": "critic", "model": "m"}],
}
FURTHER = (OWN, NOTES, PAIR)
RESULT = {"version": 1, "run": "?", "outcome": "success", "exit_code": 0, "agents": [{"name": "agent", "text": "42"}]}
SAID = json.dumps({"event": "result_part", "part": 0, "parts": 1, "text": json.dumps(RESULT)}).encode()


def backend(fake: FakeEngine, records: Records | None = None, **fields: Any) -> DockerRuns:
    told = outputs(**fields)
    for session in FURTHER:
        told["sessions"][session["name"]] = told["sessions"]["desk"] | {
            "pattern": session["pattern"],
            "session": session,
        }
    return DockerRuns(Outputs.parse(told), fake, records)  # type: ignore[arg-type]


def started(fake: FakeEngine, order: Order) -> tuple[DockerRuns, RunInfo]:
    runs = backend(fake)
    return runs, runs.start(order, quiet)


def quiet(what: str) -> None:
    """Nobody looks."""


def container(fake: FakeEngine, info: RunInfo) -> FakeContainer:
    return fake.containers_by_name[f"agentenv-run-{info.id}-session"]


def variables(found: FakeContainer) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in found.config["Env"])


def refused(act: Callable[[], object], told: str, code: Exit = Exit.USAGE) -> None:
    with pytest.raises(Failure, match=told) as caught:
        act()
    assert caught.value.code is code
