"""The first bytes of a tunnel: a TLS ClientHello for the tunnel's own host, or nothing goes up."""

import ssl
from dataclasses import dataclass

import pytest

from tests.attack.cases import Case, single, table
from tests.attack.checks import assert_open, decision_since
from tests.attack.rig.client import get, read_until_closed
from tests.attack.rig.client_hello import ClientHello, encrypted_client_hello, hello, server_name
from tests.attack.rig.gateway import Gateway
from tests.attack.rig.upstream import WEBSOCKET_GREETING
from tests.attack.rig.world import ALLOWED, World

NAME = b"allowed.test"
TLS_HANDSHAKE, TLS_ALERT = 0x16, 0x15


@dataclass(frozen=True)
class FirstBytes(Case):
    """What a client sends after `200`.

    Attributes:
        data: The bytes.
        rule: Rule that cuts the tunnel; empty: the bytes reach ALLOWED and it answers.
    """

    data: bytes
    rule: str


def passes(name: str, title: str, data: bytes) -> FirstBytes:
    """First bytes that must reach ALLOWED."""
    return FirstBytes(name, title, "passed to ALLOWED unchanged", data, "")


def cut(name: str, title: str, data: bytes, rule: str) -> FirstBytes:
    """First bytes that must end the tunnel."""
    return FirstBytes(name, title, f"cut, {rule}; not a byte to any server", data, rule)


def raw(*extensions: tuple[int, bytes]) -> bytes:
    """A hello with just these extensions before the usual ones."""
    return ClientHello(extensions).encode()


