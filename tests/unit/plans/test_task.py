"""Tasks on Fargate: what a definition fixes, and what a run of a session says beyond it."""

import json
from typing import Any

import pytest

from components.models.errors import InvalidInput
from components.models.session import Session
from components.plans import task

IMAGE = f"registry.example.com/s@sha256:{'a' * 64}"
INJECT = {"origin": "https://api.anthropic.com", "header": "x-api-key"}
KEY = {
    "name": "ANTHROPIC_API_KEY",
    "source": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:key-AbCdEf",
    "inject": INJECT,
}
TOGETHER: dict[str, Any] = {
    "pattern": "single_container",
    "agent": None,
    "agents": [{"name": "a", "model": "m"}, {"name": "b", "model": "m"}],
}


def session(**fields: Any) -> Session:
    return Session.model_validate(
        {"name": "s", "environment": "e", "pattern": "ephemeral", "agent": {"model": "m"}} | fields
    )


def definition(declared: Session, service: bool = False) -> dict[str, Any]:
    log = task.log_configuration("group", "eu-west-1", "session")
    return task.session_container(IMAGE, {}, task.shape(declared), declared if service else None, log, "gateway.e")


def variables(container: dict[str, Any]) -> dict[str, str]:
    return {pair["name"]: pair["value"] for pair in container["environment"]}


def test_a_supervisor_keeps_what_it_needs_to_become_each_agent_and_every_other_capability_is_named() -> None:
    found = definition(session(**TOGETHER))
    assert found["user"] == "0:0"
    dropped = found["linuxParameters"]["capabilities"]["drop"]
    # Those of an engine's default set; Fargate cannot add one after ALL was dropped.
    assert len(dropped) == 12
    assert not {"ALL", "SETUID", "SETGID"} & {*dropped}
    assert found["linuxParameters"]["initProcessEnabled"] is True
    assert found["readonlyRootFilesystem"] is True


def test_any_other_session_drops_all() -> None:
    found = definition(session(**TOGETHER, command=["x"]))
    assert found["user"] == "10001:10001"
    assert found["linuxParameters"]["capabilities"] == {"drop": ["ALL"]}


def test_several_agents_have_a_definition_of_their_own_and_names_of_others_stay() -> None:
    keys = {task.shape(one).key for one in (session(), session(**TOGETHER), session(name="t", **TOGETHER))}
    assert keys == {"run", "agents"}
    arm = {"resources": {"architecture": "arm64"}}
    assert task.shape(session(**arm)).key.startswith("run-")
    assert task.shape(session(**TOGETHER, **arm)).key.startswith("agents-")


def test_a_run_is_told_the_route_to_its_model_and_never_the_credential() -> None:
    (container,) = task.overrides(session(secrets=[KEY], variables={"A": "b"}), "gateway.e")["containerOverrides"]
    told = variables(container)
    assert told["AGENTENV_MODEL_ROUTE"] == "http://gateway.e:3128/ANTHROPIC_API_KEY"
    assert told["A"] == "b"
    assert json.loads(told["AGENTENV_SESSION"])["name"] == "s"
    assert "secretsmanager" not in json.dumps(container)


def test_a_command_of_a_teams_own_is_run_by_the_program_that_prepares_its_place() -> None:
    (container,) = task.overrides(session(command=["x", "y"]), "gateway.e")["containerOverrides"]
    assert container["command"][-4:] == ["exec", "--", "x", "y"]
    (container,) = task.overrides(session(), "gateway.e")["containerOverrides"]
    assert "command" not in container


def test_what_ecs_would_not_take_is_refused() -> None:
    long = session(agent={"model": "m", "system": "x" * 9000})
    with pytest.raises(InvalidInput, match="8192 characters of overrides"):
        task.overrides(long, "gateway.e")
