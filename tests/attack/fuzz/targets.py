"""What is fuzzed: each target takes bytes, and raises when the gateway does what it must not."""

from collections.abc import Callable, Sequence

from egress_gateway.denial import RULES, Denied
from egress_gateway.names import authority

from tests.attack.fuzz import oracle
from tests.attack.fuzz.harness import Harness
from tests.attack.rig.client_hello import ClientHello, encrypted_client_hello, hello, server_name

CONNECT = b"CONNECT allowed.test:443 HTTP/1.1\r\nHost: allowed.test:443\r\n\r\n"
ESTABLISHED = b"HTTP/1.1 200 "


class Target:
    """One thing to fuzz.

    Attributes:
        seeds: Inputs to start from.
        words: Pieces that mutations put together.
    """

    seeds: Sequence[bytes] = ()
    words: Sequence[bytes] = ()

    def check(self, data: bytes) -> None:
        """Put one input to the gateway.

        Raises:
            AssertionError: The gateway let something pass that the oracle does not allow, or gave no proper denial.
        """
        raise NotImplementedError


class Authority(Target):
    """The target of CONNECT, up to the canonical name."""

    words = (
        b"allowed", b"test", b"evil", b"wild", b"xn--bcher-kva", b".", b"..", b":", b":443", b":80", b"443", b"0",
        b"[", b"]", b"@", b"#", b"?", b"/", b"\\", b"%2e", b"%00", b"\0", b" ", b"\t", b"+", b"-", b"_", b"*",
        b"10.77.0.66", b"0x0a4d0042", b"172818498", b"[::1]", b"::ffff:10.77.0.66", b"ALLOWED", b"xn--", b"\xc3\xbc",
        b"\xe3\x80\x82", b"\xef\xbc\x8e", b"a" * 63, b"a" * 64, b"\r", b"\n",
    )  # fmt: skip
    seeds = (b"allowed.test:443", b"a.b.wild.test:443", b"xn--bcher-kva.test.:443", b"10.77.0.66:443", b"[fd77::1]:443")

    def check(self, data: bytes) -> None:
        try:
            host, port = authority(data)
        except Denied as refusal:
            rule = refusal.rule
        else:
            self._check_accepted(data, host, port)
            return
        assert rule in ("bad-authority", "bad-host", "address-literal"), rule
        assert oracle.allowed_host(data) is None or b"--" in data, "an allowed spelling is refused"

    def _check_accepted(self, data: bytes, host: str, port: int) -> None:
        written = data.rpartition(b":")[0].decode("ascii")
        assert host == written.lower().removesuffix("."), "the name is another than was written"
        assert str(port).encode() == data.rpartition(b":")[2], "the port is another than was written"
        assert 0 < port < 65536
        assert not oracle.is_address(host), "an address passes as a name"
        assert len(host) <= 253
        assert all(0 < len(label) < 64 for label in host.split("."))
        assert authority(f"{host}:{port}".encode()) == (host, port), "the canonical name is not stable"


class Head(Target):
    """A whole request, through the protocol object of the proxy port, in one piece or many."""

    words = (
        b"CONNECT ", b"GET ", b"OPTIONS ", b"PRI ", b"allowed.test:443", b"evil.test:443", b"a.wild.test:443",
        b"wild.test:443", b" HTTP/1.1", b" HTTP/1.0", b" HTTP/2.0", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b"\t",
        b"\0", b"Host: allowed.test\r\n", b"Host: evil.test\r\n", b"Content-Length: 5\r\n", b"Content-Length: 6\r\n",
        b"Transfer-Encoding: chunked\r\n", b"Connection: upgrade\r\nUpgrade: h2c\r\n",
        b"Proxy-Authorization: Basic YTpi\r\n", b"http://evil.test/", b"/model/", b"*",
        b"X: " + b"a" * 3000 + b"\r\n", b"Expect: 100-continue\r\n", b"hello", b"0\r\n\r\n", b"\x16\x03\x01",
        b"\xff",
    )  # fmt: skip
    seeds = (
        CONNECT,
        CONNECT.replace(b"allowed", b"evil"),
        b"GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n",
        b"POST /model/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        CONNECT + hello(b"allowed.test"),
    )

    def __init__(self) -> None:
        self._harness = Harness()

    def check(self, data: bytes) -> None:
        harness = self._harness
        # The first byte says in how many pieces the rest arrives.
        step = data[0] * 4 + 1 if data else 1
        data = data[1:]
        pieces = [data[index : index + step] for index in range(0, len(data), step)][:40]
        sent = b"".join(pieces)
        harness.run(pieces)
        allowed = oracle.connect_host(sent)
        assert not harness.faults, harness.faults
        assert set(harness.asked) <= {allowed}, f"resolved {harness.asked}"
        _check_answer(harness.answer, established=bool(harness.asked))
        _check_upstream(harness, sent)


class Hello(Target):
    """The first bytes of a tunnel to allowed.test, through the same protocol object."""

    words = (
        b"allowed.test", b"evil.test", b"ALLOWED.TEST", b"\0", b"\x16\x03\x01", b"\x16\x03\x03", b"\x15\x03\x03",
        b"\x01\x00", b"\x00\x00", b"\xfe\x0d", b"\x00\x0c", b"\x00\x0f", b"\x00\x11", b"\xff\xff",
        b"GET / HTTP/1.1\r\n\r\n", b"\x80\x2e\x01\x03\x01", b"SSH-2.0-x\r\n",
    )  # fmt: skip
    seeds = (
        hello(b"allowed.test"),
        hello(b"evil.test"),
        hello(b"allowed.test", record_bytes=40),
        hello(b"allowed.test", b"evil.test"),
        ClientHello().encode(),
        ClientHello([encrypted_client_hello(), server_name(b"allowed.test")]).encode(),
        ClientHello([server_name(b"allowed.test"), server_name(b"evil.test")]).encode(),
    )

    def __init__(self) -> None:
        self._harness = Harness()

    def check(self, data: bytes) -> None:
        harness = self._harness
        step = data[0] * 4 + 1 if data else 1
        data = data[1:]
        pieces = [data[index : index + step] for index in range(0, len(data), step)][:40]
        harness.run([CONNECT, *pieces])
        assert not harness.faults, harness.faults
        assert harness.asked == ["allowed.test"], harness.answer
        _check_answer(harness.answer, established=True)
        _check_upstream(harness, CONNECT + b"".join(pieces))


def _check_answer(answer: bytes, *, established: bool) -> None:
    """Nothing, a tunnel, or a denial in the one form that denials have."""
    if answer.startswith(ESTABLISHED):
        assert established, "a tunnel without a name"
        return
    if not answer:
        return
    head, _, _ = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    status = int(lines[0].split(b" ")[1])
    assert 400 <= status < 600, lines[0]
    rules = [line.removeprefix(b"x-egress-rule: ").decode() for line in lines if line.startswith(b"x-egress-rule: ")]
    assert len(rules) == 1, head
    assert rules[0] in RULES
    assert rules[0] != "internal-error", head


def _check_upstream(harness: Harness, sent: bytes) -> None:
    """Whatever went up is what was sent behind the head, and begins with a ClientHello for the tunnel's host."""
    if harness.upstream:
        assert sent.endswith(harness.upstream), "the gateway changed the bytes"
        assert oracle.server_name(harness.upstream) == oracle.connect_host(sent), "another server's hello went up"


TARGETS: dict[str, Callable[[], Target]] = {"authority": Authority, "head": Head, "hello": Hello}
