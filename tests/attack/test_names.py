"""CONNECT targets: every spelling of a name, an address and a port."""

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address

from tests.attack.cases import Case, table
from tests.attack.checks import assert_denial, assert_open, assert_untouched, decision_since
from tests.attack.rig.gateway import Gateway
from tests.attack.rig.world import ALLOWED, EVIL, EVIL_RAW, METADATA, World

LITERAL, AUTHORITY, HOST = "address-literal", "bad-authority", "bad-host"
NOT_ALLOWED, PORT = "host-not-allowed", "port-not-allowed"


@dataclass(frozen=True)
class Target(Case):
    """A CONNECT target.

    Attributes:
        target: The bytes after CONNECT.
        rule: Rule that denies it; empty: it is allowed and leads to ALLOWED.
    """

    target: bytes
    rule: str
    status: int = 403


def denied(name: str, title: str, target: str | bytes, rule: str, status: int = 403) -> Target:
    """A target that must be refused; without a port of its own it gets 443."""
    raw = target.encode() if isinstance(target, str) else target
    return Target(name, title, f"{status} {rule}, no query, no connection", raw, rule, status)


def malformed(name: str, title: str, target: str | bytes) -> Target:
    """A target with bytes that no request target may hold."""
    return denied(name, title, target, "malformed-request", 400)


def allowed(name: str, title: str, target: str) -> Target:
    """Another spelling of an allowed name, or a name that a wildcard covers."""
    return Target(name, title, "tunnel to ALLOWED", target.encode(), "")


_EVIL, _META = int(IPv4Address(EVIL)), int(IPv4Address(METADATA))
_A, _B, _C, _D = socket.inet_aton(EVIL)
_LONGEST = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 51, "wild.test"])

LITERALS = [
    denied("ipv4", "IPv4 address inside the allowed host's own range", f"{EVIL}:443", LITERAL),
    denied("ipv4-allowed", "the allowed host's own address", f"{ALLOWED}:443", LITERAL),
    denied("ipv4-documentation", "IPv4 address of a documentation range", f"{EVIL_RAW}:443", LITERAL),
    denied("ipv4-metadata", "the metadata address", f"{METADATA}:443", LITERAL),
    denied("ipv4-metadata-80", "the metadata address on port 80", f"{METADATA}:80", LITERAL),
    denied("ipv4-loopback", "loopback", "127.0.0.1:443", LITERAL),
    denied("ipv4-zero", "the zero address", "0.0.0.0:443", LITERAL),
    denied("ipv4-own", "the gateway's own address and port", "10.200.0.2:3128", LITERAL),
    denied("ipv4-trailing-dot", "IPv4 address with a trailing dot", f"{EVIL}.:443", LITERAL),
    denied("ipv4-decimal", "IPv4 address as one decimal number", f"{_EVIL}:443", LITERAL),
    denied("ipv4-decimal-metadata", "metadata address as one decimal number", f"{_META}:443", LITERAL),
    denied("ipv4-hex", "IPv4 address as one hexadecimal number", f"{_EVIL:#x}:443", LITERAL),
    denied("ipv4-hex-upper", "hexadecimal in upper case", f"0X{_EVIL:X}:443", LITERAL),
    denied("ipv4-hex-dotted", "each byte hexadecimal", f"{_A:#x}.{_B:#x}.{_C:#x}.{_D:#x}:443", LITERAL),
    denied("ipv4-octal", "IPv4 address as one octal number", f"0{_EVIL:o}:443", LITERAL),
    denied("ipv4-octal-dotted", "each byte octal", f"0{_A:o}.0{_B:o}.0{_C:o}.0{_D:o}:443", LITERAL),
    denied("ipv4-leading-zeros", "bytes with leading zeros", "010.077.000.066:443", LITERAL),
    denied("ipv4-short-three", "three parts", f"{_A}.{_B}.{_D}:443", LITERAL),
    denied("ipv4-short-two", "two parts", f"{_A}.{_EVIL & 0xFFFFFF}:443", LITERAL),
    denied("ipv4-mixed", "hexadecimal, decimal and octal mixed", f"{_A:#x}.{_B}.0.0{_D:o}:443", LITERAL),
    denied("ipv4-number", "the number zero", "0:443", LITERAL),
    malformed("ipv4-fullwidth", "full-width digits", "\uff11\uff10.77.0.66:443"),
    malformed("ipv4-ideographic-dots", "ideographic full stops", "10。77。0。66:443"),
    denied("ipv4-in-brackets", "IPv4 address in brackets", f"[{EVIL}]:443", LITERAL),
    denied("ipv4-percent", "percent-encoded dots", "10%2e77%2e0%2e66:443", AUTHORITY),
    denied("ipv6", "IPv6 address", "[fd77::66]:443", LITERAL),
    denied("ipv6-bare", "IPv6 address without brackets", "fd77::66:443", LITERAL),
    denied("ipv6-loopback", "IPv6 loopback", "[::1]:443", LITERAL),
    denied("ipv6-mapped", "IPv4-mapped address, dotted", f"[::ffff:{EVIL}]:443", LITERAL),
    denied("ipv6-mapped-hex", "IPv4-mapped address, hexadecimal", "[::ffff:a4d:42]:443", LITERAL),
    denied("ipv6-compatible", "IPv4-compatible address", f"[::{EVIL}]:443", LITERAL),
    denied("ipv6-6to4", "6to4 address", "[2002:a4d:42::1]:443", LITERAL),
    denied("ipv6-nat64", "NAT64 address", "[64:ff9b::a4d:42]:443", LITERAL),
    denied("ipv6-nat64-metadata", "NAT64 form of the metadata address", "[64:ff9b::a9fe:a9fe]:443", LITERAL),
    denied("ipv6-zone", "IPv6 address with a zone", "[fe80::1%25lo]:443", AUTHORITY),
    denied("ipv6-metadata", "IPv6 metadata address", "[fd00:ec2::254]:443", LITERAL),
    denied("localhost", "localhost", "localhost:443", NOT_ALLOWED),
]