MISMATCH, MISSING, NOT_TLS = "sni-mismatch", "sni-missing", "not-tls"
HELLOS = [
    passes("sni-exact", "the tunnel's own name", hello(NAME)),
    passes("sni-upper-case", "the same in upper case", hello(b"ALLOWED.TEST")),
    passes("sni-fragmented", "a hello in records of 64 bytes", hello(NAME, record_bytes=64)),
    passes("sni-fragmented-fine", "a hello in records of one byte", hello(NAME, record_bytes=1)),
    passes("sni-padded", "a hello of 8 KiB", hello(NAME, padding=8000)),
    passes(
        "ech-grease",
        "an Encrypted Client Hello extension, outer name allowed",
        raw(encrypted_client_hello(), server_name(NAME)),
    ),
    cut(
        "ech-outer-evil",
        "an Encrypted Client Hello, outer name another",
        raw(encrypted_client_hello(), server_name(b"evil.test")),
        MISMATCH,
    ),
    cut("ech-no-outer", "an Encrypted Client Hello without an outer name", raw(encrypted_client_hello()), MISSING),
    cut("sni-evil", "another name", hello(b"evil.test"), MISMATCH),
    cut("sni-other-allowed", "another name that is allowed too", hello(b"a.wild.test"), MISMATCH),
    cut("sni-below", "a name below the tunnel's", hello(b"sub.allowed.test"), MISMATCH),
    cut("sni-prefix", "the tunnel's name at the beginning", hello(b"allowed.test.evil.test"), MISMATCH),
    cut("sni-suffix", "the tunnel's name at the end", hello(b"notallowed.test"), MISMATCH),
    cut("sni-absent", "no name", raw(), MISSING),
    cut("sni-evil-fragmented", "another name in records of 8 bytes", hello(b"evil.test", record_bytes=8), MISMATCH),
    cut("sni-address", "an address as name", hello(b"10.77.0.10"), MISMATCH),
    cut("sni-space", "a space after the name", hello(NAME + b" "), MISMATCH),
    cut("sni-empty-name", "an empty name", hello(b""), MISSING),
    cut("sni-empty-list", "an empty list of names", raw(server_name()), NOT_TLS),
    cut("sni-empty-extension", "an empty extension", raw((0, b"")), NOT_TLS),
    cut("sni-nul", "a zero byte in the name", hello(NAME + b"\0.evil.test"), NOT_TLS),
    cut("sni-two-names", "two names, the allowed one first", hello(NAME, b"evil.test"), NOT_TLS),
    cut("sni-two-names-reversed", "two names, the allowed one last", hello(b"evil.test", NAME), NOT_TLS),
    cut(
        "sni-two-extensions",
        "two extensions, the allowed one first",
        raw(server_name(NAME), server_name(b"evil.test")),
        NOT_TLS,
    ),
    cut("sni-other-kind", "a name of an unknown kind", raw(server_name(NAME, kind=1)), NOT_TLS),
    cut("sni-utf-8", "a name in UTF-8", hello("bücher.test".encode()), NOT_TLS),
    cut("sni-control", "control characters in the name", hello(b"evil\x1b[2J.test"), MISMATCH),
    cut("sni-long", "a name of 300 bytes", hello(b"a" * 300), NOT_TLS),
    cut("hello-too-large", "a hello of 20 KiB", hello(NAME, padding=20_000, record_bytes=8000), "hello-too-large"),
    cut("http", "an HTTP request", b"GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n", NOT_TLS),
    cut("http2-prior-knowledge", "the HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NOT_TLS),
    cut("ssh", "an SSH banner", b"SSH-2.0-OpenSSH_9.2\r\n", NOT_TLS),
    cut("smtp", "an SMTP greeting", b"EHLO allowed.test\r\n", NOT_TLS),
    cut(
        "dns",
        "a DNS query over TCP",
        b"\x00\x1d\x12\x34\x01\x00\x00\x01\0\0\0\0\0\0\x04evil\x04test\0\0\x01\0\x01",
        NOT_TLS,
    ),
    cut("socks", "a SOCKS greeting", b"\x05\x01\x00\x05\x01\x00\x03\x09evil.test\x01\xbb", NOT_TLS),
    cut("zeros", "a kilobyte of zeros", bytes(1024), NOT_TLS),
    cut("noise", "a kilobyte of noise", bytes((index * 167 + 13) % 256 for index in range(1024)), NOT_TLS),
    cut("tls-application-data", "TLS application data first", b"\x17\x03\x03\x00\x05hello", NOT_TLS),
    cut("tls-alert", "a TLS alert first", b"\x15\x03\x03\x00\x02\x02\x28", NOT_TLS),
    cut("server-hello", "a ServerHello", b"\x16\x03\x03\x00\x2c\x02\x00\x00\x28\x03\x03" + bytes(38), NOT_TLS),
    cut("record-too-long", "a record longer than TLS allows", b"\x16\x03\x01\xff\xff" + bytes(2000), NOT_TLS),
]


@table("First bytes of a tunnel", HELLOS)
def test_first_bytes(case: FirstBytes, world: World, gateway: Gateway) -> None:
    start = len(gateway.raw_log())
    with world.watch() as seen:
        reply, connection = world.desk.open("allowed.test:443")
        assert reply.status == 200
        with connection:
            connection.sendall(case.data)
            if case.rule:
                answer = read_until_closed(connection, seconds=3)
                assert answer[:1] in (b"", bytes([TLS_ALERT]))
            else:
                connection.settimeout(3)
                assert connection.recv(1) == bytes([TLS_HANDSHAKE])
    decision = decision_since(gateway, start)
    if case.rule:
        assert (decision["verdict"], decision["rule"], seen.bytes) == ("denied", case.rule, 0)
        assert_open(world)
    else:
        assert (decision["verdict"], seen.addresses) == ("allowed", {ALLOWED})
        assert seen.bytes >= len(case.data)


SLOW = [
    cut("silence", "nothing at all", b"", "hello-too-slow"),
    cut("half-hello", "half a hello, then nothing", hello(NAME)[:100], "hello-too-slow"),
    cut("hello-less-a-byte", "a hello without its last byte", hello(NAME)[:-1], "hello-too-slow"),
    cut("announced-record", "the head of a record that never comes", b"\x16\x03\x01\x02\x00", "hello-too-slow"),
]


@table("First bytes of a tunnel", SLOW)
def test_first_bytes_that_do_not_end(case: FirstBytes, world: World, gateway: Gateway) -> None:
    start = len(gateway.raw_log())
    with world.watch() as seen:
        answer = world.desk.hello("allowed.test:443", case.data)
    assert answer[:1] in (b"", bytes([TLS_ALERT]))
    assert (decision_since(gateway, start)["rule"], seen.bytes) == (case.rule, 0)
    assert_open(world)


@single(
    "First bytes of a tunnel",
    "hello-left",
    "the client leaves before its hello is whole",
    "cut, not a byte to any server",
)
def test_client_that_leaves(case: Case, world: World, gateway: Gateway) -> None:
    start = len(gateway.raw_log())
    with world.watch() as seen:
        reply, connection = world.desk.open("allowed.test:443")
        with connection:
            connection.sendall(hello(NAME)[:50])
        assert reply.status == 200
        assert decision_since(gateway, start)["verdict"] == "denied"
    assert seen.bytes == 0
    assert_open(world)


@table(
    "First bytes of a tunnel",
    [
        passes("hello-dribbled", "a hello that arrives byte by byte", hello(NAME)),
        cut("hello-dribbled-evil", "another name's hello, byte by byte", hello(b"evil.test"), MISMATCH),
    ],
)
def test_dribbled(case: FirstBytes, world: World, gateway: Gateway) -> None:
    start = len(gateway.raw_log())
    with world.watch() as seen:
        _, connection = world.desk.open("allowed.test:443")
        with connection:
            for index in range(len(case.data)):
                connection.sendall(case.data[index : index + 1])
            connection.settimeout(3)
            first = connection.recv(1)
    if case.rule:
        assert first in (b"", bytes([TLS_ALERT]))
        assert (decision_since(gateway, start)["rule"], seen.bytes) == (case.rule, 0)
        assert_open(world)
    else:
        assert (first, seen.addresses) == (bytes([TLS_HANDSHAKE]), {ALLOWED})


@table(
    "First bytes of a tunnel",
    [
        passes("hello-with-head", "the hello in one packet with CONNECT", hello(NAME)),
        cut("hello-with-head-evil", "another name's hello in one packet with CONNECT", hello(b"evil.test"), MISMATCH),
        cut(
            "http-with-head",
            "a second request in one packet with CONNECT",
            b"GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
            NOT_TLS,
        ),
    ],
)
def test_sent_with_the_head(case: FirstBytes, world: World, gateway: Gateway) -> None:
    start = len(gateway.raw_log())
    with world.watch() as seen, world.desk.dial() as connection:
        connection.sendall(b"CONNECT allowed.test:443 HTTP/1.1\r\nHost: allowed.test:443\r\n\r\n" + case.data)
        connection.settimeout(3)
        # The server answers with a handshake record; up to its first byte everything is the gateway's.
        answer = b""
        while not answer.endswith((b"\r\n\r\n\x16", b"\r\n\r\n\x15")) and (data := connection.recv(1)):
            answer += data
    if case.rule:
        assert not answer.endswith(b"\x16")
        assert (decision_since(gateway, start)["rule"], seen.bytes) == (case.rule, 0)
        assert_open(world)
    else:
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"\r\n\r\n\x16")
        assert seen.addresses == {ALLOWED}


