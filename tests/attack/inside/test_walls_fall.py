"""A part of the fence stops while sessions run: closed, never open; and open again once it is back."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from components.docker.gateway import EGRESS_PREFIX
from tests.attack.cases import Case
from tests.attack.inside.cases import single
from tests.attack.inside.conftest import Rig, declaration, started
from tests.attack.inside.outside import PUBLIC
from tests.attack.inside.programs import network, proxied
from tests.attack.inside.sessions import Session
from tests.attack.inside.ways import REFUSED, assert_nothing_arrived

pytestmark = pytest.mark.containers

TOPIC = "When a part of the fence stops"
BACK_WITHIN = 30.0
STREAM = "/stream?count=100000&gap=0.02"
STREAM_SECONDS, STALLED_SECONDS = 120.0, 4.0
DIRECT = (("tcp", PUBLIC, 443), ("udp", PUBLIC, 443), ("icmp", PUBLIC), ("dns", "127.0.0.11", "udp", "a.invalid", "A"))


@pytest.fixture(scope="module", autouse=True)
def trust(rig: Rig, desk: Session, lab: Session, free: Session) -> None:
    for session in (desk, lab, free):
        session.run(proxied, "trust", rig.outside.authority)


def allowed(session: Session) -> Any:
    """Status and rule of a CONNECT to the allowed host."""
    return session.run(proxied, "connect", "allowed.test:443")


def eventually(what: str, condition: Callable[[], bool], seconds: float = BACK_WITHIN) -> None:
    """Return once it holds.

    Raises:
        TimeoutError: it does not.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(0.1)


def assert_closed(rig: Rig, *sessions: Session) -> None:
    """Neither by the gateway nor past it."""
    with rig.outside.watch() as seen, ThreadPoolExecutor(len(sessions)) as pool:
        tunnels = [pool.submit(allowed, session) for session in sessions]
        said = [session.run(network, *call) for session in sessions for call in DIRECT]
        assert [tunnel.result()[0] for tunnel in tunnels] == [0] * len(sessions)
    assert not {"connected", "answered", "silence"} & {*said}, said
    assert_nothing_arrived(seen)


@contextmanager
def streaming(session: Session, url: str, rig: Rig) -> Iterator["Future[Any]"]:
    """An endless answer, once it has begun, for as long as the `with` block: bytes, and how it ended."""
    before = len(rig.outside.upstreams.requests)
    session.run(proxied, "go")
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(session.run, proxied, "stream", url, seconds=STREAM_SECONDS)
        try:
            eventually(f"{url} is asked for", lambda: going.done() or len(rig.outside.upstreams.requests) > before)
            yield going
        finally:
            session.run(proxied, "stop")


@single(
    TOPIC,
    "gateway-killed",
    "the gateway is killed by the engine's kill command, and started again later",
    "nothing gets out until it is back; then the same sessions do, without a new admission",
)
def test_gateway_killed(case: Case, rig: Rig, desk: Session, lab: Session) -> None:
    gateway = rig.gateway("limited")
    with streaming(desk, f"https://allowed.test{STREAM}", rig) as going:
        gateway.kill()
        received, ended = going.result(timeout=10)
        assert received > 0
        assert ended != "open"
    assert_closed(rig, desk, lab)
    gateway.start()
    eventually("the gateway is back", lambda: allowed(desk) == [200, ""])
    assert allowed(lab) == [200, ""]


@single(
    TOPIC,
    "gateway-crashed",
    "the gateway's process is killed",
    "nothing gets out past it; the engine starts it again by itself",
)
def test_gateway_crashed(case: Case, rig: Rig, desk: Session) -> None:
    gateway = rig.gateway("limited")
    before = gateway.attrs["State"]["StartedAt"]
    with rig.outside.watch() as seen:
        os.kill(gateway.attrs["State"]["Pid"], signal.SIGKILL)
        for call in DIRECT:
            assert desk.run(network, *call) not in ("connected", "answered")
    assert_nothing_arrived(seen)

    def restarted() -> bool:
        gateway.reload()
        return bool(gateway.attrs["State"]["StartedAt"] != before and allowed(desk) == [200, ""])

    eventually("the gateway is back by itself", restarted)


@single(
    TOPIC,
    "anchor-crashed",
    "the container that holds the gateway's network namespace is killed; the engine starts it again, in a new one",
    "nothing gets out until the gateway is started anew; then the same sessions do",
)
def test_anchor_crashed(case: Case, rig: Rig, desk: Session, lab: Session) -> None:
    anchor = rig.anchor("limited")
    before = anchor.attrs["State"]["StartedAt"]
    os.kill(anchor.attrs["State"]["Pid"], signal.SIGKILL)

    def restarted() -> bool:
        anchor.reload()
        return bool(anchor.status == "running" and anchor.attrs["State"]["StartedAt"] != before)

    eventually("the anchor is back by itself", restarted)
    assert_closed(rig, desk, lab)
    rig.gateway("limited").restart(timeout=1)
    eventually("the gateway is back", lambda: allowed(desk) == [200, ""])
    assert allowed(lab) == [200, ""]