SPELLINGS = [
    allowed("exact", "an allowed name", "allowed.test:443"),
    allowed("upper-case", "an allowed name in upper case", "ALLOWED.TEST:443"),
    allowed("mixed-case", "an allowed name in mixed case", "aLLoWeD.tEsT:443"),
    allowed("trailing-dot", "an allowed name with a trailing dot", "allowed.test.:443"),
    allowed("named-port", "the other port that the policy names", "alt-port.test:8443"),
    allowed("wildcard-one", "one level below a wildcard", "a.wild.test:443"),
    allowed("wildcard-two", "two levels below a wildcard", "a.b.wild.test:443"),
    allowed("wildcard-upper-case", "below a wildcard in upper case", "A.WILD.TEST:443"),
    allowed("wildcard-address-like", "a name below a wildcard that begins like an address", "10.77.0.66.wild.test:443"),
    allowed("a-label", "an internationalised name as A-label", "xn--bcher-kva.test:443"),
    allowed("a-label-upper-case", "the same in upper case", "XN--BCHER-KVA.test:443"),
    allowed("a-label-sharp-s", "a name with sharp s, in IDNA 2008", "xn--strae-oqa.test:443"),
    allowed("longest-name", "a name of 253 characters below a wildcard", f"{_LONGEST}:443"),
    denied("unknown-name", "a name that no entry covers", "evil.test:443", NOT_ALLOWED),
    denied("unknown-upper-case", "the same in upper case", "EVIL.TEST:443", NOT_ALLOWED),
    denied("two-trailing-dots", "two trailing dots", "allowed.test..:443", HOST),
    denied("leading-dot", "a leading dot", ".allowed.test:443", HOST),
    denied("empty-label", "an empty label", "allowed..test:443", HOST),
    denied("bracketed-name", "brackets round an allowed name", "[allowed.test]:443", AUTHORITY),
    denied("bracketed-unknown", "brackets round another name", "[evil.test]:443", AUTHORITY),
    denied("half-bracket", "an opening bracket alone", "[allowed.test:443", AUTHORITY),
    denied("userinfo-before-evil", "allowed name as userinfo", "allowed.test@evil.test:443", AUTHORITY),
    denied("userinfo-before-allowed", "userinfo before the allowed name", "evil.test@allowed.test:443", AUTHORITY),
    denied("userinfo-password", "user and password", "user:password@allowed.test:443", AUTHORITY),
    denied("fragment", "a fragment", "evil.test#.wild.test:443", AUTHORITY),
    denied("fragment-userinfo", "a fragment and userinfo", "allowed.test#@evil.test:443", AUTHORITY),
    denied("query", "a query", "evil.test?.wild.test:443", AUTHORITY),
    denied("path", "a path", "allowed.test:443/evil.test", AUTHORITY),
    denied("path-before", "a path before the port", "evil.test/.wild.test:443", AUTHORITY),
    denied("backslash", "a backslash", "evil.test\\.wild.test:443", AUTHORITY),
    denied("percent-dot", "a percent-encoded dot", "allowed%2etest:443", AUTHORITY),
    denied("percent-letter", "a percent-encoded letter", "%61llowed.test:443", AUTHORITY),
    denied("percent-nul", "a percent-encoded zero byte", "evil.test%00.wild.test:443", AUTHORITY),
    denied("percent-at", "a percent-encoded at sign", "allowed.test%40evil.test:443", AUTHORITY),
    malformed("nul", "a zero byte", b"evil.test\0.wild.test:443"),
    malformed("space", "a space inside", "evil.test .wild.test:443"),
    malformed("tab", "a tab inside", "evil.test\t.wild.test:443"),
    denied("comma", "a list of names", "allowed.test,evil.test:443", AUTHORITY),
    denied("semicolon", "a semicolon", "allowed.test;evil.test:443", AUTHORITY),
    denied("scheme", "a whole URL", "https://allowed.test:443", AUTHORITY),
    denied("slashes", "two slashes before the name", "//allowed.test:443", AUTHORITY),
    denied("star", "a star", "*:443", AUTHORITY),
    denied("star-name", "the wildcard itself", "*.wild.test:443", AUTHORITY),
    denied("underscore", "an underscore below a wildcard", "a_b.wild.test:443", HOST),
    denied("leading-hyphen", "a label that begins with a hyphen", "-a.wild.test:443", HOST),
    denied("trailing-hyphen", "a label that ends with a hyphen", "a-.wild.test:443", HOST),
    denied("suffix-glued", "an allowed name as the end of a label", "notallowed.test:443", NOT_ALLOWED),
    denied("suffix-hyphen", "an allowed name after a hyphen", "evil-allowed.test:443", NOT_ALLOWED),
    denied("suffix-below-evil", "an allowed name below another", "allowed.test.evil.test:443", NOT_ALLOWED),
    denied("suffix-longer-tld", "an allowed name with a longer end", "allowed.testing:443", NOT_ALLOWED),
    denied("suffix-shorter-tld", "an allowed name with a shorter end", "allowed.tes:443", NOT_ALLOWED),
    denied("suffix-first-letter", "an allowed name without its first letter", "llowed.test:443", NOT_ALLOWED),
    denied("below-exact", "a name below an exact one", "sub.allowed.test:443", NOT_ALLOWED),
    denied("suffix-wild-glued", "a wildcard's name as the end of a label", "evilwild.test:443", NOT_ALLOWED),
    denied("suffix-wild-below", "a wildcard's name below another", "a.wild.test.evil.test:443", NOT_ALLOWED),
    denied("wildcard-apex", "the name of a wildcard itself", "wild.test:443", NOT_ALLOWED),
    denied("wildcard-apex-dot", "the same with a trailing dot", "wild.test.:443", NOT_ALLOWED),
    denied("top-level", "the top-level domain", "test:443", NOT_ALLOWED),
    malformed("utf-8", "an allowed internationalised name in UTF-8", "bücher.test:443"),
    malformed("latin-1", "the same in Latin-1", "bücher.test:443".encode("latin-1")),
    denied("sharp-s-mapped", "sharp s as ss, as IDNA 2003 maps it", "strasse.test:443", NOT_ALLOWED),
    denied("homoglyph", "Cyrillic a in the allowed name, as A-label", "xn--llowed-2nf.test:443", NOT_ALLOWED),
    malformed("homoglyph-utf-8", "the same in UTF-8", "\u0430llowed.test:443"),
    malformed("kelvin", "the Kelvin sign, which lower-cases to k", "\u212aelvin.wild.test:443"),
    malformed("soft-hyphen", "a soft hyphen, which IDNA drops", "al\u00adlowed.test:443"),
    malformed("zero-width", "a zero-width joiner", "al\u200dlowed.test:443"),
    malformed("ideographic-dot", "an ideographic full stop", "allowed。test:443"),
    malformed("fullwidth", "full-width letters", "\uff41llowed.test:443"),
    denied("punycode-of-ascii", "an A-label that decodes to plain ASCII", "xn--allowed-.wild.test:443", HOST),
    denied("punycode-broken", "an A-label that does not decode", "xn--0000000000.wild.test:443", HOST),
    denied("label-too-long", "a label of 64 characters", f"{'a' * 64}.wild.test:443", HOST),
    denied("name-too-long", "a name of 254 characters", f"a{_LONGEST}:443", HOST),
    denied("name-far-too-long", "a name of 8,000 characters", f"{'a.' * 3995}wild.test:443", HOST),
]

