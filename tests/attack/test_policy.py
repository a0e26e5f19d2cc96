"""The policy: absent, broken, changed. Nothing leaves without a good one, and a tighter one cuts what is open."""

import contextlib
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.attack.cases import Case, single, table
from tests.attack.checks import assert_denial, assert_open, assert_untouched
from tests.attack.conftest import StartGateway
from tests.attack.rig.client import Client, get, read_until_closed
from tests.attack.rig.gateway import Gateway, wait_for
from tests.attack.rig.world import BROKEN_GATEWAY, DESK, DESK_SOURCES, LAB, SECOND_GATEWAY, World, host, policy

IN_FORCE_SECONDS = 2.0
Document = dict[str, Any]


def second(world: World, source: str = DESK) -> Client:
    """A session as a client of the second gateway."""
    return world.client(source, proxy=SECOND_GATEWAY)


def open_tls(client: Client, name: str, world: World) -> ssl.SSLSocket:
    """A tunnel with TLS in it."""
    reply, connection = client.open(f"{name}:443")
    assert reply.status == 200, reply
    return world.trust.wrap_socket(connection, server_hostname=name)


@single(
    "The policy",
    "policy-absent",
    "no policy file, later a good one",
    "503 no-policy and not ready; then open within 2 s",
)
def test_absent_policy(case: Case, world: World, start_gateway: StartGateway, tmp_path: Path) -> None:
    gateway = start_gateway(None, ready=False)
    with world.watch() as seen:
        assert_denial(second(world).connect("allowed.test:443"), "no-policy", status=503, retry=True)
        assert_denial(
            second(world).send(b"GET /model/ HTTP/1.1\r\nHost: a\r\n\r\n"), "no-policy", status=503, retry=True
        )
    assert_untouched(seen)
    assert gateway.admin("/readyz")[0] == 503
    assert gateway.run("ready").returncode != 0
    gateway.write_policy(policy(tmp_path))
    wait_for("ready", lambda: gateway.admin("/readyz")[0] == 200, seconds=IN_FORCE_SECONDS)
    assert gateway.run("ready").returncode == 0
    assert_open(world, second(world))


@dataclass(frozen=True)
class Broken(Case):
    """A document that is no policy.

    Attributes:
        change: Makes it out of a good one.
    """

    change: Callable[[Document], bytes]


def broken(name: str, title: str, change: Callable[[Document], object]) -> Broken:
    """`change` gives bytes, or a document that is written as JSON."""

    def made(document: Document) -> bytes:
        result = change(document)
        return result if isinstance(result, bytes) else json.dumps(result).encode()

    return Broken(f"policy-{name}", title, "503 broken-policy, nothing leaves, /readyz says no", made)


def with_host(name: object) -> Callable[[Document], Document]:
    """The good document with one more host entry."""
    return lambda document: document | {"hosts": [*document["hosts"], host(str(name), 99)]}


BROKEN = [
    broken("empty", "an empty file", lambda _: b""),
    broken("cut-off", "a document cut off in the middle", lambda document: json.dumps(document).encode()[:-40]),
    broken("not-json", "no JSON", lambda _: b"allow everything"),
    broken("binary", "bytes that are no text", lambda _: bytes(range(256))),
    broken("list", "a list", lambda document: [document]),
    broken("version", "another version", lambda document: document | {"version": 2}),
    broken("unknown-key", "a key that nobody knows", lambda document: document | {"allow_all": True}),
    broken("networking", "another kind of networking", lambda document: document | {"networking": "open"}),
    broken("missing-hosts", "no hosts at all", lambda document: {k: v for k, v in document.items() if k != "hosts"}),
    broken("star", "the host *", with_host("*")),
    broken("star-top-level", "a wildcard of a top-level domain", with_host("*.test")),
    broken("star-inside", "a star inside a name", with_host("a.*.wild.test")),
    broken("upper-case", "a host in upper case", with_host("Allowed.test")),
    broken("address", "an address as host", with_host("10.77.0.66")),
    broken("address-decimal", "an address as number", with_host("172818498")),
    broken("url", "a URL as host", with_host("https://allowed.test")),
    broken("unicode", "a host that is not an A-label", with_host("bücher.test")),
    broken("port", "a port that is none", lambda document: document | {"hosts": [host("a.test", 0, port=70000)]}),
    broken(
        "range",
        "a private range that is none",
        lambda document: document | {"hosts": [host("a.test", 0, private_range="10.0.0.1/8")]},
    ),
    broken(
        "route-http",
        "a route to plain http",
        lambda document: document | {"routes": [document["routes"][0] | {"origin": "http://model.test"}]},
    ),
    broken(
        "route-path",
        "a route to more than an origin",
        lambda document: document | {"routes": [document["routes"][0] | {"origin": "https://model.test/x"}]},
    ),
    broken(
        "identities",
        "two sessions on one source",
        lambda document: (
            document | {"identities": [{"session": name, "sources": [DESK_SOURCES]} for name in ("desk", "lab")]}
        ),
    ),
]


