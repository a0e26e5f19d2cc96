"""Limits: too many, too long, too slow; and what is under the limit arrives whole."""

import os
import threading
import time
from pathlib import Path

from tests.attack.cases import Case, single
from tests.attack.checks import assert_denial, assert_open, assert_untouched
from tests.attack.conftest import StartGateway
from tests.attack.rig.client import Client, get, read_until_closed
from tests.attack.rig.gateway import Gateway, wait_for
from tests.attack.rig.upstream import WEBSOCKET_GREETING
from tests.attack.rig.world import DESK, LAB, LIMITS, SECOND_GATEWAY, World, policy

TOPIC = "Limits"
UPGRADE = b"GET /websocket HTTP/1.1\r\nHost: allowed.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def second(world: World, source: str = DESK) -> Client:
    """A session as a client of the second gateway."""
    return world.client(source, proxy=SECOND_GATEWAY)


@single(
    TOPIC,
    "tunnels-of-a-session",
    "more tunnels than a session may have",
    "503 too-many-tunnels; other sessions are not touched, and closing one helps",
)
def test_tunnels_of_a_session(case: Case, world: World, start_gateway: StartGateway, tmp_path: Path) -> None:
    start_gateway(policy(tmp_path, limits=LIMITS | {"tunnels_per_session": 3, "hello_seconds": 5}))
    held = [second(world).open("allowed.test:443") for _ in range(3)]
    assert [reply.status for reply, _ in held] == [200] * 3
    with world.watch() as seen:
        assert_denial(second(world).connect("allowed.test:443"), "too-many-tunnels", status=503, retry=True)
    assert_untouched(seen)
    assert_open(world, second(world, LAB))
    for _, connection in held:
        connection.close()
    wait_for("a place is free", lambda: second(world).connect("allowed.test:443").status == 200, seconds=3)


@single(TOPIC, "tunnels-altogether", "more tunnels than the gateway may have", "503 too-many-tunnels")
def test_tunnels_altogether(case: Case, world: World, start_gateway: StartGateway, tmp_path: Path) -> None:
    start_gateway(policy(tmp_path, limits=LIMITS | {"tunnels": 3, "tunnels_per_session": 2, "hello_seconds": 5}))
    held = [second(world, source).open("allowed.test:443") for source in (DESK, DESK, LAB)]
    assert [reply.status for reply, _ in held] == [200] * 3
    with world.watch() as seen:
        assert_denial(second(world, LAB).connect("allowed.test:443"), "too-many-tunnels", status=503, retry=True)
    assert_untouched(seen)
    for _, connection in held:
        connection.close()
    wait_for("a place is free", lambda: second(world, LAB).connect("allowed.test:443").status == 200, seconds=3)


@single(TOPIC, "silent-crowd", "hundreds of silent connections of one session", "another session is served meanwhile")
def test_silent_crowd(case: Case, world: World, gateway: Gateway) -> None:
    crowd = [world.desk.dial() for _ in range(300)]
    try:
        started = time.monotonic()
        assert_open(world, world.lab)
        assert time.monotonic() - started < LIMITS["head_seconds"]
    finally:
        for connection in crowd:
            connection.close()
    wait_for("desk is served again", lambda: world.desk.connect("allowed.test:443").status == 200, seconds=5)


@single(TOPIC, "tunnel-idle", "a tunnel without a byte for longer than allowed", "cut; one that is used stays")
def test_idle_tunnel(case: Case, world: World, start_gateway: StartGateway, tmp_path: Path) -> None:
    gateway = start_gateway(policy(tmp_path, limits=LIMITS | {"idle_seconds": 1}))
    _, idle = second(world).open("allowed.test:443")
    _, used = second(world).open("allowed.test:443")
    with (
        world.trust.wrap_socket(idle, server_hostname="allowed.test") as idle_tls,
        world.trust.wrap_socket(used, server_hostname="allowed.test") as used_tls,
    ):
        assert get(idle_tls, "allowed.test", "/").status == 200
        for _ in range(8):
            assert get(used_tls, "allowed.test", "/").status == 200
            time.sleep(0.25)
        assert read_until_closed(idle_tls, seconds=1) == b""
    assert "idle-timeout" in {line["rule"] for line in gateway.log() if line["event"] == "end"}


