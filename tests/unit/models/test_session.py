"""A session that stays up, or shares its container, or has the gateway pay for the model: what must be said of it."""

import hashlib
from typing import Any

import pytest

from components.models.errors import InvalidInput, validate
from components.models.session import MOST_AGENTS, Session

HASH = hashlib.sha256(b"a token").hexdigest()
INJECT = {"origin": "https://api.anthropic.com", "header": "x-api-key"}
KEY = {"name": "ANTHROPIC_API_KEY", "source": "file:/etc/agentenv/key", "inject": INJECT}


def session(**fields: Any) -> Session:
    base = {"name": "s", "environment": "e", "pattern": "ephemeral", "agent": {"model": "m"}}
    return validate(Session, base | fields)


def agents(count: int) -> list[dict[str, Any]]:
    return [{"name": f"a{index}", "model": "m"} for index in range(count)]


SERVICE: dict[str, Any] = {"pattern": "long_running", "ports": [8080], "token_sha256": HASH}
TOGETHER: dict[str, Any] = {"pattern": "single_container", "agent": None, "agents": agents(2)}
BAD: list[tuple[dict[str, Any], str, str, str]] = [
    # fields, path in the error, part of the rule, part of the fix
    (SERVICE | {"token_sha256": None}, "token_sha256", "could give it orders", "agentenv token"),
    (SERVICE | {"token_sha256": hashlib.sha256(b"").hexdigest()}, "token_sha256", "SHA-256 of a token", "agentenv"),
    (SERVICE | {"token_sha256": "x"}, "token_sha256", "64 lower-case", "agentenv token"),
    ({"token_sha256": HASH}, "token_sha256", "stays up", "remove it"),
    (SERVICE | {"agent": None, "command": ["x"]}, "token_sha256", "stays up", "looks after its ports"),
    (SERVICE | {"ports": []}, "ports", "serves a port", "ports: [8080]"),
    (TOGETHER | {"ports": [8080], "token_sha256": HASH}, "ports", "there are 2", "a port for each agent"),
    ({"shared_folder": True}, "shared_folder", "several agents", "/workspace"),
    (TOGETHER | {"agents": agents(MOST_AGENTS + 1)}, "agents", "at most 20", ""),
    ({"idle_timeout": 60}, "idle_timeout", "long_running", "max_turns"),
    ({"pattern": "hybrid", "idle_timeout": 60}, "idle_timeout", "long_running", "remove it"),
    (SERVICE | {"agent": None, "agents": agents(2), "ports": [1024, 1025], "idle_timeout": 60}, "idle_timeout", "", ""),
    ({"schedule": {"expression": "rate(1 hour)"}}, "schedule.prompt", "something to do", "schedule.prompt"),
    ({"secrets": [KEY | {"inject": None}]}, "secrets[0].inject", "stays with the gateway", "x-api-key"),
    ({"secrets": [KEY, KEY | {"name": "ANTHROPIC_AUTH_TOKEN"}]}, "secrets[1].name", "already", "one of the two"),
    ({"secrets": [KEY | {"name": "ANTHROPIC_BASE_URL"}]}, "secrets[0].name", "set by the runtime", "another name"),
    ({"variables": {"LD_PRELOAD": "x"}}, "variables", "set by the runtime", "another name"),
]


@pytest.mark.parametrize(("fields", "path", "rule", "fix"), BAD, ids=[f"{path}-{rule}" for _, path, rule, _ in BAD])
def test_what_may_not_be_said_is_one_clear_error(fields: dict[str, Any], path: str, rule: str, fix: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        session(**fields)
    problem = next(one for one in caught.value.problems if one.path.startswith(path))
    assert rule in problem.rule
    assert fix in problem.fix
    assert HASH not in str(caught.value)


def test_agents_that_stay_up_ask_for_a_token_and_commands_do_not() -> None:
    assert session(**SERVICE).serves_agents
    command = session(pattern="long_running", ports=[8080], command=["x"])
    assert command.is_service
    assert not command.serves_agents


def test_several_agents_have_a_supervisor_unless_a_command_stands_for_them() -> None:
    assert session(**TOGETHER, shared_folder=True).is_supervised
    assert not session(**TOGETHER, command=["x"]).is_supervised
    assert not session().is_supervised
    assert len(session(**TOGETHER | {"agents": agents(MOST_AGENTS)}).all_agents) == 20


def test_the_models_credential_is_the_one_with_its_name() -> None:
    crm = {"name": "crm", "source": "file:/etc/agentenv/crm", "inject": INJECT}
    found = session(secrets=[crm, KEY]).model_route
    assert found is not None
    assert found.name == "ANTHROPIC_API_KEY"
    assert session(secrets=[crm]).model_route is None
