"""What else is on the host: other sessions, the gateway's other sides, the host itself, and its engine."""

import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.attack.cases import Case
from tests.attack.inside.cases import single
from tests.attack.inside.conftest import SERVED_PORT, SERVICE_PORT, Rig
from tests.attack.inside.outside import HOST_PORT, HOST_PUBLIC, METADATA, PUBLIC
from tests.attack.inside.programs import container, network
from tests.attack.inside.sessions import Session
from tests.attack.inside.ways import REFUSED, assert_nothing_arrived
from tests.attack.rig.namespace import Namespace

pytestmark = pytest.mark.containers

TOPIC = "Neighbours and the host"
NOTHING_LEAVES = "nothing leaves the session's network namespace"
ADMIN_PORT, GATEWAY_PORT = 9901, 3128


def greeting(address: str, port: int, inside: Session | None = None) -> str:
    """What a server says to the host, or to somebody in the network namespace of `inside`."""
    try:
        if inside is None:
            with socket.create_connection((address, port), timeout=1) as connection:
                return connection.recv(16).decode()
        with Namespace.of_process(inside.pid()) as namespace, namespace.connect(address, port, seconds=1) as connection:
            return connection.recv(16).decode()
    except OSError as error:
        return type(error).__name__


def shown(family: str, *which: str) -> list[str]:
    """Addresses of the Docker host, one a line."""
    command = ["ip", "-oneline", family, "address", "show", *which]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def assert_cut_off(rig: Rig, session: Session, places: list[tuple[str, int]]) -> None:
    """By TCP, UDP and ICMP, nothing leaves the session's namespace for any of these."""
    calls = [("tcp", *place) for place in places] + [("udp", *place) for place in places]
    with rig.outside.watch() as seen:
        said = {call: session.run(network, *call) for call in [*calls, *{("icmp", address) for address, _ in places}]}
    assert set(said.values()) <= {*REFUSED}, said
    assert seen.from_source(session.address) == set()
    assert_nothing_arrived(seen)


@pytest.fixture(params=["desk", "free"])
def attacker(request: pytest.FixtureRequest) -> Session:
    """A limited session and an unrestricted one."""
    session: Session = request.getfixturevalue(request.param)
    return session


@single(
    TOPIC,
    "other-session",
    "another session that is up and listens: its address and ports, TCP, UDP, ICMP",
    NOTHING_LEAVES,
)
def test_other_sessions(case: Case, rig: Rig, attacker: Session, lab: Session, shop: Session) -> None:
    for other in (lab, shop):
        # It is up and listens.
        assert greeting(other.address, SERVED_PORT, inside=other) == "served"
    assert_cut_off(
        rig, attacker, [(lab.address, SERVED_PORT), (shop.address, SERVED_PORT), (shop.address, SERVICE_PORT)]
    )


@single(
    TOPIC,
    "service-ports",
    "a limited service's port from the host, and all that is not its declared port",
    "the declared port answers on the host's loopback address; no other address or port does",
)
def test_service_ports(case: Case, lab: Session, shop: Session) -> None:
    assert greeting("127.0.0.1", SERVICE_PORT) == "served"
    for address, port in ((shop.address, SERVICE_PORT), (shop.address, SERVED_PORT), (lab.address, SERVED_PORT)):
        assert greeting(address, port) in ("TimeoutError", "ConnectionRefusedError")
    assert greeting(HOST_PUBLIC, SERVICE_PORT) == "ConnectionRefusedError"


@single(
    TOPIC,
    "published-port",
    "the published port of a service and its relay, from another session",
    NOTHING_LEAVES,
)
def test_published_ports(case: Case, rig: Rig, attacker: Session, shop: Session) -> None:
    forwarder = rig.client.containers.get(str(rig.session("shop").network) + "_forwarder")
    attached = forwarder.attrs["NetworkSettings"]["Networks"].values()
    addresses = [one["IPAddress"] for one in attached] + [one["Gateway"] for one in attached if one["Gateway"]]
    assert len(addresses) >= 3
    assert_cut_off(rig, attacker, [(address, SERVICE_PORT) for address in addresses])
    # Its own loopback address is not the host's.
    assert attacker.run(network, "tcp", "127.0.0.1", SERVICE_PORT) == "ConnectionRefusedError 111"


@single(
    TOPIC,
    "own-relay",
    "a limited service talks to the relay of its own ports, which is on its network",
    NOTHING_LEAVES,
)
def test_own_relay(case: Case, rig: Rig, shop: Session) -> None:
    assert_cut_off(rig, shop, [(str(shop.network.forwarder), SERVICE_PORT), (str(shop.network.forwarder), 80)])


@single(TOPIC, "host-bridge", "the Docker host at its address in the session's own network", NOTHING_LEAVES)
def test_bridge(case: Case, rig: Rig, attacker: Session, control: Session) -> None:
    with rig.outside.watch() as seen:
        assert control.run(network, "tcp", control.bridge, HOST_PORT) == "connected"
        assert control.run(network, "udp", control.bridge, HOST_PORT) == "answered"
    assert sorted(seen.host) == [f"tcp {control.address}", f"udp {control.address}"]
    assert_cut_off(rig, attacker, [(attacker.bridge, HOST_PORT), (attacker.bridge, 22), (attacker.bridge, 53)])


