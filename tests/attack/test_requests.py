"""Requests other than CONNECT, and heads that are not what HTTP allows: nothing but a tunnel or a route leaves."""

from dataclasses import dataclass

from tests.attack.cases import Case, single, table
from tests.attack.checks import assert_denial, assert_open, assert_untouched, decision_since
from tests.attack.rig.client import read_until_closed
from tests.attack.rig.client_hello import hello
from tests.attack.rig.gateway import Gateway, wait_for
from tests.attack.rig.world import World

PLAIN, METHOD, ROUTE, MALFORMED = "plain-http", "method-refused", "unknown-route", "malformed-request"
HOST = b"Host: allowed.test\r\n"
CONNECT = b"CONNECT allowed.test:443 HTTP/1.1\r\nHost: allowed.test:443\r\n"


@dataclass(frozen=True)
class Request(Case):
    """Bytes for the gateway's port.

    Attributes:
        data: What is sent.
        rule: Rule that denies it.
        status: Of the denial.
    """

    data: bytes
    rule: str
    status: int


def denied(name: str, title: str, data: bytes, rule: str, status: int = 403) -> Request:
    """A request that is refused without a query or a connection."""
    return Request(name, title, f"{status} {rule}, no query, no connection", data, rule, status)


def get(target: bytes, *headers: bytes, method: bytes = b"GET") -> bytes:
    """A request with a Host header."""
    return method + b" " + target + b" HTTP/1.1\r\n" + HOST + b"".join(line + b"\r\n" for line in headers) + b"\r\n"


def malformed(name: str, title: str, data: bytes) -> Request:
    """A request that no parser must guess at."""
    return denied(name, title, data, MALFORMED, 400)


