"""The policy document that a gateway gets, for what a stack file says."""

import json
from ipaddress import IPv4Network
from typing import Any

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