@single(
    TOPIC,
    "dns-down",
    "the gateway's resolver does not answer, and later does",
    "refused with dns-failed, nothing is connected to; then open",
)
def test_dns_down(case: Case, rig: Rig, desk: Session) -> None:
    rig.outside.dns.pause()
    try:
        with rig.outside.watch() as seen:
            status, rule = allowed(desk)
        assert (status // 100, rule) == (5, "dns-failed")
        assert {port for _, _, port in seen.places} <= {53}
    finally:
        rig.outside.dns.resume()
    eventually("names are resolved again", lambda: allowed(desk) == [200, ""])


@single(
    TOPIC,
    "fence-killed",
    "a run's fence is killed while the session runs, and the session is started anew",
    "the session has no network any more, and does not start without its fence",
)
def test_fence_killed(case: Case, rig: Rig) -> None:
    with ExitStack() as opened:
        session = started(rig, opened, "lab")
        assert allowed(session) == [200, ""]
        session.fence.kill()
        with rig.outside.watch() as seen:
            assert allowed(session)[0] == 0
            said = {call: session.run(network, *call) for call in DIRECT}
        assert not {"connected", "answered"} & {*said.values()}, said
        assert seen.from_source(session.address) == set()
        assert_nothing_arrived(seen)
        assert all(" lo" in line for line in session.in_namespace("ip", "-oneline", "link").splitlines())
        session.container.kill()
        with pytest.raises(Exception, match="cannot join network of a non running container"):
            session.container.start()


@single(
    TOPIC,
    "fence-restarted",
    "a service's fence is restarted, then the service",
    "no network until the service is started anew; then behind the new fence's rules",
)
def test_fence_restarted(case: Case, rig: Rig, shop: Session) -> None:
    shop.fence.restart(timeout=5)
    with rig.outside.watch() as seen:
        said = [shop.run(network, *call) for call in DIRECT]
    assert not {"connected", "answered"} & {*said}, said
    assert_nothing_arrived(seen)
    shop.container.restart(timeout=5)
    shop.wait()
    for call in DIRECT:
        assert shop.run(network, *call) in REFUSED
    assert "policy drop" in shop.in_namespace("nft", "list", "table", "inet", "agentenv")
    eventually("the service gets out again", lambda: allowed(shop) == [200, ""])


@single(
    TOPIC,
    "no-fence",
    "a session is started in a namespace whose fence did not set its rules",
    "its command never starts: exit code 78",
)
def test_no_fence(case: Case, rig: Rig, control: Session) -> None:
    plan = {
        "Image": rig.environment("limited").images.session,
        "User": "10001:10001",
        "Entrypoint": ["/usr/bin/python3", "-I", "/usr/local/lib/agentenv/behind_fence.py"],
        "Cmd": ["echo", "started"],
        "Labels": {"agentenv.stack": "attack-suite"},
        "HostConfig": {"NetworkMode": f"container:{control.container.name}", "CapDrop": ["ALL"]},
    }
    api: Any = rig.client.api
    made = rig.client.containers.get(api.create_container_from_config(plan, "attack-suite-no-fence")["Id"])
    try:
        made.start()
        assert made.wait(timeout=60)["StatusCode"] == 78
        assert b"started\n" not in made.logs()
        assert b"no_fence" in made.logs()
    finally:
        made.remove(force=True, v=True)


@single(
    TOPIC,
    "others-come-and-go",
    "a run starts and ends while a stream of another session of the environment is open",
    "the stream goes on",
)
@pytest.mark.parametrize(("streamer", "comer"), [("desk", "lab"), ("free", "free")])
def test_others_come_and_go(case: Case, rig: Rig, streamer: str, comer: str, request: pytest.FixtureRequest) -> None:
    session: Session = request.getfixturevalue(streamer)
    rig.trust_authority(rig.session(streamer).environment)
    with streaming(session, f"/MODEL{STREAM}", rig) as before, ExitStack() as opened:
        started(rig, opened, comer)
        with streaming(session, f"/MODEL{STREAM}", rig) as meanwhile:
            opened.close()
            time.sleep(STALLED_SECONDS)
            assert not before.done()
            assert not meanwhile.done()
    for going in (before, meanwhile):
        assert going.result()[1] == "open"


@single(
    TOPIC,
    "gateway-way-out",
    "which network a gateway goes out by while runs are on networks that sort before and after its own",
    "its own egress network, so that no run takes another's connections with it",
)
@pytest.mark.parametrize("name", ["desk", "free"])
def test_way_out(case: Case, rig: Rig, name: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(name)
    anchor = rig.anchor(rig.session(name).environment)
    command = ["nsenter", "--target", str(anchor.attrs["State"]["Pid"]), "--net", "--", "ip", "route", "get", PUBLIC]
    route = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.split()
    networks = anchor.attrs["NetworkSettings"]["Networks"]
    (egress,) = [one for name, one in networks.items() if name.startswith(EGRESS_PREFIX)]
    assert route[route.index("via") + 1] == egress["Gateway"]


@single(
    TOPIC,
    "policy-tightened",
    "`pulumi up` takes a host away while a tunnel to it and one to another are open",
    "that tunnel is cut and denied from now on, the other goes on; nothing is restarted",
)
def test_policy_tightened(case: Case, rig: Rig, desk: Session, lab: Session) -> None:
    before = rig.gateway("limited").attrs["State"]["StartedAt"]
    with (
        streaming(desk, f"https://closing.test{STREAM}", rig) as cut,
        streaming(lab, f"https://allowed.test{STREAM}", rig) as kept,
    ):
        rig.deployment.up(declaration(rig.secret, "allowed.test"))
        received, ended = cut.result(timeout=10)
        assert received > 0
        assert ended != "open"
        with rig.outside.watch() as seen:
            assert desk.run(proxied, "connect", "closing.test:443") == [403, "host-not-allowed"]
        assert_nothing_arrived(seen)
        assert allowed(desk) == [200, ""]
    assert kept.result()[1] == "open"
    assert rig.gateway("limited").attrs["State"]["StartedAt"] == before
