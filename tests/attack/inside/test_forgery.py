"""Somebody else's address: the gateway knows a session by where it comes from, so none may come from elsewhere."""

import pytest

from tests.attack.cases import Case
from tests.attack.inside.cases import single
from tests.attack.inside.conftest import Rig
from tests.attack.inside.outside import PUBLIC
from tests.attack.inside.programs import container, network
from tests.attack.inside.sessions import Session
from tests.attack.inside.ways import assert_nothing_arrived

pytestmark = pytest.mark.containers

TOPIC = "Somebody else's address"
GATEWAY_PORT = 3128


@single(
    TOPIC,
    "raw-sockets",
    "raw IP, raw ICMP, raw UDP, packet sockets (ARP), transparent sockets",
    "EPERM for each",
)
def test_raw_sockets(case: Case, desk: Session, free: Session, shop: Session) -> None:
    for session in (desk, free, shop):
        for kind in ("packet", "icmp", "ip", "udp", "transparent"):
            assert session.run(network, "raw", kind) == "PermissionError 1", (session.name, kind)


@single(
    TOPIC,
    "spoofed-source",
    "TCP and UDP from another session's address, and from a free one of the own network",
    "the kernel refuses, nothing leaves",
)
def test_spoofed_source(case: Case, rig: Rig, desk: Session, lab: Session, free: Session) -> None:
    for session, source in ((desk, lab.address), (desk, str(desk.network.forwarder)), (free, desk.address)):
        with rig.outside.watch() as seen:
            for transport in ("tcp", "udp"):
                for address, port in ((session.gateway, GATEWAY_PORT), (PUBLIC, 443)):
                    said = session.run(network, "spoof", source, transport, address, port)
                    assert said in ("OSError 22", "OSError 101")
        assert {packet for packet in seen.left if packet.source in (source, session.address)} == set()
        assert_nothing_arrived(seen)
        # From its own address the same call is understood; where it may go is the fence's.
        assert session.run(network, "spoof", session.address, "tcp", session.gateway, GATEWAY_PORT) == "sent"


@single(
    TOPIC,
    "change-network",
    "a second address, another route, another neighbour, the interface down",
    "EPERM for each, nothing has changed",
)
def test_change_network(case: Case, desk: Session, free: Session, lab: Session) -> None:
    for session in (desk, free):
        before = session.in_namespace("ip", "address"), session.in_namespace("ip", "route")
        for what in ("address", "route", "neighbour", "down"):
            assert session.run(network, "configure", what, lab.address) == "PermissionError 1", what
        assert (session.in_namespace("ip", "address"), session.in_namespace("ip", "route")) == before


@single(
    TOPIC,
    "other-families",
    "sockets that no network namespace holds or that pass the firewall by: vsock, TIPC, RDS, Bluetooth, CAN",
    "none can be made, with an engine too whose own filter does not know vsock",
)
def test_families(case: Case, rig: Rig, desk: Session, free: Session) -> None:
    for session in (desk, free):
        assert session.run(container, "families") == []
