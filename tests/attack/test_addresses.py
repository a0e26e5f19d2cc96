"""Where allowed names lead: every address that a name could be made to resolve to, and a DNS that fails."""

from dataclasses import dataclass
from http import HTTPStatus

import dns.rcode

from tests.attack.cases import Case, single, table
from tests.attack.checks import assert_denial, assert_open, decision_since
from tests.attack.rig.dns import Record
from tests.attack.rig.gateway import Gateway
from tests.attack.rig.world import (
    ALLOWED,
    ALLOWED_OTHER,
    ALLOWED_V6,
    DESK,
    EVIL,
    GATEWAY,
    LAB,
    METADATA,
    METADATA_V6,
    PUBLIC,
    PUBLIC_V6,
    World,
)

RULE = "address-not-allowed"


@dataclass(frozen=True)
class Resolution(Case):
    """What an allowed name resolves to.

    Attributes:
        record: The DNS answer.
        domain: `resolves.test` has no private range in the policy, `ranged.test` has ALLOWED's.
    """

    record: Record
    domain: str


def refused(name: str, title: str, *addresses: str, domain: str = "resolves.test") -> Resolution:
    """A set of addresses of which at least one must not be connected to."""
    record = Record(
        a=tuple(address for address in addresses if ":" not in address),
        aaaa=tuple(address for address in addresses if ":" in address),
    )
    return Resolution(f"to-{name}", title, f"403 {RULE}, no connection", record, domain)


ADDRESSES = [
    refused("metadata", "the metadata address", METADATA),
    refused("metadata-task", "the task metadata address", "169.254.170.2"),
    refused("metadata-dns", "the cloud's resolver", "169.254.169.253"),
    refused("metadata-ipv6", "the IPv6 metadata address", METADATA_V6),
    refused("metadata-azure", "another cloud's host service", "168.63.129.16"),
    refused("metadata-alibaba", "another cloud's metadata in CGNAT space", "100.100.100.200"),
    refused("metadata-mapped", "the metadata address, IPv4-mapped", f"::ffff:{METADATA}"),
    refused("metadata-6to4", "the metadata address in 6to4", "2002:a9fe:a9fe::1"),
    refused("metadata-nat64", "the metadata address in NAT64", "64:ff9b::a9fe:a9fe"),
    refused("metadata-teredo", "the metadata address in Teredo", "2001:0:4136:e378:8000:63bf:5601:5601"),
    refused("private-10", "10/8", "10.66.0.10"),
    refused("private-172", "172.16/12", "172.16.0.10"),
    refused("private-192", "192.168/16", "192.168.0.10"),
    refused("private-ipv6", "a unique local address", "fd66::10"),
    refused("private-mapped", "10/8, IPv4-mapped", "::ffff:10.66.0.10"),
    refused("loopback", "loopback", "127.0.0.1"),
    refused("loopback-other", "another address of loopback", "127.66.0.1"),
    refused("loopback-ipv6", "IPv6 loopback", "::1"),
    refused("loopback-mapped", "loopback, IPv4-mapped", "::ffff:127.0.0.1"),
    refused("cgnat", "CGNAT space", "100.64.0.10"),
    refused("link-local", "link-local", "169.254.1.1"),
    refused("link-local-ipv6", "IPv6 link-local", "fe80::1"),
    refused("site-local-ipv6", "the old IPv6 site-local range", "fec0::1"),
    refused("own", "the gateway itself", GATEWAY),
    refused("own-uplink", "the gateway's address on the other side", "10.99.0.1"),
    refused("session", "another session", LAB),
    refused("asking-session", "the session that asks", DESK),
    refused("zero", "the zero address, which Linux takes for loopback", "0.0.0.0"),
    refused("zero-ipv6", "the IPv6 zero address", "::"),
    refused("this-network", "0/8", "0.1.2.3"),
    refused("broadcast", "broadcast", "255.255.255.255"),
    refused("multicast", "multicast", "224.0.0.1"),
    refused("multicast-ipv6", "IPv6 multicast", "ff02::1"),
    refused("documentation", "a documentation range", "198.51.100.66"),
    refused("benchmarking", "the benchmarking range", "198.18.0.10"),
    refused("reserved", "the reserved range", "240.0.0.1"),
    refused("allowed-range", "the private range of another entry", ALLOWED),
    refused("mixed-private", "a public and a private address", PUBLIC, "10.66.0.10"),
    refused(
        "mixed-metadata", "nine public addresses and metadata", *(f"192.31.196.{n}" for n in range(1, 10)), METADATA
    ),
    refused("mixed-families", "a public IPv4 and a private IPv6 address", PUBLIC, "fd66::10"),
    refused("mixed-families-reversed", "a public IPv6 and a private IPv4 address", PUBLIC_V6, "10.66.0.10"),
    refused("outside-range", "an address next to the entry's private range", "10.77.1.10", domain="ranged.test"),
    refused("range-metadata", "metadata, where the entry has a private range", METADATA, domain="ranged.test"),
    refused("range-loopback", "loopback, where the entry has a private range", "127.0.0.1", domain="ranged.test"),
    refused("range-public", "a public address, where the entry has a private range", PUBLIC, domain="ranged.test"),
    refused("range-mixed", "an address in the range and one outside", ALLOWED, "10.66.0.10", domain="ranged.test"),
    refused("range-mapped", "ALLOWED's address, IPv4-mapped", f"::ffff:{ALLOWED}", domain="ranged.test"),
]