@table("The policy", BROKEN)
def test_broken_policy(case: Broken, world: World, broken_gateway: Gateway, tmp_path: Path) -> None:
    client, start = world.client(DESK, proxy=BROKEN_GATEWAY), len(broken_gateway.raw_log())
    broken_gateway.write_policy(case.change(policy(tmp_path)))

    def policies() -> list[dict[str, Any]]:
        # The end of an earlier case's tunnel may come between.
        return [line for line in broken_gateway.log(start) if line["event"] == "policy"]

    wait_for("it has been read", lambda: bool(policies()), seconds=IN_FORCE_SECONDS)
    (read,) = policies()
    assert (read["verdict"], read["rule"]) == ("refused", "broken-policy")
    assert read["problem"]
    assert broken_gateway.admin("/readyz")[0] == 503
    with world.watch() as seen:
        assert_denial(client.connect("allowed.test:443"), "broken-policy", status=503)
    assert_untouched(seen)


@single("The policy", "policy-broken-at-start", "a broken policy at the start", "503 broken-policy, nothing leaves")
def test_broken_policy_at_start(case: Case, world: World, start_gateway: StartGateway) -> None:
    gateway = start_gateway(b"{}", ready=False)
    with world.watch() as seen:
        assert_denial(second(world).connect("allowed.test:443"), "broken-policy", status=503)
    assert_untouched(seen)
    assert gateway.admin("/readyz")[0] == 503


@single("The policy", "policy-removed", "the policy file is deleted", "nothing new leaves")
def test_removed_policy(case: Case, world: World, start_gateway: StartGateway, tmp_path: Path) -> None:
    gateway = start_gateway(policy(tmp_path))
    assert_open(world, second(world))
    gateway.policy_file.unlink()
    wait_for("not ready", lambda: gateway.admin("/readyz")[0] == 503, seconds=IN_FORCE_SECONDS)
    with world.watch() as seen:
        assert second(world).connect("allowed.test:443").status == 503
    assert_untouched(seen)


@dataclass(frozen=True)
class Tightened(Case):
    """A change after which one tunnel is not allowed any more.

    Attributes:
        change: The new document out of the old one.
        cut: Host of desk's tunnel that is cut; the tunnel of `lab` to allowed.test stays open.
    """

    change: Callable[[Document], Document]
    cut: str


def less(document: Document, name: str) -> Document:
    """Without a host."""
    return document | {"hosts": [entry for entry in document["hosts"] if entry["host"] != name]}


TIGHTENED = [
    Tightened(
        "tightened-host",
        "a host is taken away",
        "its tunnel is cut within 2 s, others stay",
        lambda old: less(old, "desk-mcp.test"),
        "desk-mcp.test",
    ),
    Tightened(
        "tightened-wildcard",
        "a wildcard is taken away",
        "its tunnel is cut within 2 s, others stay",
        lambda old: less(old, "*.wild.test"),
        "a.wild.test",
    ),
    Tightened(
        "tightened-session",
        "a host is given to another session alone",
        "its tunnel is cut within 2 s, others stay",
        lambda old: (
            old | {"hosts": [*less(old, "desk-mcp.test")["hosts"], host("desk-mcp.test", 50, sessions=["lab"])]}
        ),
        "desk-mcp.test",
    ),
    Tightened(
        "tightened-port",
        "a host gets another port",
        "its tunnel is cut within 2 s, others stay",
        lambda old: old | {"hosts": [*less(old, "desk-mcp.test")["hosts"], host("desk-mcp.test", 50, port=8443)]},
        "desk-mcp.test",
    ),
    Tightened(
        "tightened-identity",
        "the session is not known any more",
        "its tunnels are cut within 2 s, others stay",
        lambda old: old | {"identities": old["identities"][1:]},
        "allowed.test",
    ),
]