@single(TOPIC, "tunnel-total", "a tunnel that is used for longer than allowed", "cut")
def test_total_time(case: Case, world: World, start_gateway: StartGateway, tmp_path: Path) -> None:
    gateway = start_gateway(policy(tmp_path, limits=LIMITS | {"total_seconds": 1}))
    _, connection = second(world).open("allowed.test:443")
    with world.trust.wrap_socket(connection, server_hostname="allowed.test") as tls:
        deadline = time.monotonic() + 5
        try:
            while get(tls, "allowed.test", "/").status == 200:
                assert time.monotonic() < deadline, "the tunnel is still open"
                time.sleep(0.1)
        except OSError:
            pass
    wait_for("the log says why", lambda: gateway.log()[-1].get("rule") == "total-timeout", seconds=2)


@single(TOPIC, "upstream-silent", "an allowed host that takes no connection", "504 connect-timeout")
def test_upstream_that_does_not_answer(case: Case, world: World, gateway: Gateway) -> None:
    world.dns.records["silent.ranged.test"] = world.dns.records["allowed.test"].__class__(a=("10.77.0.251",))
    world.internet.ip("route", "add", "blackhole", "10.77.0.251")
    try:
        started = time.monotonic()
        reply = world.desk.connect("silent.ranged.test:443")
        assert time.monotonic() - started < LIMITS["connect_seconds"] + 1
    finally:
        world.internet.ip("route", "delete", "blackhole", "10.77.0.251")
    assert_denial(reply, "connect-timeout", status=504, retry=True)
    assert_open(world)


@single(TOPIC, "upstream-refuses", "an allowed host that refuses connections", "502 connect-failed")
def test_upstream_that_refuses(case: Case, world: World, gateway: Gateway) -> None:
    assert_denial(world.desk.connect("refused.test:9"), "connect-failed", status=502, retry=True)
    assert_open(world)


@single(
    TOPIC,
    "echo-whole",
    "eight tunnels at once, 4 MB each both ways, half of the readers slow",
    "every byte arrives, in order, in its own tunnel",
)
def test_bytes_arrive_whole(case: Case, world: World, gateway: Gateway) -> None:
    size, tunnels, results = 4_000_000, 8, {}

    def run(number: int) -> None:
        _, connection = world.desk.open("allowed.test:443")
        connection.settimeout(30)
        sent = os.urandom(size)
        # TLS both ways at once is not for one ssl.SSLSocket in two threads: MB by MB, each sent whole, then read.
        with world.trust.wrap_socket(connection, server_hostname="allowed.test") as tls:
            tls.sendall(UPGRADE)
            head = b""
            while not head.endswith(WEBSOCKET_GREETING):
                head += tls.recv(4096)
            back = bytearray()
            for start in range(0, size, 100_000):
                piece = sent[start : start + 100_000]
                tls.sendall(piece)
                if number % 2:
                    time.sleep(0.005)
                while len(back) < start + len(piece):
                    data = tls.recv(1 << 16)
                    assert data, "the tunnel ended early"
                    back += data
        results[number] = bytes(back) == sent

    threads = [threading.Thread(target=run, args=(number,)) for number in range(tunnels)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == dict.fromkeys(range(tunnels), True)


@single(
    TOPIC,
    "slow-reader",
    "a session that does not read a large answer",
    "the gateway holds it back, its memory does not grow; then all of it arrives",
)
def test_slow_reader(case: Case, world: World, gateway: Gateway) -> None:
    size = 100_000_000
    before = resident(gateway.pid)
    reply, connection = world.desk.open("allowed.test:443")
    assert reply.status == 200
    connection.settimeout(20)
    with world.trust.wrap_socket(connection, server_hostname="allowed.test") as tls:
        tls.sendall(f"GET /bytes?count={size} HTTP/1.1\r\nHost: allowed.test\r\n\r\n".encode())
        time.sleep(0.5)
        assert resident(gateway.pid) - before < 8 << 20
        received = 0
        while received < size:
            data = tls.recv(1 << 18)
            assert data, "the tunnel ended early"
            received += len(data)
    assert resident(gateway.pid) - before < 8 << 20


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
