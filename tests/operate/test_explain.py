"""Which layer decides about a host, and which field of the stack file."""

from typing import Any

import pytest

from operate.explain import Answer, InForce, Registry, explain_host, explain_policy
from operate.failures import Failure
from operate.outputs import Outputs
from tests.operate.deployed import CRM, DESK, LIMITED, environment, outputs

TOLD = InForce((Registry("registry.mirror.test", 443),), "abc", "told by the gateway (x)")
OFFLINE = InForce(None, None, "from the stack's outputs alone: no engine")
OPEN = {"type": "unrestricted"}


def asked(host: str, in_force: InForce = TOLD, runtime: str = "docker", **fields: Any) -> Answer:
    return explain_host(host, Outputs.parse(outputs(runtime, **fields)).environment("api-client"), in_force)


def decided(answer: Answer) -> tuple[str, str, str]:
    return (answer.verdict, answer.layer, answer.field)


LIST = "config.networking.allowed_hosts"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("api.partner.test", ("allowed", "gateway allow-list", f"{LIST}[0]")),
        ("API.Partner.test.", ("allowed", "gateway allow-list", f"{LIST}[0]")),
        ("https://api.partner.test/v1?x=1", ("allowed", "gateway allow-list", f"{LIST}[0]")),
        ("a.b.wild.test", ("allowed", "gateway allow-list", f"{LIST}[1]")),
        ("wild.test", ("denied", "gateway allow-list", LIST)),
        ("other.test", ("denied", "gateway allow-list", LIST)),
        ("api.partner.test:8443", ("denied", "gateway allow-list", f"{LIST}[0]")),
        ("api.anthropic.com", ("allowed", "built in", "(built in: the agent's model)")),
        ("registry.mirror.test", ("allowed", "package registries", "config.networking.allow_package_managers")),
        ("http://api.partner.test/", ("denied", "gateway name check", LIST)),
        ("203.0.113.9", ("denied", "gateway name check", LIST)),
        ("0x7f.1", ("denied", "gateway name check", LIST)),
        ("[2001:db8::1]:443", ("denied", "gateway name check", LIST)),
        ("https://203.0.113.9/x", ("denied", "gateway name check", LIST)),
        ("user@api.partner.test", ("denied", "gateway name check", LIST)),
        ("nobody", ("denied", "gateway name check", LIST)),
    ],
)
def test_limited(host: str, expected: tuple[str, str, str]) -> None:
    assert decided(asked(host)) == expected


def test_an_mcp_server_is_open_to_its_own_session() -> None:
    answer = asked("mcp.partner.test:8443")
    assert decided(answer)[:2] == ("allowed", "MCP servers")
    assert answer.field == "sessions[desk].agent.mcp_servers[0].url"
    assert answer.sessions == ("desk",)
    assert decided(asked("mcp.partner.test"))[0] == "denied"


def test_an_entry_for_all_sessions_decides_before_one_for_some() -> None:
    session = DESK | {"agent": {"model": "m", "mcp_servers": [{"name": "x", "url": "https://in.wild.test/sse"}]}}
    parsed = Outputs.parse({"environments": {"e": environment(sessions=[session])}, "sessions": {}})
    answer = explain_host("in.wild.test", parsed.environment("e"), TOLD)
    assert (answer.layer, answer.sessions) == ("gateway allow-list", ())


def test_the_origin_of_a_route_is_reached_by_the_route_alone() -> None:
    answer = asked("crm.partner.test")
    assert decided(answer) == ("allowed", "injected route", "sessions[desk].secrets")
    assert "http://GATEWAY:3128/CRM/" in answer.note
    assert "http://gw.t.internal:3128/CRM/" in asked("crm.partner.test", runtime="fargate").note


def test_a_route_with_two_lists_of_requests_is_named_once() -> None:
    other = DESK | {"name": "other", "secrets": [CRM | {"inject": CRM["inject"] | {"paths": ["GET /orders/*"]}}]}
    answer = asked("crm.partner.test", sessions=[DESK, other])
    assert answer.sessions == ("desk", "other")
    assert answer.note.count("/CRM/") == 1


def test_a_denied_host_tells_how_a_registry_is_opened() -> None:
    closed = LIMITED | {"allow_package_managers": False}
    answer = asked("registry.mirror.test", InForce((), "abc", "told"), networking=closed)
    assert decided(answer) == ("denied", "gateway allow-list", LIST)
    assert "config.networking.allow_package_managers" in answer.note


def test_what_offline_cannot_be_known_is_said() -> None:
    answer = asked("registry.mirror.test", OFFLINE)
    assert answer.verdict == "denied"
    assert "no engine" in answer.note


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("anything.test", ("allowed", "network")),
        ("http://anything.test:8080/", ("allowed", "network")),
        ("203.0.113.9", ("allowed", "network")),
        ("10.1.2.3", ("denied", "safety blocklist")),
        ("2130706433", ("denied", "safety blocklist")),
        ("169.254.169.254", ("denied", "safety blocklist")),
        ("::ffff:10.0.0.1", ("denied", "safety blocklist")),
        ("fe80::1", ("denied", "safety blocklist")),
        ("2606::1", ("allowed", "network")),
        ("198.51.100.7", ("denied", "safety blocklist")),
    ],
)
def test_unrestricted(host: str, expected: tuple[str, str]) -> None:
    assert decided(asked(host, networking=OPEN, sessions=[]))[:2] == expected


@pytest.mark.parametrize("tool", ["web_search", "web_fetch"])
def test_what_runs_at_the_provider_is_not_covered(tool: str) -> None:
    assert asked(tool).verdict == "not covered"


def test_what_is_no_url_is_bad_input() -> None:
    with pytest.raises(Failure, match="is not a URL"):
        asked("ftp://a.test:99999/", networking=OPEN, sessions=[])


def test_the_whole_policy() -> None:
    deployed = Outputs.parse(outputs()).environment("api-client")
    policy = explain_policy("api-client", deployed, TOLD)
    assert {entry["host"] for entry in policy["hosts"]} >= {"api.partner.test", "*.wild.test", "mcp.partner.test"}
    assert policy["registries"]["hosts"] == [{"host": "registry.mirror.test", "port": 443}]
    assert policy["routes"][0]["origin"] == "https://crm.partner.test"
    assert policy["routes"][0]["paths"] == ["GET /customers/*"]
    assert "/etc/agentenv" not in str(policy["routes"])
    assert {"range": "169.254.0.0/16", "what": "link-local and metadata"} in policy["always_blocked"]
    assert any("tenants" in risk for risk in policy["residual_risks"])
    assert any("*.wild.test" in risk for risk in policy["residual_risks"])
    assert explain_policy("api-client", deployed, OFFLINE)["registries"]["hosts"] is None
