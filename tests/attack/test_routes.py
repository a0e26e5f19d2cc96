"""Routes that add a credential: to one origin, for their own session, and the secret stays where it belongs."""

import itertools
import time
from dataclasses import dataclass
from http.client import HTTPResponse

from tests.attack.cases import Case, single, table
from tests.attack.checks import assert_denial, assert_open, assert_untouched
from tests.attack.rig.client import Client, Reply
from tests.attack.rig.gateway import PORT, Gateway
from tests.attack.rig.world import ALLOWED, GATEWAY, LAB_SECRET, SECRET, World

HOST = f"Host: {GATEWAY}:{PORT}"


def request(client: Client, target: str, *headers: str, method: str = "GET", body: bytes = b"") -> Reply:
    """One request in origin form, without a tunnel."""
    lines = [f"{method} {target} HTTP/1.1", HOST, *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return client.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body, method=method)


def values(reply: Reply, name: str) -> list[str]:
    """All values of a header, as the upstream saw it."""
    return [value for key, value in reply.json()["headers"] if key.lower() == name]


@single(
    "Routes that add a credential",
    "route",
    "a request on a route",
    "reaches the origin with the secret and the origin's Host",
)
def test_route(case: Case, world: World, gateway: Gateway) -> None:
    with world.watch() as seen:
        reply = request(
            world.desk, "/model/v1/messages?beta=true", "Content-Type: text/plain", method="POST", body=b"hi"
        )
    assert seen.addresses == {ALLOWED}
    assert reply.json()["target"] == "/v1/messages?beta=true"
    assert reply.json()["body"] == "hi"
    assert (values(reply, "x-api-key"), values(reply, "host")) == ([SECRET], ["model.test"])
    assert SECRET not in str(reply.headers)


@dataclass(frozen=True)
class Offer(Case):
    """Headers that a client adds to a request on a route.

    Attributes:
        headers: The lines.
        gone: Names that the origin must not see.
    """

    headers: tuple[str, ...]
    gone: tuple[str, ...] = ()


OFFERS = [
    Offer(
        "route-authorization",
        "the client's own Authorization",
        "removed, the secret is there",
        ("Authorization: Bearer mine",),
        ("authorization",),
    ),
    Offer("route-api-key", "the client's own value of the injected header", "replaced", ("x-api-key: mine",)),
    Offer("route-api-key-twice", "two of them", "replaced by one", ("x-api-key: mine", "X-Api-Key: mine too")),
    Offer(
        "route-proxy-authorization",
        "Proxy-Authorization",
        "removed",
        ("Proxy-Authorization: Basic bWU6bWluZQ==",),
        ("proxy-authorization",),
    ),
    Offer("route-cookie", "a cookie", "removed", ("Cookie: session=mine",), ("cookie",)),
    Offer(
        "route-connection-named",
        "Connection names the injected header",
        "the secret is there all the same",
        ("Connection: x-api-key",),
    ),
    Offer(
        "route-host-evil",
        "X-Forwarded-Host and a Host of another",
        "the origin's own Host",
        ("X-Forwarded-Host: evil.test",),
    ),
    Offer(
        "route-te",
        "hop-by-hop headers",
        "removed",
        ("TE: trailers", "Proxy-Connection: keep-alive", "Keep-Alive: 5"),
        ("te", "proxy-connection", "keep-alive"),
    ),
]


@table("Routes that add a credential", OFFERS)
def test_offered_headers(case: Offer, world: World, gateway: Gateway) -> None:
    with world.watch() as seen:
        reply = request(world.desk, "/model/", *case.headers)
    assert seen.addresses == {ALLOWED}
    assert (values(reply, "x-api-key"), values(reply, "host")) == ([SECRET], ["model.test"])
    for name in case.gone:
        assert values(reply, name) == []
    sent = [line.partition(": ")[2] for line in case.headers if line.lower().startswith(("authorization", "x-api-key"))]
    assert not [value for value in sent if value in str(reply.json()["headers"])]


@dataclass(frozen=True)
class Path(Case):
    """A path by which a client tries to leave its route.

    Attributes:
        target: Request target.
    """

    target: str