@single("Inside a tunnel", "websocket", "a WebSocket", "works, both ways")
def test_websocket(case: Case, world: World, gateway: Gateway) -> None:
    reply, connection = world.desk.open("allowed.test:443")
    assert reply.status == 200
    with connection, world.trust.wrap_socket(connection, server_hostname="allowed.test") as tls:
        tls.sendall(
            b"GET /websocket HTTP/1.1\r\nHost: allowed.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        answer = b""
        while WEBSOCKET_GREETING not in answer:
            answer += tls.recv(4096)
        assert answer.startswith(b"HTTP/1.1 101 ")
        tls.sendall(b"\x81\x84\0\0\0\0ping")
        assert tls.recv(4096) == b"\x81\x84\0\0\0\0ping"


@single(
    "Inside a tunnel",
    "redirect",
    "the allowed host redirects to another",
    "the session gets the redirect, and 403 where it leads",
)
def test_redirect_to_a_denied_host(case: Case, world: World, gateway: Gateway) -> None:
    with world.watch() as seen:
        reply, connection = world.desk.open("allowed.test:443")
        assert reply.status == 200
        with connection, world.trust.wrap_socket(connection, server_hostname="allowed.test") as tls:
            answer = get(tls, "allowed.test", "/redirect?to=https://evil.test/")
        assert (answer.status, answer.headers["location"]) == (302, "https://evil.test/")
        denied = world.desk.connect("evil.test:443")
    assert (denied.status, denied.rule) == (403, "host-not-allowed")
    assert seen.addresses == {ALLOWED}
    assert not [query for query in seen.queries if query.name == "evil.test"]


@single(
    "Inside a tunnel",
    "certificate",
    "the session checks the allowed host's own certificate",
    "no authority of the gateway in between",
)
def test_certificate_is_the_hosts_own(case: Case, world: World, gateway: Gateway) -> None:
    stranger = ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError):
        world.desk.https("allowed.test", stranger)
    assert_open(world)
