"""By the gateway: what is allowed arrives, what is not is denied with its rule, however the client is talked round."""

from dataclasses import dataclass

import pytest

from tests.attack.cases import Case
from tests.attack.inside.cases import single, table
from tests.attack.inside.conftest import Rig
from tests.attack.inside.outside import ALLOWED, EVIL
from tests.attack.inside.programs import proxied
from tests.attack.inside.sessions import Session
from tests.attack.inside.ways import assert_nothing_arrived

pytestmark = pytest.mark.containers

PROXY_VARIABLES = ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"]
TOPIC = "By the gateway"
REACHED, DENIED = (0, 200, 200), (56, 0, 403)
DNS = 53
COULD_NOT_RESOLVE, COULD_NOT_CONNECT = 6, 7


@pytest.fixture(scope="module", autouse=True)
def trust(rig: Rig, desk: Session, lab: Session, control: Session) -> None:
    for session in (desk, lab, control):
        session.run(proxied, "trust", rig.outside.authority)


@dataclass(frozen=True)
class Curl(Case):
    """One call of curl.

    Attributes:
        arguments: Its arguments.
        ends: Exit code, status, status of the CONNECT.
        unset: Variables that are taken away before.
        variables: Variables that are set before.
    """

    arguments: tuple[str, ...]
    ends: tuple[int, int, int]
    unset: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()


TO_EVIL = ("--resolve", f"allowed.test:443:{EVIL}")
UNSET = tuple(PROXY_VARIABLES)
NO_PROXY = (("NO_PROXY", "*"), ("no_proxy", "*"))
NOTHING = "nothing arrives anywhere"
CURLS = [
    Curl("curl-allowed", "curl to an allowed host", "reaches ALLOWED", ("https://allowed.test/",), REACHED),
    Curl(
        "curl-resolve",
        "curl --resolve of an allowed host to another address",
        "reaches ALLOWED: the gateway resolves by itself",
        (*TO_EVIL, "https://allowed.test/"),
        REACHED,
    ),
    Curl(
        "curl-denied",
        "curl to a host that is not allowed",
        f"403; {NOTHING}, no query",
        ("https://evil.test/",),
        DENIED,
    ),
    Curl(
        "curl-connect-to",
        "curl --connect-to from an allowed host to another",
        f"403; {NOTHING}, no query",
        ("--connect-to", "allowed.test:443:evil.test:443", "https://allowed.test/"),
        DENIED,
    ),
    Curl(
        "curl-connect-to-address",
        "curl --connect-to from an allowed host to an address",
        f"403; {NOTHING}",
        ("--connect-to", f"allowed.test:443:{EVIL}:443", "https://allowed.test/"),
        DENIED,
    ),
    Curl(
        "curl-other-port",
        "an allowed host on a port that is not",
        f"403; {NOTHING}, no query",
        ("https://allowed.test:8443/",),
        DENIED,
    ),
    Curl(
        "curl-plain-http",
        "http without TLS to an allowed host",
        f"403; {NOTHING}",
        ("http://allowed.test/",),
        (0, 403, 0),
    ),
    Curl("curl-address", "curl to an address", f"403; {NOTHING}", (f"https://{EVIL}/",), DENIED),
    Curl(
        "curl-own-proxy",
        "curl with a proxy of the attacker's",
        "nothing leaves the session's network namespace",
        ("--proxy", f"http://{EVIL}:8080", "https://allowed.test/"),
        (COULD_NOT_CONNECT, 0, 0),
    ),
    Curl(
        "curl-no-variables",
        "the proxy variables unset",
        "no name is resolved, nothing leaves",
        ("https://allowed.test/",),
        (COULD_NOT_RESOLVE, 0, 0),
        UNSET,
    ),
    Curl(
        "curl-no-proxy",
        "NO_PROXY=*",
        "no name is resolved, nothing leaves",
        ("https://evil.test/",),
        (COULD_NOT_RESOLVE, 0, 0),
        (),
        NO_PROXY,
    ),
    Curl(
        "curl-no-proxy-resolve",
        "NO_PROXY=* with curl --resolve",
        "nothing leaves",
        (*TO_EVIL, "https://allowed.test/"),
        (COULD_NOT_CONNECT, 0, 0),
        (),
        NO_PROXY,
    ),
    Curl(
        "curl-doh",
        "NO_PROXY=* with DNS over HTTPS to an address of the attacker's",
        "nothing leaves",
        ("--doh-url", f"https://{EVIL}/dns-query", "https://evil.test/"),
        (COULD_NOT_RESOLVE, 0, 0),
        (),
        NO_PROXY,
    ),
]


