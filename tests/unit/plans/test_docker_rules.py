"""The rules of a fence: what is let through stands before what is refused, and the rest follows the networking."""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest

from components.plans.docker import SAFETY_BLOCKLIST_V6, SessionNetwork, fence_rules, gateway_rules
from components.plans.network import SAFETY_BLOCKLIST

NETWORK = SessionNetwork(IPv4Network("10.200.0.8/29"))
GATEWAY = "ip daddr 10.200.0.10 tcp dport 3128 accept"
RESOLVERS = (IPv4Address("198.51.100.53"), IPv4Address("10.9.9.53"))
HOST = (IPv4Address("203.0.113.9"), IPv6Address("2001:db8::9"))


def chain(rules: str, name: str) -> tuple[str, list[str]]:
    """Policy and rules of one chain."""
    found = re.search(
        rf"chain {name} \{{\n\s+type filter hook {name} priority filter; policy (\w+);\n(.*?)  \}}", rules, re.S
    )
    assert found is not None
    return found[1], [line.strip() for line in found[2].splitlines()]


def test_limited_lets_out_to_the_gateway_alone() -> None:
    policy, rules = chain(fence_rules("limited", NETWORK, resolvers=RESOLVERS), "output")
    assert policy == "drop"
    accepted = [rule for rule in rules if rule.endswith("accept")]
    assert accepted == ['oifname "lo" accept', "ct state established accept", GATEWAY]


def test_limited_refuses_the_engines_resolver_before_it_lets_loopback_through() -> None:
    _, rules = chain(fence_rules("limited", NETWORK), "output")
    assert all(rule.startswith("ip daddr 127.0.0.11 ") for rule in rules[:2])
    assert rules.index('oifname "lo" accept') == 2


def test_unrestricted_refuses_the_blocklist_after_the_gateway_and_the_resolvers() -> None:
    text = fence_rules("unrestricted", NETWORK, resolvers=RESOLVERS, host_addresses=HOST)
    policy, rules = chain(text, "output")
    assert policy == "accept"
    refused = [rule for rule in rules if "reject" in rule]
    assert len(refused) == 4
    for blocked, _ in SAFETY_BLOCKLIST:
        assert all(blocked in rule for rule in refused[:2])
    for blocked, _ in SAFETY_BLOCKLIST_V6:
        assert all(blocked in rule for rule in refused[2:])
    assert "203.0.113.9" in refused[0]
    assert "2001:db8::9" in refused[2]
    asked = [f"ip daddr {{ 198.51.100.53, 10.9.9.53 }} {kind} dport 53 accept" for kind in ("udp", "tcp")]
    assert rules[2:5] == [GATEWAY, *asked]
    assert rules[5:] == refused


def test_without_resolvers_nobody_is_asked() -> None:
    assert "dport 53" not in fence_rules("unrestricted", NETWORK)


@pytest.mark.parametrize(("networking", "peer"), [("limited", "10.200.0.12"), ("unrestricted", "10.200.0.9")])
def test_ports_are_reached_from_where_they_are_published(networking: str, peer: str) -> None:
    policy, rules = chain(fence_rules(networking, NETWORK, ports=(9000, 8080)), "input")
    assert policy == "drop"
    assert rules[-1] == f"ip saddr {peer} tcp dport {{ 8080, 9000 }} accept"
    assert chain(fence_rules(networking, NETWORK), "input")[1] == rules[:-1]


@pytest.mark.parametrize("networking", ["limited", "unrestricted"])
def test_nothing_is_forwarded_and_only_our_table_is_replaced(networking: str) -> None:
    text = fence_rules(networking, NETWORK)
    assert chain(text, "forward") == ("drop", [])
    assert text.startswith("add table inet agentenv\ndelete table inet agentenv\ntable inet agentenv {")
    assert "flush" not in text


def test_a_gateway_serves_sessions_alone() -> None:
    egress = SessionNetwork(IPv4Network("10.200.0.16/29"))
    text = gateway_rules(IPv4Network("10.200.0.0/13"), egress)
    policy, rules = chain(text, "input")
    assert policy == "drop"
    assert rules[2:] == ["ip saddr 10.200.0.16/29 drop", "ip saddr 10.200.0.0/13 tcp dport 3128 accept"]
    assert chain(text, "forward") == ("drop", [])
