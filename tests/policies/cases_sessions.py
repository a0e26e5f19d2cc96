"""Cases of the rules about secrets, tags and the session table."""

import json
from typing import Any

from policies.aws import ENVIRONMENT, SCHEDULE, SESSION, VPC
from tests.policies.judging import UNKNOWN, Case

SHAPES, TURNS, VARIABLES = "no-secret-in-plain-text", "session-max-turns", "session-variables-no-secret"
TAGS, LIMITED, WILDCARD = "required-tags", "advise-limited-networking", "advise-no-wildcard-hosts"
ROUTE = "advise-model-route"

# Put together here, so that no scanner of this repository takes them for real.
CREDENTIALS = {
    "an AWS access key id": "AKIA" + "IOSFODNN7EXAMPLE",
    "an Anthropic key": "sk-ant-" + "api03-0123456789abcdefghij",
    "a GitHub token": "ghp_" + "0123456789abcdefghijABCDEFGHIJ012345",
    "a Slack token": "xoxb-" + "123456789012-abcdefghijkl",
    "a private key": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE",
    "a JSON web token": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0In0." + "dozjgNryP4J3jVmNHl0w5N",
}
KEY = CREDENTIALS["an Anthropic key"]

REQUIRED = {"agentenv:stack": "demo", "agentenv:team": "research", "agentenv:cost-centre": "4711"}
AGENT = {"name": "agent", "model": "sonnet", "max_turns": 30.0}
INJECT = {"origin": "https://api.anthropic.com", "header": "x-api-key"}


def _environment(*sessions: Any, **networking: Any) -> dict[str, Any]:
    config = {"type": "cloud"} | ({"networking": networking} if networking else {})
    return {"runtime": "fargate", "environment": {"name": "e", "config": config}, "sessions": list(sessions)}


def _session(**fields: Any) -> dict[str, Any]:
    return {"name": "nightly", "environment": "e", "pattern": "ephemeral"} | fields


