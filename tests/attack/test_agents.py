"""Agents that share one session's address: each with its own token, and none with another's."""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.attack.cases import Case, single, table
from tests.attack.checks import assert_denial, assert_untouched
from tests.attack.conftest import environment
from tests.attack.rig.client import Client, Reply, get, read_until_closed
from tests.attack.rig.gateway import PORT, Gateway, wait_for
from tests.attack.rig.world import (
    ALLOWED,
    DESK,
    DESK_SOURCES,
    LAB,
    LAB_SOURCES,
    SECOND_GATEWAY,
    SECRET,
    World,
    policy,
)

TOPIC = "Agents of one session"
UNKNOWN = "unknown-agent"
STATUS = 407
TOKENS = {"writer": "canary-writer-4c1d07a2", "critic": "canary-critic-b83e55f0"}
LAB_TOKEN = "canary-lab-09d1c6"
OWN = ("writer", TOKENS["writer"])


def hashed(token: str) -> str:
    """What the gateway is told of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


@pytest.fixture(scope="module")
def shared(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with two agents of `desk`, and one of `lab` that has the same name as one of them."""
    folder = tmp_path_factory.mktemp("agents")
    made = Gateway(world.namespace, folder, address=SECOND_GATEWAY, admin_port=9902, environment=environment(world))
    made.write_policy(policy(folder, identities=[]))
    with made.start():
        admit(made)
        lab = made.run("admit", "--session", "lab", "--source", LAB_SOURCES, "--agent", f"writer={hashed(LAB_TOKEN)}")
        assert lab.returncode == 0, lab.stderr
        yield made
    text = made.raw_log() + b"".join(file.read_bytes() for file in folder.rglob("identities.json"))
    assert not [token for token in (*TOKENS.values(), LAB_TOKEN) if token.encode() in text]


def admit(gateway: Gateway) -> None:
    """Let the agents of `desk` speak from its address."""
    options = [f"--agent={name}={hashed(token)}" for name, token in TOKENS.items()]
    done = gateway.run("admit", "--session", "desk", "--source", DESK_SOURCES, *options)
    assert done.returncode == 0, done.stderr


def client(world: World, source: str = DESK) -> Client:
    """Whoever speaks from there."""
    return world.client(source, proxy=SECOND_GATEWAY)


def basic(name: str, token: str) -> list[bytes]:
    """Proxy credentials."""
    return [b"Proxy-Authorization: Basic " + base64.b64encode(f"{name}:{token}".encode())]


def route(asker: Client, path: str, *headers: bytes) -> Reply:
    """One request in origin form."""
    lines = [f"GET {path} HTTP/1.1".encode(), f"Host: {SECOND_GATEWAY}:{PORT}".encode(), *headers]
    return asker.send(b"\r\n".join([*lines, b"", b""]))


def assert_own_way_open(world: World) -> None:
    """The positive control: with its own token an agent reaches the host and the route."""
    reply, connection = client(world).open("allowed.test:443", basic(*OWN))
    assert reply.status == 200
    with world.trust.wrap_socket(connection, server_hostname="allowed.test") as tls:
        assert get(tls, "allowed.test", "/").json()["address"] == ALLOWED
    answer = route(client(world), f"/.as/{OWN[0]}/{OWN[1]}/model/v1")
    sent = [value for key, value in answer.json()["headers"] if key.lower() == "x-api-key"]
    assert (answer.status, answer.json()["target"], sent) == (200, "/v1", [SECRET])
    assert OWN[1] not in answer.body.decode()


@dataclass(frozen=True)
class Claim(Case):
    """What a process at the address of `desk` says of who it is.

    Attributes:
        name: The agent's name.
        token: The token.
        source: Address that it speaks from.
    """

    name: str
    token: str
    source: str = DESK


CLAIMS = [
    Claim("agent-no-token", "an agent's name without a token", f"{STATUS} {UNKNOWN}", "critic", ""),
    Claim("agent-nobody", "no name and no token", f"{STATUS} {UNKNOWN}", "", ""),
    Claim("agent-others-name", "another agent's name with the own token", f"{STATUS} {UNKNOWN}", "critic", OWN[1]),
    Claim("agent-made-up", "an agent's name with a made-up token", f"{STATUS} {UNKNOWN}", "critic", "made-up"),
    Claim("agent-hash", "the token's hash in its place", f"{STATUS} {UNKNOWN}", "critic", hashed(TOKENS["critic"])),
    Claim("agent-session-name", "the session's name with the own token", f"{STATUS} {UNKNOWN}", "desk", OWN[1]),
    Claim("agent-other-case", "the own name in capitals", f"{STATUS} {UNKNOWN}", "WRITER", OWN[1]),
    Claim(
        "agent-other-session",
        "the own name and token from another session's address",
        f"{STATUS} {UNKNOWN}",
        *OWN,
        source=LAB,
    ),
    Claim(
        "agent-of-other-session", "the same name's token of another session", f"{STATUS} {UNKNOWN}", "writer", LAB_TOKEN
    ),
]


