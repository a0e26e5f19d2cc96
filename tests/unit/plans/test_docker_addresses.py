"""Networks and users on a Docker host: apart from each other, and where they were before."""

import itertools
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.plans.docker import SessionNetwork, declared_networks, run_networks, service_uids
from components.plans.image import SERVICE_UIDS

RANGE, SMALL = IPv4Network("10.200.0.0/13"), IPv4Network("10.200.0.0/24")
NAMES = st.sets(st.text(min_size=1, max_size=8), max_size=16)


def test_a_network_has_an_address_for_each_that_is_on_it() -> None:
    network = SessionNetwork(IPv4Network("10.200.0.8/29"))
    named = [network.bridge, network.gateway, network.session, network.forwarder]
    assert [str(address) for address in named] == ["10.200.0.9", "10.200.0.10", "10.200.0.11", "10.200.0.12"]
    assert set(named) <= set(network.subnet.hosts())


@given(NAMES, st.text(max_size=5))
def test_declared_networks_lie_apart_in_the_lower_half(names: set[str], deployment: str) -> None:
    found = declared_networks(SMALL, deployment, names)
    assert found.keys() == names
    subnets = [network.subnet for network in found.values()]
    assert len(set(subnets)) == len(subnets)
    assert all(subnet.subnet_of(IPv4Network("10.200.0.0/25")) and subnet.prefixlen == 29 for subnet in subnets)


@given(NAMES)
def test_the_order_of_the_file_does_not_matter(names: set[str]) -> None:
    assert declared_networks(SMALL, "d", sorted(names)) == declared_networks(SMALL, "d", sorted(names, reverse=True))


def test_a_name_keeps_its_network_when_others_come() -> None:
    names = [f"s{index}" for index in range(200)]
    before, after = declared_networks(RANGE, "d", names), declared_networks(RANGE, "d", [*names, *"abcdefgh"])
    assert sum(before[name] != after[name] for name in names) <= 1


def test_two_deployments_get_different_networks() -> None:
    one, other = (declared_networks(RANGE, deployment, ["a"]) for deployment in ("d", "e"))
    assert one != other


def test_a_range_that_is_too_small_is_refused() -> None:
    assert len(declared_networks(SMALL, "d", map(str, range(16)))) == 16
    with pytest.raises(ValueError, match=r"holds 16 networks of declared sessions, and 17 are needed\. Fix: "):
        declared_networks(SMALL, "d", map(str, range(17)))


def test_runs_try_every_network_of_the_upper_half_once() -> None:
    found = [network.subnet for network in run_networks(SMALL)]
    assert len(found) == len(set(found)) == 16
    assert all(subnet.subnet_of(IPv4Network("10.200.0.128/25")) for subnet in found)


def test_runs_start_at_places_of_their_own() -> None:
    firsts = {next(run_networks(RANGE)).subnet for _ in range(50)}
    assert len(firsts) > 40


def test_the_first_places_of_the_widest_range_need_no_list_of_all() -> None:
    wide = IPv4Network("10.0.0.0/8")
    assert len({network.subnet for network in itertools.islice(run_networks(wide), 64)}) == 64


def test_services_have_users_of_their_own() -> None:
    found = service_uids("d", map(str, range(256)))
    assert sorted(found.values()) == list(SERVICE_UIDS)


def test_more_services_than_users_are_refused() -> None:
    with pytest.raises(ValueError, match="256 services on a Docker host at most, and 257 are declared"):
        service_uids("d", map(str, range(257)))
