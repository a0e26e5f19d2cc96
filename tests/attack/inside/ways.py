"""Ways past the gateway, tried from every kind of session; each is tried first where nothing holds it back."""

from dataclasses import dataclass

from tests.attack.cases import Case
from tests.attack.inside.outside import ALLOWED, EVIL, METADATA, PUBLIC, RESOLVER, Seen

Call = tuple[str | int, ...]
"""Arguments of `tests.attack.inside.programs.network.main`."""
REFUSED = ("ConnectionRefusedError 111", "PermissionError 1", "PermissionError 13", "OSError 113", "OSError 101")
"""What a program in the session is told: by a TCP reset, or by the kernel before anything is sent."""


@dataclass(frozen=True)
class Way(Case):
    """A way.

    Attributes:
        call: The attack.
        place: Destination, protocol and port at which it arrives where nothing holds it back.
        open: Whether an unrestricted session may go it.
    """

    call: Call
    place: tuple[str, str, int]
    open: bool


def way(name: str, title: str, call: Call, place: tuple[str, str, int], *, is_open: bool = False) -> Way:
    """A way that no limited session can go."""
    return Way(name, title, "nothing leaves the session's network namespace", call, place, is_open)


def _tcp(name: str, title: str, address: str, port: int, *, is_open: bool = False) -> Way:
    return way(name, title, ("tcp", address, port), (address, "tcp", port), is_open=is_open)


def _udp(name: str, title: str, address: str, port: int, *, is_open: bool = False) -> Way:
    return way(name, title, ("udp", address, port), (address, "udp", port), is_open=is_open)


NAME = "c2VjcmV0.tunnel.invalid"
"""What a tunnel through DNS asks for: the data is in the name."""

WAYS = [
    _tcp("direct-https", "TCP to a public address, port 443", PUBLIC, 443, is_open=True),
    _tcp("direct-http", "TCP to a public address, port 80", PUBLIC, 80, is_open=True),
    _tcp("direct-high-port", "TCP to a public address, a port above 1024", PUBLIC, 8080, is_open=True),
    _tcp("direct-allowed-host", "TCP straight to the address of an allowed host", ALLOWED, 443),
    _tcp("direct-private", "TCP to a private address", EVIL, 443),
    _udp("udp", "UDP to a public address", PUBLIC, 5000, is_open=True),
    way(
        "quic",
        "QUIC: a long UDP datagram to port 443",
        ("udp", PUBLIC, 443, 1200),
        (PUBLIC, "udp", 443),
        is_open=True,
    ),
    way("icmp", "ICMP echo, which needs no privilege", ("icmp", PUBLIC), (PUBLIC, "icmp", 0), is_open=True),
    way(
        "mapped-address",
        "an IPv4 address in an IPv6 socket (::ffff:)",
        ("tcp", f"::ffff:{PUBLIC}", 443),
        (PUBLIC, "tcp", 443),
        is_open=True,
    ),
    way(
        "mapped-metadata",
        "a metadata address in an IPv6 socket (::ffff:)",
        ("tcp", f"::ffff:{METADATA[0]}", 80),
        (METADATA[0], "tcp", 80),
    ),
    *(
        _tcp(f"metadata-{address.replace('.', '-')}", f"metadata service at {address}", address, 80)
        for address in METADATA
    ),
    _udp("metadata-udp", "a metadata address by UDP", METADATA[0], 80),
    way("metadata-icmp", "a metadata address by ICMP", ("icmp", METADATA[0]), (METADATA[0], "icmp", 0)),
    _tcp("private-172", "TCP to 172.16.0.0/12", "172.30.0.1", 443),
    _tcp("private-192", "TCP to 192.168.0.0/16", "192.168.0.1", 443),
    _tcp("carrier-grade-nat", "TCP to 100.64.0.0/10", "100.64.0.1", 443),
    _tcp("benchmarking", "TCP to 198.18.0.0/15", "198.18.0.1", 443),
    _udp("private-udp", "UDP to a private address", "192.168.0.1", 53),
    _tcp("dns-over-tls", "DNS over TLS, port 853", PUBLIC, 853, is_open=True),
    way(
        "dns-foreign-udp",
        "a DNS question to a resolver of the attacker's",
        ("dns", PUBLIC, "udp", NAME, "TXT"),
        (PUBLIC, "udp", 53),
        is_open=True,
    ),
    way(
        "dns-foreign-tcp",
        "the same by TCP",
        ("dns", PUBLIC, "tcp", NAME, "TXT"),
        (PUBLIC, "tcp", 53),
        is_open=True,
    ),
    way(
        "dns-resolver-udp",
        "a DNS question straight to the resolver of the host",
        ("dns", RESOLVER, "udp", NAME, "TXT"),
        (RESOLVER, "udp", 53),
        is_open=True,
    ),
    way(
        "dns-resolver-tcp",
        "the same by TCP",
        ("dns", RESOLVER, "tcp", NAME, "A"),
        (RESOLVER, "tcp", 53),
        is_open=True,
    ),
    way(
        "dns-engine-udp",
        "a DNS question to the engine's own resolver, 127.0.0.11 (CVE-2024-29018)",
        ("dns", "127.0.0.11", "udp", NAME, "TXT"),
        (RESOLVER, "udp", 53),
        is_open=True,
    ),
    way(
        "dns-engine-tcp",
        "the same by TCP",
        ("dns", "127.0.0.11", "tcp", NAME, "A"),
        (RESOLVER, "tcp", 53),
        is_open=True,
    ),
    way(
        "dns-engine-ports",
        "the same on the ports that the engine's resolver really listens on",
        ("embedded", NAME, "A"),
        (RESOLVER, "udp", 53),
        is_open=True,
    ),
    way(
        "dns-library",
        "a name looked up with the C library",
        ("resolve", NAME),
        (RESOLVER, "udp", 53),
        is_open=True,
    ),
]


def assert_nothing_arrived(seen: Seen) -> None:
    """Nothing came beyond the Docker host, nor to servers on it."""
    assert (seen.arrived, seen.queries, seen.requests, seen.host) == (set(), [], [], [])
