"""The policy document that a gateway gets, for what a stack file says."""

import json
from ipaddress import IPv4Network
from typing import Any

import pytest

from components.models.secrets import MODEL_SECRETS
from components.models.stack import Stack
from components.plans.egress import Identity, canonical, egress_policy, policy_hash

ENVIRONMENT: dict[str, Any] = {
    "name": "e",
    "config": {
        "type": "cloud",
        "networking": {
            "type": "limited",
            "allowed_hosts": ["*.corp.example.com", "a.example.com"],
            "allow_mcp_servers": True,
        },
    },
}
MCP = "https://mcp.partner.example.com:8443/sse"
SESSIONS: list[dict[str, Any]] = [
    {
        "name": "one",
        "environment": "e",
        "pattern": "ephemeral",
        "agent": {"model": "m", "mcp_servers": [{"name": "x", "url": MCP}]},
        "secrets": [
            {
                "name": "CRM",
                "source": "file:/etc/agentenv/crm",
                "inject": {"origin": "https://crm.corp.example.com", "header": "x-api-key"},
            }
        ],
    },
    {"name": "two", "environment": "e", "pattern": "ephemeral", "agent": {"model": "m"}},
]


def document(**fields: Any) -> dict[str, Any]:
    stack = Stack.parse({"team": "t", "environments": [ENVIRONMENT], "sessions": SESSIONS} | fields)
    return egress_policy(stack.environments[0], stack.sessions, stack.private_hosts).to_json()


def host(policy: dict[str, Any], name: str) -> dict[str, Any]:
    (entry,) = [entry for entry in policy["hosts"] if entry["host"] == name]
    assert isinstance(entry, dict)
    return entry


def test_a_host_says_which_field_allows_it() -> None:
    assert host(document(), "a.example.com") == {
        "host": "a.example.com",
        "port": 443,
        "field": "config.networking.allowed_hosts[1]",
    }


def test_an_mcp_server_is_open_to_the_sessions_that_use_it_on_its_port() -> None:
    entry = host(document(), "mcp.partner.example.com")
    assert (entry["port"], entry["sessions"]) == (8443, ["one"])


def test_a_private_host_below_a_wildcard_stands_before_it_and_opens_its_own_range_alone() -> None:
    policy = document(private_hosts={"crm.corp.example.com": "10.7.0.0/16"})
    names = [entry["host"] for entry in policy["hosts"]]
    assert names.index("crm.corp.example.com") < names.index("*.corp.example.com")
    assert host(policy, "crm.corp.example.com")["private_range"] == "10.7.0.0/16"
    assert "private_range" not in host(policy, "*.corp.example.com")
    assert policy["routes"][0]["private_range"] == "10.7.0.0/16"


def test_a_private_wildcard_covers_what_it_matches() -> None:
    policy = document(private_hosts={"*.corp.example.com": "10.7.0.0/16"})
    assert host(policy, "*.corp.example.com")["private_range"] == "10.7.0.0/16"
    assert "private_range" not in host(policy, "a.example.com")


def test_identities_stand_in_the_document_when_the_runtime_knows_them() -> None:
    stack = Stack.parse({"team": "t", "environments": [ENVIRONMENT], "sessions": SESSIONS})
    policy = egress_policy(stack.environments[0], stack.sessions)
    assert "identities" not in policy.to_json()
    known = policy.to_json([Identity("one", (str(IPv4Network("10.200.0.8/29")),))])
    assert known["identities"] == [{"session": "one", "sources": ["10.200.0.8/29"]}]


def test_the_hash_is_of_the_content_and_not_of_its_order() -> None:
    policy = document()
    turned = json.loads(json.dumps(dict(reversed(list(policy.items())))))
    assert policy_hash(turned) == policy_hash(policy) != policy_hash(policy | {"package_managers": True})
    assert json.loads(canonical(policy)) == policy


SOURCE = "file:/etc/agentenv/anthropic"


def with_model(name: str, *, secret: str = "ANTHROPIC_API_KEY", **fields: Any) -> dict[str, Any]:
    header = MODEL_SECRETS.get(secret, "x-api-key")
    inject = {"origin": "https://api.anthropic.com", "header": header} | fields.pop("inject", {})
    return {
        "name": name,
        "environment": "e",
        "pattern": "ephemeral",
        "agent": {"model": "m"},
        "secrets": [{"name": secret, "source": SOURCE, "inject": inject}],
    } | fields


def paths(*sessions: dict[str, Any]) -> list[tuple[list[str], list[str] | None]]:
    """Sessions and requests of each route."""
    return [(route["sessions"], route.get("paths")) for route in document(sessions=[*sessions])["routes"]]


ASKED = ["HEAD /", "POST /v1/messages", "POST /v1/messages/count_tokens", "GET /v1/models", "GET /v1/models/*"]


@pytest.mark.parametrize("secret", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"])
def test_the_models_secret_is_for_what_an_agent_asks_and_the_files_of_its_own_session(secret: str) -> None:
    def file(name: str) -> dict[str, Any]:
        return {"type": "file", "file_id": name, "mount_path": f"/workspace/{name}"}

    repository = {"type": "github_repository", "url": "https://github.com/o/r"}
    found = paths(
        with_model("plain", secret=secret),
        with_model("reader", secret=secret, mounts=[file("file_1"), repository, file("file_2")]),
        with_model("other", secret=secret, mounts=[file("file_3")]),
        with_model("plain-too", secret=secret),
    )
    assert sorted(found) == [
        (["other"], [*ASKED, "GET /v1/files/file_3/content"]),
        (["plain", "plain-too"], ASKED),
        (["reader"], [*ASKED, "GET /v1/files/file_1/content", "GET /v1/files/file_2/content"]),
    ]


def test_a_command_and_any_other_secret_are_free_unless_the_stack_file_says_otherwise() -> None:
    own = ["POST /v1/messages"]
    found = paths(
        with_model("command", agent=None, command=["python3", "x.py"]),
        with_model("command-listed", agent=None, command=["python3", "x.py"], inject={"paths": own}),
        with_model("listed", inject={"paths": own}),
        with_model("crm", secret="CRM"),
        with_model("crm-listed", secret="CRM", inject={"paths": ["GET /customers/*"]}),
    )
    assert sorted(found) == [
        (["command"], None),
        (["command-listed", "listed"], own),
        (["crm"], None),
        (["crm-listed"], ["GET /customers/*"]),
    ]
