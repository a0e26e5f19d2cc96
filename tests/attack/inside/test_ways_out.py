"""Past the gateway: from a limited session and from an unrestricted one, with the same attack from outside a fence."""

from dataclasses import replace

import pytest

from tests.attack.inside.cases import single, table
from tests.attack.inside.conftest import Rig
from tests.attack.inside.programs import network
from tests.attack.inside.sessions import Session
from tests.attack.inside.ways import WAYS, Way, assert_nothing_arrived

pytestmark = pytest.mark.containers


def assert_control(rig: Rig, control: Session, case: Way) -> None:
    """The attack works where nothing holds it back, and the rig sees it."""
    with rig.outside.watch() as seen:
        said = control.run(network, *case.call)
    assert case.place in seen.places, said


def assert_held(rig: Rig, session: Session, case: Way) -> None:
    """The session is told that it cannot, and not one packet has left its namespace."""
    with rig.outside.watch() as seen:
        said = session.run(network, *case.call)
    assert said.split()[0] in ("ConnectionRefusedError", "PermissionError", "OSError", "gaierror"), said
    assert seen.from_source(session.address) == set()
    assert_nothing_arrived(seen)


@table("Past the gateway, limited", WAYS)
def test_limited(case: Way, rig: Rig, control: Session, desk: Session) -> None:
    assert_control(rig, control, case)
    assert_held(rig, desk, case)


@table(
    "Past the gateway, unrestricted", [replace(case, id=f"unrestricted-{case.id}") for case in WAYS if not case.open]
)
def test_unrestricted(case: Way, rig: Rig, control: Session, free: Session) -> None:
    assert_control(rig, control, case)
    assert_held(rig, free, case)


@table(
    "Past the gateway, unrestricted",
    [replace(case, id=f"unrestricted-{case.id}", expected="arrives, from this session") for case in WAYS if case.open],
)
def test_open(case: Way, rig: Rig, free: Session) -> None:
    with rig.outside.watch() as seen:
        said = free.run(network, *case.call)
    assert case.place in seen.places, said
    assert {packet.source for packet in seen.left} == {free.address}


@single(
    "Past the gateway, limited",
    "service",
    "the same from a long-running service: TCP, UDP, ICMP, DNS, metadata",
    "nothing leaves the session's network namespace",
)
def test_service(case: Way, rig: Rig, shop: Session) -> None:
    for one in (way for way in WAYS if way.id in ("direct-https", "udp", "icmp", "dns-engine-udp", "metadata-udp")):
        assert_held(rig, shop, one)