@table(TOPIC, CURLS)
def test_curl(case: Curl, rig: Rig, desk: Session) -> None:
    with rig.outside.watch() as seen:
        ended = desk.run(proxied, "curl", case.arguments, case.unset, dict(case.variables))
    assert tuple(ended) == case.ends
    if case.ends == REACHED:
        assert [request.place for request in seen.requests] == [(ALLOWED, 443)]
        assert {place for place in seen.places if place[2] != DNS} == {(ALLOWED, "tcp", 443)}
        assert {query.name for query in seen.queries} == {"allowed.test"}
    else:
        assert_nothing_arrived(seen)
    assert {packet.destination for packet in seen.from_source(desk.address)} <= {desk.gateway}


def test_the_same_calls_get_out_where_nothing_holds_them_back(rig: Rig, control: Session) -> None:
    for arguments in (("https://evil.test/",), (*TO_EVIL, "https://allowed.test/"), ("http://evil.test/",)):
        with rig.outside.watch() as seen:
            code, *_ = control.run(proxied, "curl", arguments, [], {})
        assert code == 0
        assert {request.place[0] for request in seen.requests} == {EVIL}


@dataclass(frozen=True)
class Name(Case):
    """A CONNECT.

    Attributes:
        authority: Its target.
        answer: Status and rule.
    """

    authority: str
    answer: tuple[int, str]


@table(
    TOPIC,
    [
        Name("own-mcp", "the MCP host of the session's own agent", "tunnel", "desk-mcp.test:443", (200, "")),
        Name(
            "others-mcp",
            "the MCP host of another session of the environment",
            f"403 host-not-allowed; {NOTHING}, no query",
            "lab-mcp.test:443",
            (403, "host-not-allowed"),
        ),
        Name(
            "dns-by-connect",
            "data in the name of a CONNECT, for a resolver to carry out",
            f"403 host-not-allowed; {NOTHING}, no query",
            "c2VjcmV0.tunnel.invalid:443",
            (403, "host-not-allowed"),
        ),
        Name("gateway-itself", "the gateway's own loopback address", f"403; {NOTHING}", "127.0.0.1:9901", (403, "")),
        Name(
            "session-by-connect",
            "another session's address by the gateway",
            f"403; {NOTHING}",
            "10.210.0.3:9000",
            (403, ""),
        ),
    ],
)
def test_connect(case: Name, rig: Rig, desk: Session) -> None:
    with rig.outside.watch() as seen:
        status, rule = desk.run(proxied, "connect", case.authority)
    assert status == case.answer[0]
    assert rule == case.answer[1] or (status == 403 and not case.answer[1] and rule)
    if status == 403:
        assert_nothing_arrived(seen)


@single(
    TOPIC,
    "python-allowed",
    "Python's urllib to an allowed host and to another",
    "reaches ALLOWED; 403, nothing arrives",
)
def test_python(case: Case, rig: Rig, desk: Session) -> None:
    with rig.outside.watch() as seen:
        assert desk.run(proxied, "urllib", "https://allowed.test/") == 200
    assert [request.place for request in seen.requests] == [(ALLOWED, 443)]
    with rig.outside.watch() as seen:
        assert "403" in desk.run(proxied, "urllib", "https://evil.test/")
    assert_nothing_arrived(seen)


@single(
    TOPIC,
    "each-its-own",
    "two sessions of one environment ask for each other's MCP hosts",
    "each reaches its own alone",
)
def test_sessions_differ(case: Case, desk: Session, lab: Session) -> None:
    answers = {
        (session.name, host): session.run(proxied, "connect", f"{host}-mcp.test:443")[0]
        for session in (desk, lab)
        for host in ("desk", "lab")
    }
    assert answers == {("desk", "desk"): 200, ("desk", "lab"): 403, ("lab", "desk"): 403, ("lab", "lab"): 200}