PORTS = [
    denied("port-80", "port 80 of an allowed name", "allowed.test:80", PORT),
    denied("port-22", "port 22 of an allowed name", "allowed.test:22", PORT),
    denied("port-8443", "a port that another entry names", "allowed.test:8443", PORT),
    denied("port-443-of-other", "443 of a name that has another port", "alt-port.test:443", PORT),
    denied("port-853", "DNS over TLS of an allowed name", "allowed.test:853", PORT),
    denied("port-zero", "port 0", "allowed.test:0", AUTHORITY),
    denied("port-missing", "no port", "allowed.test", AUTHORITY),
    denied("port-empty", "an empty port", "allowed.test:", AUTHORITY),
    denied("port-plus", "a plus sign", "allowed.test:+443", AUTHORITY),
    denied("port-minus", "a minus sign", "allowed.test:-443", AUTHORITY),
    denied("port-leading-zero", "a leading zero", "allowed.test:0443", AUTHORITY),
    denied("port-hex", "hexadecimal", "allowed.test:0x1bb", AUTHORITY),
    denied("port-fraction", "a fraction", "allowed.test:443.0", AUTHORITY),
    denied("port-underscore", "an underscore, which int() takes", "allowed.test:4_43", AUTHORITY),
    denied("port-name", "a service name", "allowed.test:https", AUTHORITY),
    denied("port-wrapped", "443 plus 65,536", "allowed.test:65979", AUTHORITY),
    denied("port-huge", "a number of 40 digits", f"allowed.test:{'4' * 40}", AUTHORITY),
    denied("port-two", "two ports", "allowed.test:443:443", AUTHORITY),
    denied("port-two-evil", "a name as the port", "allowed.test:evil.test:443", AUTHORITY),
    malformed("port-arabic", "Arabic-Indic digits, which int() takes", "allowed.test:٤٤٣"),
]


