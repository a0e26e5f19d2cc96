"""The gateway or its DNS fails: closed, never open."""

import signal
import time
from pathlib import Path

import pytest

from tests.attack.cases import Case, single
from tests.attack.checks import assert_denial, assert_open, assert_untouched
from tests.attack.conftest import StartGateway
from tests.attack.rig.client import get, read_until_closed
from tests.attack.rig.client_hello import hello
from tests.attack.rig.gateway import wait_for
from tests.attack.rig.world import DESK, SECOND_GATEWAY, World, policy

TOPIC = "Failures"


@single(
    TOPIC,
    "gateway-killed",
    "the gateway is killed while tunnels are open",
    "tunnels end, nothing gets out; back after a start",
)
def test_killed_gateway(case: Case, world: World, start_gateway: StartGateway, tmp_path: Path) -> None:
    gateway = start_gateway(policy(tmp_path))
    client = world.client(DESK, proxy=SECOND_GATEWAY)
    _, connection = client.open("allowed.test:443")
    with world.trust.wrap_socket(connection, server_hostname="allowed.test") as tls:
        assert get(tls, "allowed.test", "/").status == 200
        gateway.kill()
        assert read_until_closed(tls, seconds=2) == b""
    with world.watch() as seen, pytest.raises(ConnectionRefusedError):
        client.connect("allowed.test:443")
    assert_untouched(seen)
    gateway.start()
    assert_open(world, client)


@single(TOPIC, "gateway-hangs", "the gateway stands still", "nothing gets out; it goes on where it was")
def test_stopped_gateway(case: Case, world: World, start_gateway: StartGateway, tmp_path: Path) -> None:
    gateway = start_gateway(policy(tmp_path))
    client = world.client(DESK, proxy=SECOND_GATEWAY)
    gateway.signal(signal.SIGSTOP)
    try:
        with world.watch() as seen, client.dial(seconds=0.5) as connection:
            connection.sendall(
                b"CONNECT allowed.test:443 HTTP/1.1\r\nHost: allowed.test\r\n\r\n" + hello(b"allowed.test")
            )
            with pytest.raises(TimeoutError):
                connection.recv(1)
        assert_untouched(seen)
    finally:
        gateway.signal(signal.SIGCONT)
    assert_open(world, client)


@single(TOPIC, "gateway-stopped", "the gateway is asked to stop", "ends with code 0; nothing gets out afterwards")
def test_gateway_that_is_asked_to_stop(case: Case, world: World, start_gateway: StartGateway, tmp_path: Path) -> None:
    gateway = start_gateway(policy(tmp_path))
    client = world.client(DESK, proxy=SECOND_GATEWAY)
    assert_open(world, client)
    assert gateway.stop() == 0
    with world.watch() as seen, pytest.raises(ConnectionRefusedError):
        client.connect("allowed.test:443")
    assert_untouched(seen)


@single(TOPIC, "dns-down", "the DNS server is down", "502 dns-failed, nothing gets out; back with the server")
def test_dns_down(case: Case, world: World, start_gateway: StartGateway, tmp_path: Path) -> None:
    start_gateway(policy(tmp_path))
    client = world.client(DESK, proxy=SECOND_GATEWAY)
    world.dns.pause()
    try:
        with world.watch() as seen:
            reply = client.connect("allowed.test:443")
    finally:
        world.dns.resume()
    assert_denial(reply, "dns-failed", status=502, retry=True)
    assert_untouched(seen)
    wait_for("names resolve again", lambda: client.connect("allowed.test:443").status == 200, seconds=5)


@single(TOPIC, "upstream-leaves", "the allowed host closes its connection", "the session sees the end")
def test_upstream_that_closes(case: Case, world: World, start_gateway: StartGateway, tmp_path: Path) -> None:
    start_gateway(policy(tmp_path))
    client = world.client(DESK, proxy=SECOND_GATEWAY)
    _, connection = client.open("allowed.test:443")
    with world.trust.wrap_socket(connection, server_hostname="allowed.test") as tls:
        assert get(tls, "allowed.test", "/", "connection: close").status == 200
        started = time.monotonic()
        assert read_until_closed(tls, seconds=3) == b""
        assert time.monotonic() - started < 1