PATHS = [
    Path("path-dots", "dots up into another route", "stays at the origin of its own route", "/model/../lab-model/x"),
    Path(
        "path-encoded-dots",
        "the same, percent-encoded",
        "stays at the origin of its own route",
        "/model/%2e%2e/lab-model/x",
    ),
    Path("path-host", "two slashes and a host", "stays at the origin of its own route", "/model//evil.test/x"),
    Path("path-url", "a URL behind the route", "stays at the origin of its own route", "/model/https://evil.test/x"),
    Path("path-userinfo", "an at sign behind the route", "stays at the origin of its own route", "/model/@evil.test/x"),
    Path("path-backslash", "backslashes", "stays at the origin of its own route", "/model/\\\\evil.test\\x"),
    Path("path-crlf", "an encoded line break and a header", "stays encoded", "/model/%0d%0aHost:%20evil.test"),
    Path("path-port", "a colon and a port", "stays at the origin of its own route", "/model/:8443/x"),
]


@table("Routes that add a credential", PATHS)
def test_path(case: Path, world: World, gateway: Gateway) -> None:
    with world.watch() as seen:
        reply = request(world.desk, case.target)
    # A gateway may refuse what it will not pass on as written; where it passes it on, it is to its own origin.
    if reply.status == 403:
        assert reply.rule
        assert_untouched(seen)
    else:
        assert (reply.status, seen.addresses) == (200, {ALLOWED})
        assert (values(reply, "host"), values(reply, "x-api-key")) == (["model.test"], [SECRET])
        assert {query.name for query in seen.queries} <= {"model.test"}


@dataclass(frozen=True)
class Refusal(Case):
    """A request on a route that is not the asker's, or leads nowhere."""

    who: str
    target: str
    rule: str


REFUSALS = [
    Refusal(
        "route-of-another",
        "the route of another session",
        "403 route-not-allowed",
        "lab",
        "/model/",
        "route-not-allowed",
    ),
    Refusal(
        "route-of-another-reversed",
        "the same the other way round",
        "403 route-not-allowed",
        "desk",
        "/lab-model/",
        "route-not-allowed",
    ),
    Refusal(
        "route-unknown-source",
        "a route, from an unknown source",
        "403 unknown-session",
        "stranger",
        "/model/",
        "unknown-session",
    ),
    Refusal(
        "route-inward",
        "an origin that resolves to the metadata address",
        "403 address-not-allowed",
        "desk",
        "/inward/",
        "address-not-allowed",
    ),
]


@table("Routes that add a credential", REFUSALS)
def test_refused_route(case: Refusal, world: World, gateway: Gateway) -> None:
    if case.rule == "address-not-allowed":
        world.dns.records["metadata.resolves.test"] = world.dns.records["allowed.test"].__class__(
            a=("169.254.169.254",)
        )
    with world.watch() as seen:
        assert_denial(request(getattr(world, case.who), case.target), case.rule)
    assert (seen.places, seen.bytes) == (set(), 0)
    with world.watch() as seen:
        reply = request(world.desk, "/model/")
        lab = request(world.lab, "/lab-model/")
    assert (values(reply, "x-api-key"), values(lab, "authorization")) == ([SECRET], [LAB_SECRET])


@single(
    "Routes that add a credential",
    "route-redirect",
    "the origin redirects to another host",
    "passed to the session, never followed with the secret",
)
def test_redirect_is_not_followed(case: Case, world: World, gateway: Gateway) -> None:
    with world.watch() as seen:
        reply = request(world.desk, "/model/redirect?to=https://evil.test/")
    assert (reply.status, reply.headers["location"]) == (302, "https://evil.test/")
    assert seen.addresses == {ALLOWED}
    assert {query.name for query in seen.queries} <= {"model.test"}


@single("Routes that add a credential", "route-stream", "server-sent events", "each arrives when it is sent")
def test_stream_is_not_buffered(case: Case, world: World, gateway: Gateway) -> None:
    gap = 0.2
    with world.desk.dial() as connection:
        connection.sendall(f"GET /model/stream?count=4&gap={gap} HTTP/1.1\r\n{HOST}\r\n\r\n".encode())
        response = HTTPResponse(connection)
        response.begin()
        arrivals = []
        while event := response.read1(4096):
            assert event.startswith(b"data: ")
            arrivals.append(time.monotonic())
    assert len(arrivals) == 4
    assert all(later - earlier > gap / 2 for earlier, later in itertools.pairwise(arrivals))


@single("Routes that add a credential", "route-bytes", "an answer of 20 MB", "passed whole")
def test_large_answer(case: Case, world: World, gateway: Gateway) -> None:
    with world.desk.dial() as connection:
        connection.sendall(f"GET /model/bytes?count=20000000 HTTP/1.1\r\n{HOST}\r\n\r\n".encode())
        response = HTTPResponse(connection)
        response.begin()
        size = 0
        while data := response.read1(1 << 18):
            size += len(data)
    assert size == 20_000_000
    assert_open(world)