@table(TOPIC, CLAIMS)
def test_claim(case: Claim, world: World, shared: Gateway) -> None:
    asker = client(world, case.source)
    headers = basic(case.name, case.token) if case.name or case.token else []
    host, name = ("lab-mcp.test:443", "lab-model") if case.source == LAB else ("allowed.test:443", "model")
    with world.watch() as seen:
        replies = [
            asker.connect(host, headers),
            route(asker, f"/{name}/v1", *headers),
            route(asker, f"/.as/{case.name}/{case.token}/{name}/v1"),
        ]
    assert_untouched(seen)
    for reply in replies:
        body = assert_denial(reply, UNKNOWN, status=STATUS)
        assert body["session"] == ("lab" if case.source == LAB else "desk")
        assert "agent" not in body
        assert not case.token or case.token not in str(reply)
    assert_own_way_open(world)


@single(
    TOPIC,
    "agent-path-and-header",
    "another agent's token in the path and the own one in the header, and the other way round",
    "407 unknown-agent where the path says who asks; the header does not mend it",
)
def test_two_claims(case: Case, world: World, shared: Gateway) -> None:
    with world.watch() as seen:
        reply = route(client(world), f"/.as/critic/{OWN[1]}/model/v1", *basic(*OWN))
        assert_denial(reply, UNKNOWN, status=STATUS)
    assert_untouched(seen)
    assert_own_way_open(world)


@single(
    TOPIC,
    "agent-listed-path",
    "a request that the route is not for, behind an agent's name and token, which the list does not hold",
    "judged without them: the one on the list reaches the origin, the other is 403 route-path-not-allowed",
)
def test_listed_path(case: Case, world: World, shared: Gateway) -> None:
    own = f"/.as/{OWN[0]}/{OWN[1]}/listed"
    with world.watch() as seen:
        body = assert_denial(route(client(world), f"{own}/v1/files"), "route-path-not-allowed")
    assert_untouched(seen)
    assert body["request"] == "GET /v1/files"
    assert route(client(world), f"{own}/v1/models/a").json()["target"] == "/v1/models/a"


@single(
    TOPIC,
    "agent-in-the-log",
    "tunnels, routes and refusals of two agents",
    "each line names the agent that asked, none holds a token",
)
def test_log(case: Case, world: World, shared: Gateway) -> None:
    start = len(shared.raw_log())
    for name, token in TOKENS.items():
        assert_denial(client(world).connect("evil.test:443", basic(name, token)), "host-not-allowed")
        assert route(client(world), f"/.as/{name}/{token}/model/").status == 200

    def found() -> list[tuple[str, str, str]]:
        decisions = [line for line in shared.log(start) if line["event"] == "decision"]
        return [(line["agent"], line["session"], line["rule"]) for line in decisions]

    wait_for("all decisions are in the log", lambda: len(found()) >= 4, seconds=3)
    assert found() == [(name, "desk", rule) for name in TOKENS for rule in ("host-not-allowed", "route")]


@single(
    TOPIC,
    "agent-admitted-again",
    "the same address is admitted for nobody in particular, or with another agent's hash",
    "refused: what was admitted stays",
)
def test_admitted_again(case: Case, world: World, shared: Gateway) -> None:
    for options in ([], [f"--agent=writer={hashed('mine')}"]):
        for source in (DESK_SOURCES, f"{DESK}/32"):
            done = shared.run("admit", "--session", "desk", "--source", source, *options)
            assert (done.returncode, done.stdout) == (1, "")
    assert_denial(client(world).connect("allowed.test:443"), UNKNOWN, status=STATUS)
    assert_own_way_open(world)


@single(
    TOPIC,
    "agent-asks-for-policy",
    "whoever is at the address asks for the session's policy without a token",
    "told what the session may reach, and nothing of others",
)
def test_policy(case: Case, world: World, shared: Gateway) -> None:
    with world.watch() as seen:
        reply = route(client(world), "/.policy")
        stranger = route(world.client("10.200.0.99", proxy=SECOND_GATEWAY), "/.policy")
    assert_untouched(seen)
    told = reply.json()
    assert (reply.status, told["session"], told["in_force"]) == (200, "desk", True)
    assert {"desk-mcp.test"} == {one["host"] for one in told["hosts"] if one["host"].endswith("-mcp.test")}
    assert told["routes"] == ["inward", "listed", "model"]
    assert SECRET not in reply.body.decode()
    assert_denial(stranger, "unknown-session")


@single(
    TOPIC,
    "agent-dismissed",
    "a tunnel of an agent whose session is dismissed, or that is admitted again without it",
    "cut at once; its token opens nothing any more, after a restart neither",
)
def test_dismissed(case: Case, world: World, shared: Gateway) -> None:
    shared.kill()
    shared.start()
    reply, connection = client(world).open("allowed.test:443", basic(*OWN))
    assert reply.status == 200
    with world.trust.wrap_socket(connection, server_hostname="allowed.test") as tls:
        assert get(tls, "allowed.test", "/").status == 200
        assert shared.run("dismiss", "--source", DESK_SOURCES).returncode == 0
        assert read_until_closed(tls, seconds=3) == b""
    assert_denial(client(world).connect("allowed.test:443", basic(*OWN)), "unknown-session")
    done = shared.run(
        "admit", "--session", "desk", "--source", DESK_SOURCES, f"--agent=critic={hashed(TOKENS['critic'])}"
    )
    assert done.returncode == 0
    try:
        for _ in range(2):
            assert_denial(client(world).connect("allowed.test:443", basic(*OWN)), UNKNOWN, status=STATUS)
            assert client(world).connect("allowed.test:443", basic("critic", TOKENS["critic"])).status == 200
            shared.kill()
            shared.start()
    finally:
        shared.run("dismiss", "--source", DESK_SOURCES)
        admit(shared)
    assert_own_way_open(world)