FORMS = [
    denied("absolute-allowed", "plain http to an allowed host", get(b"http://allowed.test/"), PLAIN),
    denied("absolute-evil", "plain http to another host", get(b"http://evil.test/"), PLAIN),
    denied("absolute-https", "https in absolute form", get(b"https://allowed.test/"), PLAIN),
    denied("absolute-ftp", "ftp in absolute form", get(b"ftp://evil.test/"), PLAIN),
    denied("absolute-userinfo", "absolute form with userinfo", get(b"http://allowed.test@evil.test/"), PLAIN),
    denied("absolute-metadata", "the metadata service in absolute form", get(b"http://169.254.169.254/latest/"), PLAIN),
    denied("absolute-own", "the gateway's metrics in absolute form", get(b"http://127.0.0.1:9901/metrics"), PLAIN),
    denied("absolute-upper-case", "a scheme in upper case", get(b"HTTP://evil.test/"), PLAIN),
    denied(
        "absolute-post",
        "POST in absolute form",
        get(b"http://evil.test/", b"Content-Length: 5", method=b"POST") + b"hello",
        PLAIN,
    ),
    denied("origin-root", "the root path", get(b"/"), ROUTE),
    denied("origin-unknown", "a path of no route", get(b"/evil"), ROUTE),
    denied("origin-metrics", "the metrics' path", get(b"/metrics"), ROUTE),
    denied("origin-healthz", "the health check's path", get(b"/healthz"), ROUTE),
    denied("origin-two-slashes", "two slashes and a host", get(b"//evil.test/"), ROUTE),
    denied("origin-url", "a URL as path", get(b"/http://evil.test/"), ROUTE),
    denied("origin-dots", "dots before a route", get(b"/../model/"), ROUTE),
    denied("origin-encoded-route", "a route's name percent-encoded", get(b"/%6dodel/"), ROUTE),
    denied("origin-route-upper-case", "a route's name in upper case", get(b"/MODEL/"), ROUTE),
    denied("origin-route-longer", "a route's name and more", get(b"/modelx/"), ROUTE),
    denied("options-star", "OPTIONS *", get(b"*", method=b"OPTIONS"), METHOD),
    denied("options-absolute", "OPTIONS in absolute form", get(b"http://allowed.test/", method=b"OPTIONS"), PLAIN),
    denied("trace", "TRACE", get(b"http://allowed.test/", b"Max-Forwards: 0", method=b"TRACE"), PLAIN),
    denied("trace-star", "TRACE *", get(b"*", method=b"TRACE"), METHOD),
    denied("connect-lower-case", "connect in lower case", get(b"allowed.test:443", method=b"connect"), METHOD),
    denied("get-authority", "GET with an authority", get(b"allowed.test:443"), METHOD),
    denied(
        "put-authority", "PUT with an authority", get(b"evil.test:443", b"Content-Length: 0", method=b"PUT"), METHOD
    ),
    denied(
        "h2c-absolute",
        "upgrade to h2c, absolute form",
        get(
            b"http://allowed.test/",
            b"Connection: Upgrade, HTTP2-Settings",
            b"Upgrade: h2c",
            b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
        ),
        PLAIN,
    ),
    denied(
        "h2c-origin",
        "upgrade to h2c, origin form",
        get(b"/", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"),
        ROUTE,
    ),
    denied(
        "websocket-absolute",
        "a WebSocket without a tunnel",
        get(b"http://allowed.test/websocket", b"Connection: Upgrade", b"Upgrade: websocket"),
        PLAIN,
    ),
    denied(
        "route-upgrade",
        "a WebSocket on a route",
        get(
            b"/model/websocket",
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ),
        "upgrade-refused",
    ),
    denied("connect-path", "CONNECT with a path", get(b"/model/", method=b"CONNECT"), "bad-authority"),
]

LARGE = b"X-Filler: " + b"a" * 20_000
HEADS = [
    malformed("http2-preface", "the HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    malformed("http-0.9", "HTTP/0.9", b"GET http://evil.test/\r\n\r\n"),
    malformed(
        "http-2-version",
        "version 2.0 in an HTTP/1 head",
        b"CONNECT allowed.test:443 HTTP/2.0\r\nHost: allowed.test\r\n\r\n",
    ),
    malformed("tls-to-proxy", "a ClientHello to the proxy port", hello(b"evil.test") + b"\r\n\r\n"),
    malformed("socks4", "SOCKS 4", b"\x04\x01\x01\xbb\x0a\x4d\x00\x42\x00\r\n\r\n"),
    malformed("socks5", "SOCKS 5", b"\x05\x01\x00\x05\x01\x00\x03\x09evil.test\x01\xbb\r\n\r\n"),
    malformed("noise-to-proxy", "noise", bytes((index * 89 + 7) % 256 for index in range(2048)) + b"\r\n\r\n"),
    malformed("zeros-to-proxy", "zeros", bytes(512) + b"\r\n\r\n"),
    malformed(
        "lengths-differ",
        "two lengths that differ",
        get(b"/model/", b"Content-Length: 5", b"Content-Length: 6", method=b"POST") + b"helloo",
    ),
    malformed(
        "lengths-list",
        "a list of lengths that differ",
        get(b"/model/", b"Content-Length: 5, 6", method=b"POST") + b"helloo",
    ),
    malformed(
        "length-and-chunked",
        "a length and chunks",
        get(b"/model/", b"Content-Length: 4", b"Transfer-Encoding: chunked", method=b"POST")
        + b"0\r\n\r\nGET /lab-model/ HTTP/1.1\r\n\r\n",
    ),
    malformed(
        "chunked-twice",
        "chunked twice",
        get(b"/model/", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", method=b"POST") + b"0\r\n\r\n",
    ),
    malformed("length-negative", "a negative length", get(b"/model/", b"Content-Length: -1", method=b"POST")),
    malformed(
        "length-plus", "a length with a plus sign", get(b"/model/", b"Content-Length: +5", method=b"POST") + b"hello"
    ),
    malformed("connect-length", "CONNECT with a body", CONNECT + b"Content-Length: 5\r\n\r\nhello"),
    malformed("connect-chunked", "CONNECT with chunks", CONNECT + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    malformed("header-space", "a space before a header's colon", CONNECT + b"X-A : b\r\n\r\n"),
    malformed("header-control", "a control character in a header's name", CONNECT + b"X-\x01: b\r\n\r\n"),
    malformed("header-nul", "a zero byte in a header's value", CONNECT + b"X-A: b\0c\r\n\r\n"),
    malformed("header-no-colon", "a header without a colon", CONNECT + b"X-A\r\n\r\n"),
    malformed(
        "header-first-folded",
        "a folded line before any header",
        b"CONNECT allowed.test:443 HTTP/1.1\r\n X-A: b\r\n\r\n",
    ),
    malformed("host-twice", "two Host headers", CONNECT + b"Host: evil.test\r\n\r\n"),
    malformed("host-missing", "no Host header", b"CONNECT allowed.test:443 HTTP/1.1\r\n\r\n"),
    malformed(
        "credentials-twice",
        "two sets of proxy credentials",
        CONNECT + b"Proxy-Authorization: Basic YTpi\r\nProxy-Authorization: Basic Yzpk\r\n\r\n",
    ),
    denied("head-large", "a head of 20 KB", CONNECT + LARGE + b"\r\n\r\n", "head-too-large", 431),
    denied(
        "head-many-headers",
        "2,000 headers",
        CONNECT + b"".join(b"X-%d: aaaaaa\r\n" % index for index in range(2000)) + b"\r\n",
        "head-too-large",
        431,
    ),
    denied(
        "head-long-target",
        "a target of 20 KB",
        b"CONNECT " + b"a" * 20_000 + b":443 HTTP/1.1\r\nHost: a\r\n\r\n",
        "head-too-large",
        431,
    ),
    denied("head-endless", "200 KB without an end", CONNECT + b"X-A: " + b"a" * 200_000, "head-too-large", 431),
]


def check(case: Request, world: World, gateway: Gateway) -> None:
    """Send it, then the control."""
    start = len(gateway.raw_log())
    with world.watch() as seen:
        reply = world.desk.send(case.data)
        assert_denial(reply, case.rule, status=case.status)
        decision = decision_since(gateway, start)
    assert (decision["verdict"], decision["rule"]) == ("denied", case.rule)
    assert_untouched(seen)
    assert_open(world)


@table("Forms of request", FORMS)
def test_form(case: Request, world: World, gateway: Gateway) -> None:
    check(case, world, gateway)


@table("Broken and huge heads", HEADS)
def test_head(case: Request, world: World, gateway: Gateway) -> None:
    check(case, world, gateway)


SLOW = [
    denied("slow-silence", "a connection and not a byte", b"", "head-too-slow", 408),
    denied("slow-half", "half a head, then nothing", CONNECT, "head-too-slow", 408),
    denied("slow-line", "half a request line", b"CONNECT allowed", "head-too-slow", 408),
]


@table("Broken and huge heads", SLOW)
def test_slow_head(case: Request, world: World, gateway: Gateway) -> None:
    with world.watch() as seen:
        assert_denial(world.desk.send(case.data), case.rule, status=case.status, retry=True)
    assert_untouched(seen)
    assert_open(world)


@single(
    "Broken and huge heads",
    "slow-dribble",
    "a head that arrives byte by byte for longer than allowed",
    "408 head-too-slow",
)
def test_dribbled_head(case: Case, world: World, gateway: Gateway) -> None:
    with world.watch() as seen, world.desk.dial() as connection:
        connection.settimeout(0.05)
        answer = b""
        for byte in CONNECT * 4:
            connection.sendall(bytes([byte]))
            try:
                answer = connection.recv(4096)
            except TimeoutError:
                continue
            break
    assert b"x-egress-rule: head-too-slow" in answer
    assert_untouched(seen)
    assert_open(world)


@single(
    "Forms of request",
    "pipelined-after-denial",
    "a second CONNECT behind a denied one",
    "the connection ends with the first denial",
)
def test_pipelined_after_a_denial(case: Case, world: World, gateway: Gateway) -> None:
    with world.watch() as seen, world.desk.dial() as connection:
        connection.sendall(CONNECT.replace(b"allowed", b"evil") + b"\r\n" + CONNECT + b"\r\n" + hello(b"allowed.test"))
        answer = read_until_closed(connection, seconds=3)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert_untouched(seen)


@single(
    "Forms of request", "left-at-once", "a client that connects and leaves", "nothing happens, the gateway serves on"
)
def test_client_that_leaves(case: Case, world: World, gateway: Gateway) -> None:
    with world.watch() as seen:
        for _ in range(20):
            world.desk.dial().close()
        for length in (1, 10, len(CONNECT)):
            with world.desk.dial() as connection:
                connection.sendall(CONNECT[:length])
    assert_untouched(seen)
    wait_for("the gateway is ready", lambda: gateway.admin("/readyz")[0] == 200)
    assert_open(world)