def check(case: Target, world: World, gateway: Gateway) -> None:
    """Put one target to the gateway, then the control."""
    start = len(gateway.raw_log())
    with world.watch() as seen:
        if case.rule:
            reply = world.desk.connect(case.target)
            body = assert_denial(reply, case.rule, status=case.status)
            assert body["session"] in ("desk", None)
        else:
            name = case.target.decode().rpartition(":")[0].rstrip(".").lower()
            reply = world.desk.https(name, world.trust_any_name, authority=case.target.decode())
            assert reply.json()["address"] == ALLOWED
    if case.rule:
        assert_untouched(seen)
        decision = decision_since(gateway, start)
        assert (decision["verdict"], decision["rule"]) == ("denied", case.rule)
        assert_open(world)
    else:
        assert seen.addresses == {ALLOWED}


@table("Addresses instead of names", LITERALS)
def test_literal(case: Target, world: World, gateway: Gateway) -> None:
    check(case, world, gateway)


@table("Spellings of names", SPELLINGS)
def test_spelling(case: Target, world: World, gateway: Gateway) -> None:
    check(case, world, gateway)


@table("Ports", PORTS)
def test_port(case: Target, world: World, gateway: Gateway) -> None:
    check(case, world, gateway)


@table(
    "Spellings of names",
    [
        Case(
            "host-header-evil", "CONNECT to an allowed name, Host of another", "tunnel to ALLOWED, Host means nothing"
        ),
        Case(
            "host-header-allowed", "CONNECT to another name, Host allowed", "403 host-not-allowed, Host means nothing"
        ),
    ],
)
def test_host_header_decides_nothing(case: Case, world: World, gateway: Gateway) -> None:
    target, header = ("allowed.test", "evil.test")[:: 1 if case.id == "host-header-evil" else -1]
    with world.watch() as seen:
        reply = world.desk.send(
            f"CONNECT {target}:443 HTTP/1.1\r\nHost: {header}:443\r\n\r\n".encode(), method="CONNECT"
        )
    if target == "allowed.test":
        assert reply.status == 200
        assert seen.addresses == {ALLOWED}
    else:
        assert_denial(reply, NOT_ALLOWED)
        assert_untouched(seen)