@table("What allowed names resolve to", ADDRESSES)
def test_refused_address(case: Resolution, world: World, gateway: Gateway) -> None:
    name = f"{case.id}.{case.domain}"
    world.dns.records[name] = case.record
    start = len(gateway.raw_log())
    with world.watch() as seen:
        body = assert_denial(world.desk.connect(f"{name}:443"), RULE)
    assert body["field"].startswith("config.networking.allowed_hosts[")
    assert (seen.places, {query.name for query in seen.queries}) == (set(), {name})
    assert decision_since(gateway, start)["rule"] == RULE
    # The same name with a good address: it was the address that was refused.
    good = ALLOWED if case.domain == "ranged.test" else PUBLIC
    world.dns.records[f"control-{name}"] = Record(a=(good,))
    with world.watch() as seen:
        assert world.desk.https(f"control-{name}", world.trust).json()["address"] == good
    assert seen.addresses == {good}


@dataclass(frozen=True)
class Destination(Case):
    """A name that leads somewhere that is allowed."""

    name: str
    address: str


DESTINATIONS = [
    Destination("public", "a public IPv4 address", "connected", "public.test", PUBLIC),
    Destination("public-ipv6", "a public IPv6 address", "connected", "public-v6.test", PUBLIC_V6),
    Destination("range", "an address in the entry's private range", "connected", "allowed.test", ALLOWED),
    Destination("range-ipv6", "an IPv6 address in the entry's private range", "connected", "v6.test", ALLOWED_V6),
    Destination("cname", "a chain of aliases over names that are not allowed", "connected", "alias.test", ALLOWED),
]


@table("What allowed names resolve to", DESTINATIONS)
def test_destination(case: Destination, world: World, gateway: Gateway) -> None:
    with world.watch() as seen:
        assert world.desk.https(case.name, world.trust).json()["address"] == case.address
    assert seen.addresses == {case.address}


@single(
    "What allowed names resolve to",
    "cname-private",
    "an alias of a name with a private address",
    f"403 {RULE}, no connection",
)
def test_alias_of_a_private_address(case: Case, world: World, gateway: Gateway) -> None:
    world.dns.records |= {
        "alias.resolves.test": Record(cname="inner.elsewhere.test"),
        "inner.elsewhere.test": Record(a=("10.66.0.10",)),
    }
    with world.watch() as seen:
        assert_denial(world.desk.connect("alias.resolves.test:443"), RULE)
    assert seen.places == set()
    assert_open(world)


@single(
    "What allowed names resolve to",
    "rebinding",
    "the name changes its address after the check",
    "connected to the address that was checked",
)
def test_rebinding(case: Case, world: World, gateway: Gateway) -> None:
    name = "rebinding.resolves.test"
    world.dns.records[name] = Record(a=(METADATA,))
    world.dns.first[name] = Record(a=(PUBLIC,))
    with world.watch() as seen:
        assert world.desk.https(name, world.trust).json()["address"] == PUBLIC
        # The same name again, which now resolves to the metadata address.
        assert_denial(world.desk.connect(f"{name}:443"), RULE)
    assert seen.addresses == {PUBLIC}


@single(
    "What allowed names resolve to",
    "second-address",
    "the first of two addresses refuses connections",
    "the second is used",
)
def test_second_address(case: Case, world: World, gateway: Gateway) -> None:
    world.dns.records["two.ranged.test"] = Record(a=("10.77.0.250", ALLOWED_OTHER))
    world.internet.ip("route", "add", "prohibit", "10.77.0.250")
    try:
        assert world.desk.https("two.ranged.test", world.trust).json()["address"] == ALLOWED_OTHER
    finally:
        world.internet.ip("route", "delete", "prohibit", "10.77.0.250")


@dataclass(frozen=True)
class Failure(Case):
    """A name that DNS gives no address for."""

    record: Record


FAILURES = [
    Failure("dns-servfail", "SERVFAIL", "502 dns-failed", Record(rcode=dns.rcode.SERVFAIL)),
    Failure("dns-nxdomain", "NXDOMAIN", "502 dns-failed", Record(rcode=dns.rcode.NXDOMAIN)),
    Failure("dns-refused", "REFUSED", "502 dns-failed", Record(rcode=dns.rcode.REFUSED)),
    Failure("dns-empty", "no address", "502 dns-failed", Record()),
    Failure("dns-loop", "an alias of itself", "502 dns-failed", Record(cname="dns-loop.broken.test")),
    Failure("dns-silent", "no answer", "502 dns-failed", Record(silent=True)),
    Failure(
        "dns-servfail-a",
        "SERVFAIL, with an address in the answer",
        "502 dns-failed",
        Record(a=(EVIL,), rcode=dns.rcode.SERVFAIL),
    ),
]


@table("A DNS that fails", FAILURES)
def test_dns_failure(case: Failure, world: World, gateway: Gateway) -> None:
    name = f"{case.id}.broken.test"
    world.dns.records[name] = case.record
    start = len(gateway.raw_log())
    with world.watch() as seen:
        reply = world.desk.connect(f"{name}:443")
    assert_denial(reply, "dns-failed", status=HTTPStatus.BAD_GATEWAY, retry=True)
    assert seen.places == set()
    assert {query.name for query in seen.queries} == {name}
    assert decision_since(gateway, start)["rule"] == "dns-failed"
    assert_open(world)