@single(
    TOPIC,
    "host-addresses",
    "the Docker host at its other addresses: other bridges, docker0, a declared public one",
    NOTHING_LEAVES,
)
def test_host_addresses(case: Case, rig: Rig, attacker: Session, control: Session, lab: Session) -> None:
    others = [HOST_PUBLIC, lab.bridge, control.bridge, "172.17.0.1"]
    assert control.run(network, "tcp", HOST_PUBLIC, HOST_PORT) == "connected"
    assert_cut_off(rig, attacker, [(address, HOST_PORT) for address in others])


@single(
    TOPIC,
    "ipv6",
    "IPv6: link-local addresses of the host, multicast, a global address",
    "the session has no IPv6 but its own loopback; nothing arrives at the host",
)
def test_ipv6(case: Case, rig: Rig, attacker: Session) -> None:
    addresses = attacker.in_namespace("ip", "-6", "-oneline", "address", "show")
    assert all(" lo " in line for line in addresses.splitlines())
    bridge = next(line.split()[1] for line in shown("-4") if f" {attacker.bridge}/" in line)
    link_local = shown("-6", "dev", bridge)[0].split()[3].partition("/")[0]
    assert greeting(f"{link_local}%{bridge}", HOST_PORT) == "host"
    with rig.outside.watch() as seen:
        for call in (
            ("tcp", f"{link_local}%eth0", HOST_PORT),
            ("udp", f"{link_local}%eth0", HOST_PORT),
            ("udp", "ff02::1%eth0", HOST_PORT),
            ("tcp", "2001:db8::1", 443),
            ("udp", "2001:db8::1", 443),
            ("tcp", "64:ff9b::c633:6442", 443),
        ):
            said = attacker.run(network, *call)
            assert said.split()[0] in ("OSError", "ConnectionRefusedError", "PermissionError"), (call, said)
    assert {packet for packet in seen.left if ":" in packet.source} == set()
    assert_nothing_arrived(seen)


@single(TOPIC, "broadcast", "broadcast and multicast on the session's own network", NOTHING_LEAVES)
def test_broadcast(case: Case, rig: Rig, desk: Session) -> None:
    assert_cut_off(
        rig, desk, [("255.255.255.255", HOST_PORT), (str(desk.network.subnet[-1]), HOST_PORT), ("224.0.0.251", 5353)]
    )


@single(
    TOPIC,
    "gateway-admin",
    "the gateway's health checks and metrics, and other ports of the gateway",
    NOTHING_LEAVES,
)
def test_gateway_ports(case: Case, rig: Rig, attacker: Session) -> None:
    assert_cut_off(rig, attacker, [(attacker.gateway, port) for port in (ADMIN_PORT, 22, 53, 443)])


@single(
    TOPIC,
    "gateway-other-sides",
    "the gateway at its addresses in other networks, and the gateway of another environment",
    NOTHING_LEAVES,
)
def test_gateway_addresses(case: Case, rig: Rig, attacker: Session, lab: Session, shop: Session) -> None:
    addresses = [
        network["IPAddress"]
        for name in ("limited", "open")
        for network in rig.client.containers.get(rig.environment(name).gateway.anchor)
        .attrs["NetworkSettings"]["Networks"]
        .values()
    ]
    assert attacker.gateway in addresses
    assert {lab.gateway, shop.gateway} <= {*addresses}
    others = [address for address in addresses if address != attacker.gateway]
    assert_cut_off(rig, attacker, [(address, GATEWAY_PORT) for address in others])


@single(
    TOPIC,
    "control-sockets",
    "sockets of the engine and of the gateway's control, in files and among abstract names",
    "none but the fence's own abstract one",
)
def test_sockets(case: Case, attacker: Session) -> None:
    found = attacker.run(container, "sockets")
    assert found == {"abstract": ["@agentenv-fence"], "files": ["/tmp/orders"]}
    mounts = attacker.container.attrs["HostConfig"]
    assert not mounts.get("Binds")
    assert not mounts.get("Mounts")


@single(
    TOPIC,
    "without-fence",
    "a limited session's rules are taken away and routes set: through the gateway, the relay, the host",
    "nothing arrives beyond the host: the network is internal, the gateway and the relay pass nothing on",
)
def test_second_wall(case: Case, rig: Rig, shop: Session, lab: Session) -> None:
    rules = shop.in_namespace("nft", "list", "table", "inet", "agentenv")
    shop.in_namespace("nft", "delete", "table", "inet", "agentenv")
    try:
        for via in (shop.gateway, str(shop.network.forwarder), shop.bridge):
            shop.in_namespace("ip", "route", "replace", "default", "via", via, "dev", "eth0")
            calls = (
                ("tcp", PUBLIC, 443),
                ("udp", PUBLIC, 443),
                ("icmp", PUBLIC),
                ("tcp", METADATA[0], 80),
                ("tcp", lab.address, SERVED_PORT),
                ("tcp", shop.gateway, ADMIN_PORT),
            )
            with rig.outside.watch() as seen, ThreadPoolExecutor(len(calls)) as pool:
                said = [*pool.map(lambda call: shop.run(network, *call), calls)]
            assert not {"connected", "answered"} & {*said}, (via, said)
            assert_nothing_arrived(seen)
        # The rules are really gone: what they keep shut and the network does not, answers.
        assert shop.run(network, "tcp", shop.bridge, HOST_PORT) == "connected"
    finally:
        shop.in_namespace("ip", "route", "delete", "default")
        shop.in_namespace("nft", "-f", "-", given=rules)
    assert shop.run(network, "tcp", shop.bridge, HOST_PORT) == "ConnectionRefusedError 111"
