"""The address plan, the walled garden and the blocklist."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from components.models.stack import Network
from components.plans.account import Account
from components.plans.network import GATEWAY_PORT, AclEntry, address_plan, unrestricted_acl, walled_garden


@pytest.mark.parametrize("zones", [2, 3, 4])
def test_subnets_are_apart_inside_their_range_and_one_a_zone(zones: int) -> None:
    network = Network(zones=zones)
    plan = address_plan(network)
    everything = [*plan.sessions, *plan.private, *plan.public]
    assert [len(part) for part in (plan.sessions, plan.private, plan.public)] == [zones] * 3
    assert all(subnet.subnet_of(network.session_range) for subnet in plan.sessions)
    assert all(subnet.subnet_of(network.egress_range) for subnet in (*plan.private, *plan.public))
    assert not any(a.overlaps(b) for i, a in enumerate(everything) for b in everything[:i])


def test_the_smallest_range_still_gives_subnets_that_aws_takes() -> None:
    smallest = Network(session_range=IPv4Network("10.0.0.0/24"), egress_range=IPv4Network("10.0.1.0/24"), zones=4)
    plan = address_plan(smallest)
    assert max(s.prefixlen for s in (*plan.sessions, *plan.private, *plan.public)) <= 28


def test_the_resolver_knows_only_what_starts_a_task_and_the_gateway() -> None:
    names = walled_garden(Account("1", "eu-west-1"), "demo.agentenv.internal")
    assert names == (
        "*.demo.agentenv.internal",
        "*.dkr.ecr.eu-west-1.amazonaws.com",
        "api.ecr.eu-west-1.amazonaws.com",
        "logs.eu-west-1.amazonaws.com",
        "prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com",
    )


def test_a_zone_more_moves_no_subnet() -> None:
    two, three = address_plan(Network(zones=2)), address_plan(Network(zones=3))
    assert (two.sessions, two.private, two.public) == (three.sessions[:2], three.private[:2], three.public[:2])


def test_saved_state_has_a_name_that_resolves() -> None:
    with_state = walled_garden(Account("1", "eu-west-1"), "demo.agentenv.internal", "state-1")
    assert "state-1.s3.eu-west-1.amazonaws.com" in with_state
    assert "*" not in with_state


def decide(entries: tuple[AclEntry, ...], address: str, protocol: str, port: int) -> str:
    """What EC2 does: the first entry, by number, that matches."""
    for entry in sorted(entries, key=lambda e: e.rule_no):
        inside = IPv4Address(address) in IPv4Network(entry.cidr_block)
        alike = entry.protocol in ("-1", protocol)
        in_ports = entry.protocol in ("-1", "1") or entry.from_port <= port <= entry.to_port
        if inside and alike and in_ports:
            return entry.action
    return "deny"


PLAN = address_plan(Network())
GATEWAY = str(PLAN.public[0][10])


@pytest.mark.parametrize(
    ("address", "protocol", "port", "verdict"),
    [
        (GATEWAY, "6", GATEWAY_PORT, "allow"),
        (GATEWAY, "6", 22, "deny"),
        ("203.0.113.7", "6", 443, "allow"),
        ("203.0.113.7", "17", 53, "allow"),
        ("169.254.169.254", "6", 80, "deny"),
        ("169.254.170.2", "6", 80, "deny"),
        ("10.1.2.3", "6", 443, "deny"),
        ("172.20.0.1", "6", 443, "deny"),
        ("192.168.1.1", "6", 443, "deny"),
        ("100.64.0.1", "6", 443, "deny"),
        ("224.0.0.1", "17", 5353, "deny"),
        (str(PLAN.private[1][9]), "6", 8080, "deny"),
    ],
)
def test_unrestricted_reaches_all_but_the_blocklist(address: str, protocol: str, port: int, verdict: str) -> None:
    egress, _ = unrestricted_acl(PLAN)
    assert decide(egress, address, protocol, port) == verdict


def test_nothing_private_comes_in_and_answers_do() -> None:
    _, ingress = unrestricted_acl(PLAN)
    assert decide(ingress, "203.0.113.7", "6", 50000) == "allow"
    assert decide(ingress, "203.0.113.7", "6", 22) == "deny"
    assert decide(ingress, "10.9.9.9", "6", 50000) == "deny"
    assert decide(ingress, GATEWAY, "6", 50000) == "allow"


def test_an_acl_has_room_for_20_entries_a_side() -> None:
    egress, ingress = unrestricted_acl(address_plan(Network(zones=4)))
    assert len(egress) <= 20
    assert len(ingress) <= 20
