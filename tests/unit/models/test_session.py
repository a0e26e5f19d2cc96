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
FILE = {"type": "file", "file_id": "file_1"}
REPOSITORY = {"type": "github_repository", "url": "https://github.com/o/r"}
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
    ({"secrets": [KEY | {"name": "ANTHROPIC_AUTH_TOKEN"}]}, "secrets[0].inject.header", "authorization", "`Bearer `"),
    (
        {"secrets": [KEY | {"inject": INJECT | {"header": "authorization"}}]},
        "secrets[0].inject.header",
        "takes ANTHROPIC_API_KEY in the header x-api-key",
        "header: x-api-key",
    ),
    (
        {"secrets": [KEY | {"name": "ANTHROPIC_AUTH_TOKEN", "inject": None}]},
        "secrets[0].inject",
        "stays with the gateway",
        "header: authorization",
    ),
    (
        {"secrets": [{"name": "CLAUDE_CODE_OAUTH_TOKEN", "source": "file:/etc/agentenv/token"}]},
        "secrets[0].name",
        "hand the agent its credential",
        "ANTHROPIC_API_KEY",
    ),
    ({"variables": {"claude_code_oauth_token": "x"}}, "variables", "hand the agent its credential", "with inject"),
    ({"secrets": [KEY | {"name": "ANTHROPIC_BASE_URL"}]}, "secrets[0].name", "set by the runtime", "another name"),
    (TOGETHER | {"agents": [*agents(1), {"name": "shared", "model": "m"}]}, "agents[1].name", "share", "reviewer"),
    ({"mounts": [FILE]}, "mounts[0].file_id", "the session has none", "ANTHROPIC_API_KEY"),
    ({"mounts": [FILE | {"file_id": "../x"}]}, "mounts[0].file_id", "is not the id of an uploaded file", "file_"),
    ({"mounts": [FILE | {"file_id": "x" * 257}]}, "mounts[0].file_id", "is not the id of an uploaded file", "file_"),
    ({"mounts": [REPOSITORY], "agent": None, "command": ["x"]}, "mounts", "instead of it", "fetch what it needs"),
    (
        {"mounts": [REPOSITORY, {"type": "github_repository", "url": "https://github.com/p/r.git"}]},
        "mounts[1].mount_path",
        "lies there already",
        "of its own",
    ),
    (
        {"mounts": [REPOSITORY, FILE | {"mount_path": "/workspace/r"}], "secrets": [KEY]},
        "mounts[1].mount_path",
        "lies there already",
        "of its own",
    ),
    *(
        ({"mounts": [REPOSITORY | {"url": f"https://github.com/{name}"}]}, "mounts[0].url", "no repository", "OWNER")
        for name in ("o/.", "o/..", "o/.git", "o/...git", "../r")
    ),
    (
        {"secrets": [KEY | {"inject": INJECT | {"paths": ["GET /v1/messages", "POST /v1/messages/*"]}}]},
        "secrets[0].inject.paths",
        "leave out what the session's agents and mounts ask: POST /v1/messages",
        "leave paths out",
    ),
    (
        {
            "secrets": [KEY | {"inject": INJECT | {"paths": ["POST /v1/*", "GET /v1/files/f1/*"]}}],
            "mounts": [{"type": "file", "file_id": name, "mount_path": f"/workspace/{name}"} for name in ("f1", "f2")],
        },
        "secrets[0].inject.paths",
        "ask: GET /v1/files/f2/content",
        "add that",
    ),
    ({"secrets": [KEY | {"inject": INJECT | {"paths": []}}]}, "secrets[0].inject.paths", "", ""),
    (
        {"secrets": [KEY | {"inject": INJECT | {"paths": ["POST /v1/messages", "/v1/models"]}}]},
        "secrets[0].inject.paths[1]",
        "is not a method and a plain path",
        "write it like POST /v1/messages",
    ),
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


def test_files_and_repositories_are_mounted_side_by_side() -> None:
    found = session(mounts=[FILE, REPOSITORY, REPOSITORY | {"mount_path": "/workspace/again"}], secrets=[KEY])
    assert [one.target for one in found.mounts] == ["/workspace/file_1", "/workspace/r", "/workspace/again"]
    # The name of a folder that an agent alone does not have: refused all the same, since others may join it.
    with pytest.raises(InvalidInput, match=r"agent\.name = 'shared'"):
        session(agent={"name": "shared", "model": "m"})
