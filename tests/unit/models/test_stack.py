"""What a team may write, and the one clear error for each thing that it may not."""

import copy
from typing import Any

import pytest

from components.models.errors import InvalidInput
from components.models.session import Pattern
from components.models.stack import Stack

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:crm-AbCdEf"
GOOD: dict[str, Any] = {
    "team": "research",
    "runtime": "fargate",
    "environments": [
        {"name": "open", "config": {"type": "cloud", "networking": {"type": "unrestricted"}}},
        {
            "name": "shut",
            "config": {"type": "cloud", "networking": {"type": "limited", "allowed_hosts": ["a.example.com"]}},
        },
        {"name": "own", "config": {"type": "self_hosted"}},
        {"name": "old", "archived_at": "2026-01-01T00:00:00Z"},
    ],
    "sessions": [
        {"name": "report", "environment": "open", "pattern": "ephemeral", "agent": {"model": "sonnet", "max_turns": 3}},
    ],
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """GOOD with the field at `path` (dots and indices) set to `value`."""
    data = copy.deepcopy(GOOD)
    at: Any = data
    *steps, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for step in steps:
        at = at[step] if isinstance(step, int) else at.setdefault(step, {})
    if isinstance(last, int) and last == len(at):
        at.append(value)
    else:
        at[last] = value
    return data


def test_the_good_one_is_good() -> None:
    stack = Stack.parse(GOOD)
    assert stack.sessions_of("open")[0].pattern is Pattern.EPHEMERAL
    assert stack.sessions_of("shut") == ()
    resources = stack.sessions[0].resources
    assert (resources.cpu, resources.memory_gib, resources.disk_gib) == (1, 1, 5)


def session(**fields: Any) -> dict[str, Any]:
    return {"name": "s", "environment": "open", "pattern": "ephemeral", "agent": {"model": "m"}} | fields


MODEL_KEY = {
    "name": "ANTHROPIC_API_KEY",
    "source": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:model-AbCdEf",
    "inject": {"origin": "https://api.anthropic.com", "header": "x-api-key"},
}
BAD: list[tuple[str, Any, str, str, str]] = [
    # path to change, value, path in the error, part of the rule, part of the fix
    ("runtim", "x", "runtim", "no such field", "did you mean 'runtime'"),
    ("environments.0.config.networking.allow", 1, "environments[0].config.networking.allow", "no such field", "remove"),
    ("environments.0.config.packges", {}, "environments[0].config.packges", "no such field", "did you mean 'packages'"),
    ("environments.4", {"name": "open"}, "environments[4].name", "already taken", "name of its own"),
    ("environments.4", {"name": "OPEN"}, "environments[4].name", "case alone", "name of its own"),
    ("sessions.0.environment", "nope", "sessions[0].environment", "no environment of this name", "open, shut"),
    ("sessions.0.environment", "old", "sessions[0].environment", "archived", "archived_at"),
    ("sessions.0.name", "Not_A_Slug", "sessions[0].name", "lower-case", "nightly-report"),
    ("sessions.0.pattern", "forever", "sessions[0].pattern", "", "'ephemeral'"),
    ("sessions.0.agent", None, "sessions[0].agent", "something to run", "command"),
    ("sessions.0.agent.max_turns", 0, "sessions[0].agent.max_turns", "greater than or equal to 1", ""),
    (
        "sessions.0.schedule",
        {"expression": "daily"},
        "sessions[0].schedule.expression",
        "not a schedule",
        "rate(1 hour)",
    ),
    ("sessions.0.ports", [8080], "sessions[0].ports", "serve ports", "long_running"),
    ("sessions.0.idle_timeout", "15m", "sessions[0].idle_timeout", "idle", "max_turns"),
    ("sessions.0.variables", {"HTTPS_PROXY": "x"}, "sessions[0].variables", "set by the runtime", "another name"),
    ("sessions.1", session(name="report"), "sessions[1].name", "already taken", "name of its own"),
    (
        "sessions.1",
        session(environment="own", mounts=[{"type": "file", "file_id": "f"}], secrets=[MODEL_KEY]),
        "sessions[1].mounts[0].type",
        "self_hosted",
        "cloud environment",
    ),
    (
        "sessions.1",
        session(environment="own", mounts=[{"type": "github_repository", "url": "https://github.com/a/b"}]),
        "sessions[1].mounts[0].type",
        "self_hosted",
        "cloud environment",
    ),
    (
        "sessions.1",
        session(
            environment="shut", agent={"model": "m", "mcp_servers": [{"name": "x", "url": "https://b.example.com/sse"}]}
        ),
        "sessions[1].agent.mcp_servers[0].url",
        "cannot be reached",
        "allow_mcp_servers: true",
    ),
    (
        "sessions.1",
        session(pattern="single_container", agents=[{"model": "m"}, {"model": "m"}], agent=None),
        "sessions[1].agents[1].name",
        "work folder",
        "name of its own",
    ),
    ("network", {"session_range": "10.0.0.0/8"}, "network.session_range", "/16", "10.64.0.0/20"),
    ("network", {"session_range": "10.0.0.0/26"}, "network.session_range", "/24", "10.64.0.0/20"),
    ("network", {"egress_range": "10.64.8.0/21"}, "network.egress_range", "overlaps", "starts where the other ends"),
    ("network", {"egress_range": "8.8.0.0/20"}, "network.egress_range", "private range", "10.0.0.0/8"),
    ("docker", {"range": "10.0.0.0/25"}, "docker.range", "/29", "10.200.0.0/13"),
    ("docker", {"range": "8.0.0.0/13"}, "docker.range", "private range", "10.0.0.0/8"),
    ("docker", {"runtime": "kata"}, "docker.runtime", "", "'runsc'"),
    ("docker", {"resolvers": ["dns.example.com"]}, "docker.resolvers[0]", "", ""),
    ("private_hosts", {"a.example.com": "0.0.0.0/0"}, "private_hosts", "private range", "10.20.0.0/16"),
    ("private_hosts", {"a.example.com": "169.254.0.0/16"}, "private_hosts", "never opened", "10.20.0.0/16"),
    ("private_hosts", {"a.example.com": "::/0"}, "private_hosts", "private range", "10.20.0.0/16"),
    ("private_hosts", {"z.example.com": "10.1.0.0/16"}, "private_hosts.z.example.com", "uses this host", "remove it"),
    ("tags", {"agentenv:team": "x"}, "tags", "reserved", "agentenv:"),
    ("log_retention_days", 2, "log_retention_days", "", "one of"),
]


@pytest.mark.parametrize(("path", "value", "where", "rule", "fix"), BAD, ids=[f"{b[0]}={b[2]}" for b in BAD])
def test_bad_input_gives_one_clear_error(path: str, value: Any, where: str, rule: str, fix: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Stack.parse(changed(path, value))
    assert len(caught.value.problems) == 1, str(caught.value)
    problem = caught.value.problems[0]
    assert problem.path.startswith(where)
    assert rule in problem.rule
    assert fix in problem.fix
    assert problem.fix


@pytest.mark.parametrize("secret", ["sk-ant-api03-abcdef", "hunter2", "arn:aws:s3:::bucket"])
def test_a_secret_given_as_a_value_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(InvalidInput, match=r"sessions\[1\]\.secrets\[0\]\.source .*never a secret's value") as caught:
        Stack.parse(changed("sessions.1", session(secrets=[{"name": "KEY", "source": secret}])))
    assert secret not in str(caught.value)


LITERAL = "sk-ant-api03-SECRET"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("sessions.0.secret", LITERAL),
        ("sessions.0.api_key", "hunter2-SECRET"),
        ("sessions.0.variables", f"API_KEY={LITERAL}"),
        ("sessions.0.variables", [{"API_KEY": "hunter2-SECRET"}]),
        ("sessions.0.variables", {"K": "SECRET" * 1000}),
        ("sessions.0.secrets", [{"name": "sk SECRET", "source": ARN}]),
        ("sessions.0.secrets", {"name": "K", "source": LITERAL}),
        ("sessions", {"s": {"secrets": [{"name": "K", "source": LITERAL}]}}),
        ("sessions.0.agent.model", LITERAL + " x"),
        ("sessions.0.agent.mcp_servers", [{"name": "m", "url": "https://u:SECRET@a.example.com/sse"}]),
        ("sessions.0.agent.mcp_servers", [{"name": "m", "url": "http://a.example.com/sse?token=SECRET"}]),
        ("sessions.0.agent.mcp_servers", [{"name": "m", "url": "https://a.example.com", "token": "SECRET"}]),
    ],
)
def test_no_error_repeats_what_may_be_a_secret(path: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        Stack.parse(changed(path, value))
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        ("environments.0.config.packages", {"pip": "pandas"}, "a list is wanted"),
        ("sessions.0.ports", 8080, "a list is wanted"),
        ("sessions.0.agent", "sonnet", "a mapping is wanted"),
        ("environments.0.name", 42, "text is wanted"),
        ("network", {"session_range": "10.64.1.0/20"}, "not an IPv4 range"),
        (
            "sessions.0.mounts",
            [{"type": "file", "file_id": "f", "mount_path": "/workspace/../etc/x"}],
            "below /workspace",
        ),
        ("environments", [], "at least one environment"),
    ],
)
def test_wrong_kinds_are_named_in_plain_words(path: str, value: Any, rule: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Stack.parse(changed(path, value))
    assert rule in caught.value.problems[0].rule


def test_an_error_in_the_only_environment_is_one_error() -> None:
    with pytest.raises(InvalidInput) as caught:
        Stack.parse({"team": "t", "runtime": "fargate", "environments": [{"name": "a", "config": {"type": "clod"}}]})
    assert [problem.path for problem in caught.value.problems] == ["environments[0].config"]


@pytest.mark.parametrize("origin", ["https://a.example.com/x", "https://a.example.com?x", "https://a.example.com#x"])
def test_a_route_goes_to_an_origin(origin: str) -> None:
    route = {"name": "crm", "source": ARN, "inject": {"origin": origin, "header": "authorization"}}
    with pytest.raises(InvalidInput, match="must be an origin"):
        Stack.parse(changed("sessions.1", session(secrets=[route])))


@pytest.mark.parametrize("header", ["host", "Transfer-Encoding", "x y", "x\n"])
def test_a_route_puts_its_secret_into_a_header_of_its_own(header: str) -> None:
    route = {"name": "crm", "source": ARN, "inject": {"origin": "https://a.example.com", "header": header}}
    with pytest.raises(InvalidInput, match="carries a credential"):
        Stack.parse(changed("sessions.1", session(secrets=[route])))


def test_all_problems_are_shown_at_once() -> None:
    data = changed("sessions.0.environment", "nope")
    data["sessions"].append(session(name="report", environment="old"))
    with pytest.raises(InvalidInput) as caught:
        Stack.parse(data)
    paths = [problem.path for problem in caught.value.problems]
    assert paths == ["sessions[1].name", "sessions[0].environment", "sessions[1].environment"]


@pytest.mark.parametrize(
    "host",
    [
        "http://a.example.com",
        "a.example.com:8443",
        "a.example.com/path",
        "*",
        "*.com",
        "a\x00.example.com",
        f"{'a' * 64}.example.com",
        "10.0.0.1",
        "[::1]",
    ],
)
def test_hosts_that_are_none_are_refused_with_their_path(host: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Stack.parse(changed("environments.1.config.networking.allowed_hosts", [host]))
    assert caught.value.problems[0].path == "environments[1].config.networking.allowed_hosts[0]"
    assert "\x00" not in str(caught.value)


@pytest.mark.parametrize("package", ["six; rm -rf /", "--index-url=x", "$(id)", "six\nRUN id"])
def test_packages_with_shell_or_option_characters_are_refused_with_their_path(package: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Stack.parse(changed("environments.0.config.packages", {"pip": [package]}))
    assert caught.value.problems[0].path == "environments[0].config.packages.pip[0]"


def test_one_route_of_the_gateway_means_one_thing() -> None:
    inject = {"origin": "https://crm.example.com", "header": "authorization"}
    route = {"name": "crm", "source": ARN, "inject": inject}
    data = changed("sessions.1", session(environment="shut", secrets=[route]))
    data["sessions"].append(session(name="t", environment="shut", secrets=[route]))
    assert len(Stack.parse(data).sessions) == 3
    data["sessions"][2]["secrets"] = [route | {"inject": {**inject, "paths": ["GET /customers/*"]}}]
    assert len(Stack.parse(data).sessions) == 3
    other = route | {"inject": {"origin": "https://other.example.com", "header": "authorization"}}
    data["sessions"][2]["secrets"] = [other]
    with pytest.raises(InvalidInput, match="route of this name to something else"):
        Stack.parse(data)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("2h", 7200), (60, 60)])
def test_durations(text: str | int, seconds: int) -> None:
    service = session(pattern="long_running", ports=[8080], token_sha256="0" * 64, idle_timeout=text)
    data = changed("sessions.1", service)
    assert Stack.parse(data).sessions[1].idle_timeout == seconds
