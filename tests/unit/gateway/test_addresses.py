"""Addresses that an allowed name may lead to, and all the others."""

from ipaddress import ip_address, ip_network

import pytest
from egress_gateway.addresses import is_own, may_connect, overlap


@pytest.mark.parametrize("address", ["192.31.196.10", "2620:4f:8000::10", "64:ff9b::c01f:c40a"])
def test_a_globally_reachable_address_is_connected_to(address: str) -> None:
    assert may_connect(ip_address(address), None)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "168.63.129.16",
        "169.254.169.254",
        "169.254.170.2",
        "172.16.0.1",
        "192.0.0.8",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::192.31.196.10",
        "::ffff:192.31.196.10",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::c01f:c40a",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:c01f:c40a::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ],
)
def test_any_other_address_is_not(address: str) -> None:
    assert not may_connect(ip_address(address), None)


@pytest.mark.parametrize(
    ("address", "private_range", "expected"),
    [
        ("10.2.3.4", "10.2.0.0/16", True),
        ("10.3.3.4", "10.2.0.0/16", False),
        ("fd77::1", "fd77::/64", True),
        ("fd77::1", "10.0.0.0/8", False),
        ("192.31.196.10", "10.2.0.0/16", False),
        ("127.0.0.1", "127.0.0.0/8", True),
        ("127.0.0.1", "0.0.0.0/0", False),
        ("::1", "::1/128", True),
        ("::1", "::/0", False),
        ("169.254.169.254", "169.254.0.0/16", False),
        ("fd00:ec2::254", "fd00:ec2::/32", False),
        ("fe80::1", "fe80::/10", False),
        ("100.100.100.200", "100.64.0.0/10", False),
        ("0.0.0.0", "0.0.0.0/8", False),
        ("::ffff:10.2.3.4", "10.2.0.0/16", False),
    ],
)
def test_a_private_range_opens_what_lies_in_it_and_never_metadata(
    address: str, private_range: str, expected: bool
) -> None:
    assert may_connect(ip_address(address), ip_network(private_range)) is expected


def test_the_machines_own_address_is_not_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_own(ip_address("127.0.0.1"))
    assert not is_own(ip_address("192.31.196.10"))
    monkeypatch.setattr("egress_gateway.addresses.is_own", lambda address: True)
    assert not may_connect(ip_address("192.31.196.10"), None)
    assert not may_connect(ip_address("10.2.3.4"), ip_network("10.0.0.0/8"))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("10.0.0.0/8", "10.1.0.0/16", True),
        ("10.1.0.0/16", "10.0.0.0/8", True),
        ("10.0.0.0/29", "10.0.0.8/29", False),
        ("::/0", "10.0.0.0/8", False),
    ],
)
def test_networks_overlap(one: str, other: str, expected: bool) -> None:
    assert overlap(ip_network(one), ip_network(other)) is expected
