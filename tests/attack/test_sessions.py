"""Who asks: hosts and routes of one session are not another's, and an unknown source gets nothing."""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.attack.cases import Case, single, table
from tests.attack.checks import assert_denial, assert_open, assert_untouched
from tests.attack.conftest import StartGateway
from tests.attack.rig.client import Client
from tests.attack.rig.gateway import Gateway
from tests.attack.rig.world import ALLOWED, DESK, DESK_SOURCES, GATEWAY, METADATA, SECOND_GATEWAY, World, host, policy

HOST, UNKNOWN = "host-not-allowed", "unknown-session"


@dataclass(frozen=True)
class Reach(Case):
    """One client and one target.

    Attributes:
        who: `desk`, `lab` or `stranger`.
        name: Host that is asked for.
        rule: Rule that denies it; empty: it is reached.
    """

    who: str
    name: str
    rule: str

    def client(self, world: World) -> Client:
        """The one who asks."""
        client = getattr(world, self.who)
        assert isinstance(client, Client)
        return client


REACHES = [
    Reach("scope-own-desk", "a session's own MCP host", "tunnel", "desk", "desk-mcp.test", ""),
    Reach("scope-own-lab", "another session's own MCP host", "tunnel", "lab", "lab-mcp.test", ""),
    Reach("scope-other-desk", "the MCP host of another session", f"403 {HOST}", "desk", "lab-mcp.test", HOST),
    Reach("scope-other-lab", "the same the other way round", f"403 {HOST}", "lab", "desk-mcp.test", HOST),
    Reach(
        "scope-unknown-allowed",
        "an allowed host from an unknown source",
        f"403 {UNKNOWN}",
        "stranger",
        "allowed.test",
        UNKNOWN,
    ),
    Reach(
        "scope-unknown-mcp",
        "an MCP host from an unknown source",
        f"403 {UNKNOWN}",
        "stranger",
        "desk-mcp.test",
        UNKNOWN,
    ),
    Reach(
        "scope-unknown-evil", "another host from an unknown source", f"403 {UNKNOWN}", "stranger", "evil.test", UNKNOWN
    ),
]


@table("Sessions of one environment", REACHES)
def test_reach(case: Reach, world: World, gateway: Gateway) -> None:
    with world.watch() as seen:
        reply = case.client(world).https(case.name, world.trust)
    if case.rule:
        body = assert_denial(reply, case.rule)
        assert body["session"] == (None if case.who == "stranger" else case.who)
        assert_untouched(seen)
        assert_open(world)
    else:
        assert (reply.json()["address"], seen.addresses) == (ALLOWED, {ALLOWED})


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "Via", "X-Egress-Session"])
@single(
    "Sessions of one environment",
    "scope-claimed",
    "an unknown source that claims a session's address in a header",
    f"403 {UNKNOWN}",
)
def test_claimed_address(case: Case, header: str, world: World, gateway: Gateway) -> None:
    value = f"for={DESK}" if header == "Forwarded" else "desk" if header == "X-Egress-Session" else DESK
    with world.watch() as seen:
        assert_denial(world.stranger.connect("allowed.test:443", [f"{header}: {value}".encode()]), UNKNOWN)
    assert_untouched(seen)
    assert_open(world)


@single(
    "Sessions of one environment",
    "scope-token-unneeded",
    "a session's name and a made-up token from an unknown source",
    f"403 {UNKNOWN}",
)
def test_made_up_token(case: Case, world: World, gateway: Gateway) -> None:
    credentials = base64.b64encode(b"desk:made-up")
    with world.watch() as seen:
        reply = world.stranger.connect("allowed.test:443", [b"Proxy-Authorization: Basic " + credentials])
        assert_denial(reply, UNKNOWN)
    assert_untouched(seen)
    assert_open(world)


def basic(name: str, token: str) -> list[bytes]:
    """Proxy credentials."""
    return [b"Proxy-Authorization: Basic " + base64.b64encode(f"{name}:{token}".encode())]


@single(
    "Sessions of one environment",
    "shared-source",
    "two sessions on one source, told apart by their tokens",
    "each its own hosts; without a token, a wrong one or the other's name 403",
)
def test_shared_source(case: Case, world: World, start_gateway: StartGateway, tmp_path: Path) -> None:
    identities = [
        {
            "session": name,
            "sources": [DESK_SOURCES],
            "token_sha256": hashlib.sha256(f"{name}-token".encode()).hexdigest(),
        }
        for name in ("desk", "lab")
    ]
    with start_gateway(policy(tmp_path, identities=identities)):
        client = world.client(DESK, proxy=SECOND_GATEWAY)
        with world.watch() as seen:
            assert_denial(client.connect("allowed.test:443"), UNKNOWN)
            for name, token in (("desk", "lab-token"), ("desk", ""), ("", "desk-token"), ("desk", "desk-token\n")):
                assert_denial(client.connect("allowed.test:443", basic(name, token)), UNKNOWN)
            assert_denial(client.connect("allowed.test:443", [b"Proxy-Authorization: Bearer desk-token"]), UNKNOWN)
            assert_denial(client.connect("allowed.test:443", [b"Proxy-Authorization: Basic %%%"]), UNKNOWN)
            assert_denial(client.connect("lab-mcp.test:443", basic("desk", "desk-token")), HOST)
        assert_untouched(seen)
        assert client.connect("desk-mcp.test:443", basic("desk", "desk-token")).status == 200
        assert client.connect("lab-mcp.test:443", basic("lab", "lab-token")).status == 200


@single("The gateway itself", "admin-on-session-side", "the admin port on the gateway's address", "refused connection")
def test_admin_port_from_a_session(case: Case, world: World, gateway: Gateway) -> None:
    assert gateway.admin("/metrics")[0] == 200
    with pytest.raises(ConnectionRefusedError):
        world.namespace.connect(GATEWAY, 9901, source=DESK)


@table(
    "The gateway itself",
    [
        Reach(
            "own-range-admin",
            "an allowed name that leads to the gateway, which lies in the entry's range",
            "403 address-not-allowed",
            "desk",
            GATEWAY,
            "address-not-allowed",
        ),
        Reach(
            "own-range-session",
            "the same with another session's address",
            "403 address-not-allowed",
            "desk",
            DESK,
            "address-not-allowed",
        ),
        Reach(
            "wide-range-metadata",
            "metadata, in an entry whose range is everything",
            "403 address-not-allowed",
            "desk",
            METADATA,
            "address-not-allowed",
        ),
    ],
)
def test_private_range_that_holds_more(case: Reach, world: World, start_gateway: StartGateway, tmp_path: Path) -> None:
    name = f"{case.id}.wide.test"
    world.dns.records[name] = world.dns.records["allowed.test"].__class__(a=(case.name,))
    wide = "0.0.0.0/0" if case.id.startswith("wide") else "10.0.0.0/8"
    entries = [host("allowed.test", 0, private_range=wide), host("*.wide.test", 1, private_range=wide)]
    client = world.client(DESK, proxy=SECOND_GATEWAY)
    with start_gateway(policy(tmp_path, hosts=entries, routes=[])):
        with world.watch() as seen:
            assert_denial(client.connect(f"{name}:443"), case.rule)
        assert seen.places == set()
        assert_open(world, client)