CASES = [
    *(
        Case(
            SHAPES,
            "violating",
            f"{what} in a tag",
            VPC,
            {"tags": {"note": f"see {text} here"}},
            at=(f"tags.note holds {what}",),
        )
        for what, text in CREDENTIALS.items()
    ),
    Case(SHAPES, "compliant", "tags", VPC, {"tags": {"note": "sk-ant is the prefix of a key, AKIA of another"}}),
    Case(SHAPES, "compliant", "secret by reference", SESSION, {"session": _session(secrets=[{"source": "arn:aws:x"}])}),
    Case(SHAPES, "violating", "tagsAll", VPC, {"tagsAll": {"note": KEY}}, at=("tagsAll.note",)),
    Case(
        SHAPES,
        "violating",
        "deep in a component",
        ENVIRONMENT,
        _environment(_session(agent=AGENT | {"system": f"Use {KEY}."})),
        at=("sessions[0].agent.system holds an Anthropic key",),
    ),
    Case(
        SHAPES,
        "violating",
        "scheduled input",
        SCHEDULE,
        {"target": {"input": json.dumps({"containerOverrides": [{"command": [KEY]}]})}},
        at=("target.input holds",),
    ),
    Case(SHAPES, "unknown", "one tag", VPC, {"tags": {"a": UNKNOWN, "b": KEY}}, at=("tags.b",)),
    Case(
        SHAPES,
        "unknown",
        "one session",
        ENVIRONMENT,
        _environment(UNKNOWN, _session(metadata={"k": KEY})),
        at=("sessions[1]",),
    ),
    Case(TURNS, "compliant", "limited", ENVIRONMENT, _environment(_session(agent=AGENT))),
    Case(
        TURNS, "compliant", "a command of its own", ENVIRONMENT, _environment(_session(command=["python3", "job.py"]))
    ),
    Case(TURNS, "compliant", "no sessions", ENVIRONMENT, _environment()),
    Case(TURNS, "compliant", "component", SESSION, {"session": _session(agents=[AGENT, AGENT | {"name": "b"}])}),
    Case(
        TURNS,
        "violating",
        "the second session",
        ENVIRONMENT,
        _environment(_session(agent=AGENT), _session(name="daily", agent={"model": "sonnet"})),
        at=("sessions[1] 'daily'.agent.max_turns is missing",),
    ),
    Case(
        TURNS,
        "violating",
        "one of two agents",
        SESSION,
        {"session": _session(agents=[AGENT, {"name": "b", "max_turns": None}])},
        at=("session 'nightly'.agents[1].max_turns is missing",),
    ),
    Case(
        TURNS,
        "violating",
        "none",
        SESSION,
        {"session": _session(agent={"max_turns": 0})},
        at=("session 'nightly'.agent",),
    ),
    Case(
        TURNS, "violating", "not a number", SESSION, {"session": _session(agent={"max_turns": True})}, at=("session",)
    ),
    Case(
        TURNS,
        "violating",
        "an agent beside a command",
        SESSION,
        {"session": _session(command=["x"], agent={"model": "sonnet"})},
        at=("session 'nightly'.agent",),
    ),
    Case(
        TURNS,
        "unknown",
        "turns",
        ENVIRONMENT,
        _environment(_session(agents=[{"max_turns": UNKNOWN}, {}])),
        at=("sessions[0]",),
    ),
    Case(TURNS, "unknown", "table", ENVIRONMENT, {"sessions": UNKNOWN}),
    Case(TURNS, "unknown", "one entry", ENVIRONMENT, _environment(UNKNOWN, _session(agent={})), at=("sessions[1]",)),
    *(
        Case(
            ROUTE,
            "compliant",
            name,
            ENVIRONMENT,
            _environment(_session(agent=AGENT, secrets=[{"name": "CRM"}, {"name": name, "inject": INJECT}])),
        )
        for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
    ),
    Case(
        ROUTE, "compliant", "a command of its own", ENVIRONMENT, _environment(_session(command=["x"], agents=[AGENT]))
    ),
    Case(
        ROUTE,
        "violating",
        "no secret",
        ENVIRONMENT,
        _environment(_session(agent=AGENT), _session(name="daily", agents=[AGENT])),
        at=("sessions[0] 'nightly'.secrets holds no ANTHROPIC_API_KEY", "sessions[1] 'daily'.secrets"),
    ),
    Case(
        ROUTE,
        "violating",
        "other secrets",
        ENVIRONMENT,
        _environment(_session(agent=AGENT, secrets=[{"name": "CRM", "inject": INJECT}, {"name": "ANTHROPIC_API_KEY"}])),
        at=("sessions[0] 'nightly'.secrets",),
    ),
    Case(
        ROUTE,
        "unknown",
        "one entry",
        ENVIRONMENT,
        _environment(_session(agent=AGENT, secrets=UNKNOWN), _session(agent=AGENT)),
        at=("sessions[1]",),
    ),
    Case(VARIABLES, "compliant", "plain", ENVIRONMENT, _environment(_session(variables={"LOG_LEVEL": "info"}))),
    Case(VARIABLES, "compliant", "none", SESSION, {"session": _session()}),
    Case(
        VARIABLES,
        "compliant",
        "where a secret is",
        SESSION,
        {"session": _session(variables={"GCP_CREDENTIALS": "/run/secrets/GCP", "DB_SECRET": "file:/etc/agentenv/db"})},
    ),
    Case(
        VARIABLES,
        "violating",
        "a secret like a path",
        SESSION,
        {"session": _session(variables={"DB_PASSWORD": "/run/secrets/../x y"})},
        at=("session 'nightly'.variables['DB_PASSWORD']",),
    ),
    Case(
        VARIABLES,
        "violating",
        "by name",
        ENVIRONMENT,
        _environment(_session(variables={"DB_PASSWORD": "hunter2", "MODE": "x"})),
        at=("sessions[0] 'nightly'.variables['DB_PASSWORD'] holds a secret, by its name",),
    ),
    Case(
        VARIABLES,
        "violating",
        "by shape",
        SESSION,
        {"session": _session(variables={"GREETING": KEY})},
        at=("session 'nightly'.variables['GREETING'] holds an Anthropic key",),
    ),
    Case(
        VARIABLES,
        "unknown",
        "one value",
        SESSION,
        {"session": _session(variables={"A": UNKNOWN, "B": KEY})},
        at=("session 'nightly'.variables['B']",),
    ),
    Case(TAGS, "compliant", "own", VPC, {"tags": REQUIRED}),
    Case(TAGS, "compliant", "provider's", VPC, {}, default_tags=REQUIRED),
    Case(TAGS, "compliant", "as the real provider reports them", VPC, {"tagsAll": REQUIRED}),
    Case(
        TAGS,
        "violating",
        "none",
        VPC,
        {},
        at=("tags[agentenv:stack]", "tags[agentenv:team]", "tags[agentenv:cost-centre] is missing"),
    ),
    Case(
        TAGS,
        "violating",
        "some",
        VPC,
        {"tags": {"agentenv:team": "research", "agentenv:cost-centre": ""}},
        default_tags={"agentenv:stack": "demo"},
        at=("tags[agentenv:cost-centre]",),
    ),
    Case(TAGS, "unknown", "all", VPC, {"tags": UNKNOWN}),
    Case(
        TAGS,
        "unknown",
        "one",
        VPC,
        {"tags": {"agentenv:stack": UNKNOWN, "agentenv:team": "research"}},
        at=("tags[agentenv:cost-centre]",),
    ),
    Case(LIMITED, "compliant", "limited", ENVIRONMENT, _environment(type="limited", allowed_hosts=["a.example.com"])),
    Case(LIMITED, "compliant", "self-hosted", ENVIRONMENT, {"environment": {"config": {"type": "self_hosted"}}}),
    Case(
        LIMITED,
        "violating",
        "stated",
        ENVIRONMENT,
        _environment(type="unrestricted"),
        at=("environment.config.networking",),
    ),
    Case(LIMITED, "violating", "by default", ENVIRONMENT, _environment(), at=("environment.config.networking.type",)),
    Case(LIMITED, "unknown", "type", ENVIRONMENT, _environment(type=UNKNOWN)),
    Case(WILDCARD, "compliant", "named", ENVIRONMENT, _environment(type="limited", allowed_hosts=["a.example.com"])),
    Case(WILDCARD, "compliant", "unrestricted", ENVIRONMENT, _environment()),
    Case(
        WILDCARD,
        "violating",
        "wildcard",
        ENVIRONMENT,
        _environment(type="limited", allowed_hosts=["a.example.com", "*.example.com"]),
        at=("environment.config.networking.allowed_hosts[1]",),
    ),
    Case(
        WILDCARD,
        "unknown",
        "one",
        ENVIRONMENT,
        _environment(type="limited", allowed_hosts=[UNKNOWN, "*.b.test"]),
        at=("env",),
    ),
]