@table("The policy", TIGHTENED)
def test_tightened_policy(case: Tightened, world: World, start_gateway: StartGateway, tmp_path: Path) -> None:
    old = policy(tmp_path)
    gateway = start_gateway(old)
    kept = open_tls(second(world, LAB), "allowed.test", world)
    doomed = open_tls(second(world), case.cut, world)
    with kept, doomed:
        assert get(doomed, case.cut, "/").status == 200
        started = time.monotonic()
        gateway.write_policy(case.change(old))
        doomed.settimeout(IN_FORCE_SECONDS)
        with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
            assert doomed.recv(1) == b""
        assert time.monotonic() - started < IN_FORCE_SECONDS
        assert get(kept, "allowed.test", "/").status == 200
    with world.watch() as seen:
        assert second(world).connect(f"{case.cut}:443").status == 403
    assert_untouched(seen)
    ended = [
        line
        for line in gateway.log()
        if line["event"] == "end" and (line["session"], line["host"]) == ("desk", case.cut)
    ]
    assert [line["rule"] for line in ended] == ["policy-changed"]


@single(
    "The policy",
    "tightened-broken",
    "a broken policy while tunnels are open",
    "the tunnels are cut: nothing is allowed without a policy",
)
def test_open_tunnel_when_the_policy_breaks(
    case: Case, world: World, start_gateway: StartGateway, tmp_path: Path
) -> None:
    gateway = start_gateway(policy(tmp_path))
    with open_tls(second(world), "allowed.test", world) as tls:
        assert get(tls, "allowed.test", "/").status == 200
        gateway.write_policy(b"{")
        assert read_until_closed(tls, seconds=IN_FORCE_SECONDS) == b""


@single("The policy", "widened", "a host is added", "reached within 2 s, open tunnels stay")
def test_widened_policy(case: Case, world: World, start_gateway: StartGateway, tmp_path: Path) -> None:
    document = policy(tmp_path)
    gateway = start_gateway(less(document, "desk-mcp.test"))
    with open_tls(second(world), "allowed.test", world) as tls:
        assert_denial(second(world).connect("desk-mcp.test:443"), "host-not-allowed")
        gateway.write_policy(document)
        wait_for("reached", lambda: second(world).connect("desk-mcp.test:443").status == 200, seconds=IN_FORCE_SECONDS)
        assert get(tls, "allowed.test", "/").status == 200


@single(
    "The policy",
    "installed-broken",
    "`install` of a broken policy",
    "refused with one line; the good one stays in force",
)
def test_install_refuses_a_broken_policy(case: Case, world: World, start_gateway: StartGateway, tmp_path: Path) -> None:
    gateway = start_gateway(policy(tmp_path))
    incoming = gateway.policy_file.with_name("candidate.json")
    incoming.write_text(json.dumps(policy(tmp_path) | {"allow_all": True}))
    done = gateway.run("install", str(incoming), str(gateway.policy_file))
    assert done.returncode != 0
    assert "allow_all" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert_open(world, second(world))
    incoming.write_text(json.dumps(less(policy(tmp_path), "allowed.test")))
    assert gateway.run("install", str(incoming), str(gateway.policy_file)).returncode == 0
    wait_for(
        "the new one is in force", lambda: second(world).connect("allowed.test:443").status == 403, IN_FORCE_SECONDS
    )


@single(
    "The policy",
    "admitted",
    "a session is admitted at run time, then dismissed",
    "open at once, its tunnels cut at once; kept over a restart",
)
def test_admit_and_dismiss(case: Case, world: World, start_gateway: StartGateway, tmp_path: Path) -> None:
    gateway = start_gateway(policy(tmp_path, identities=[]))
    assert_denial(second(world).connect("allowed.test:443"), "unknown-session")
    assert gateway.run("admit", "--session", "desk", "--source", DESK_SOURCES).returncode == 0
    assert_open(world, second(world))
    assert second(world).connect("desk-mcp.test:443").status == 200
    assert gateway.run("admit", "--session", "lab", "--source", DESK_SOURCES).returncode != 0
    gateway.kill()
    gateway.start()
    with open_tls(second(world), "allowed.test", world) as tls:
        assert gateway.run("dismiss", "--source", DESK_SOURCES).returncode == 0
        assert read_until_closed(tls, seconds=IN_FORCE_SECONDS) == b""
    assert_denial(second(world).connect("allowed.test:443"), "unknown-session")
