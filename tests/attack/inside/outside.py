"""All that lies beyond the Docker host, played by one network namespace in which every address is local.

Whatever comes from the range of the suite's own Docker networks is led there by the host's routing, to whatever address
it goes: so nothing that a session sends can get further, and what must not arrive is seen when it does.
"""

import os
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from types import TracebackType
from typing import Self

import trustme

from tests.attack.inside.listening import Listener
from tests.attack.inside.packets import Packet, PacketLog
from tests.attack.rig.dns import DnsServer, Query, Record
from tests.attack.rig.namespace import Namespace, NamespaceError
from tests.attack.rig.upstream import Request, Upstreams

RANGE = IPv4Network("10.210.0.0/16")
"""`docker.range` of the suite's stack."""
CONTROL_NETWORK = IPv4Network("10.209.255.0/29")
"""Of the container that nothing holds back."""
RESOLVER = "10.53.0.53"
ALLOWED, ALLOWED_RANGE = "10.77.0.10", "10.77.0.0/24"
EVIL = "10.77.0.66"
"""Where all unknown names lead; in the range that is open for ALLOWED, so that no later check hides a slip."""
PUBLIC = "198.51.100.66"
HOST_PUBLIC = "203.0.113.9"
"""Declared as a public address of the Docker host, and really one while the suite runs."""
METADATA = ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16")

RECORDS = {
    "*": Record(a=(EVIL,)),
    "allowed.test": Record(a=(ALLOWED,)),
    "closing.test": Record(a=(ALLOWED,)),
    "model.test": Record(a=(ALLOWED,)),
    "desk-mcp.test": Record(a=(ALLOWED,)),
    "lab-mcp.test": Record(a=(ALLOWED,)),
}
TLS_PORTS = (443, 853)
PLAIN_PORTS = (80, 8080)
HOST_PORT = 8099

_UPLINK, _HERE, _THERE = "attack-uplink", "10.99.210.1", "10.99.210.2"
_ROUTES = 21000
"""Number of a routing table of the suite's own, and preference of its rules."""
_TABLE = "attack_suite"
_SETTLE_SECONDS = 0.05


@dataclass
class Seen:
    """What happened while it was watched.

    Attributes:
        left: Packets, of no connection that was there before, that a Docker network handed to the host.
        arrived: The same of what came beyond the Docker host; all of it comes from the host's own address.
        queries: DNS queries that arrived.
        requests: HTTP requests that arrived.
        host: What reached the servers on the Docker host itself.
    """

    left: set[Packet] = field(default_factory=set)
    arrived: set[Packet] = field(default_factory=set)
    queries: list[Query] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    host: list[str] = field(default_factory=list)

    @property
    def places(self) -> set[tuple[str, str, int]]:
        """Destination, protocol and port of all that arrived."""
        return {(packet.destination, packet.protocol, packet.port) for packet in self.arrived}

    def from_source(self, source: object) -> set[Packet]:
        """What this address sent to the Docker host, or through it."""
        return {packet for packet in self.left if packet.source == str(source)}


class Outside:
    """The world beyond, while it is open.

    Attributes:
        namespace: Where it is.
        dns: Its DNS server.
        upstreams: Its HTTP and HTTPS servers, on every address.
        authority: Its certificate authority, in PEM.
    """

    def __init__(self) -> None:
        if os.geteuid() != 0:
            raise NamespaceError("the Docker host's routing is changed for the suite's range. Fix: run as root.")
        self._opened = ExitStack()
        try:
            self._open()
        except BaseException:
            self._opened.close()
            raise

    def _open(self) -> None:
        names = [name for name in RECORDS if name != "*"]
        ca = trustme.CA()
        certificate = ca.issue_cert(*names, "evil.test", EVIL, PUBLIC)
        self.authority = ca.cert_pem.bytes().decode()
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(server)
        self.namespace = self._opened.enter_context(Namespace.create())
        self._join()
        self.dns = self._opened.enter_context(DnsServer(self.namespace, RECORDS, address=RESOLVER))
        self.upstreams = self._opened.enter_context(
            Upstreams((self.namespace,), server, tls_ports=TLS_PORTS, plain_ports=PLAIN_PORTS)
        )
        self._arrived = PacketLog(self._nft_there, "attack", "uplink")
        self._left = PacketLog(_nft_here, _TABLE, "br-*")
        self._opened.callback(self._left.remove)
        self.host = self._opened.enter_context(Listener(HOST_PORT))

    def _join(self) -> None:
        """Lead everything from the suite's ranges into the namespace, but what goes from one range to the other."""
        there = self.namespace
        _remove_leftovers()
        for command in (("route",), ("-6", "route")):
            any_address = "::/0" if "-6" in command else "0.0.0.0/0"
            there.ip(*command, "add", "local", any_address, "dev", "lo", "table", "main")
        _ip("link", "add", _UPLINK, "type", "veth", "peer", "name", "uplink", "netns", str(there.pid))
        self._opened.callback(_ip, "link", "delete", _UPLINK)
        there.ip("address", "add", f"{_THERE}/30", "dev", "uplink")
        there.ip("link", "set", "uplink", "up")
        _ip("address", "add", f"{_HERE}/30", "dev", _UPLINK)
        _ip("address", "add", f"{HOST_PUBLIC}/32", "dev", _UPLINK)
        _ip("link", "set", _UPLINK, "up")
        _ip("route", "add", "default", "via", _THERE, "table", str(_ROUTES))
        for network in (RANGE, CONTROL_NETWORK):
            there.ip("route", "add", str(network), "via", _HERE)
            for rule in (
                ("to", str(network), "lookup", "main", "priority", str(_ROUTES)),
                ("from", str(network), "lookup", str(_ROUTES), "priority", str(_ROUTES + 1)),
            ):
                _ip("rule", "add", *rule)
                self._opened.callback(_ip, "rule", "delete", *rule)

    def _nft_there(self, *arguments: str, given: str = "") -> str:
        return _nft(self.namespace.command(["nft", *arguments]), given)

    @contextmanager
    def watch(self) -> Iterator[Seen]:
        """What happens inside the `with` block; complete after it."""
        seen = Seen()
        self._settle()
        queries, requests, host = len(self.dns.queries), len(self.upstreams.requests), len(self.host.received)
        self._left.clear()
        self._arrived.clear()
        yield seen
        self._settle()
        seen.left, seen.arrived = self._left.packets(), self._arrived.packets()
        seen.queries, seen.requests = self.dns.queries[queries:], self.upstreams.requests[requests:]
        seen.host = self.host.received[host:]

    def _settle(self) -> None:
        # What is on its way between two namespaces of one kernel is there long before this is over.
        time.sleep(_SETTLE_SECONDS)
        self.upstreams.settle()
        self.dns.settle()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._opened.close()


def _remove_leftovers() -> None:
    """What a suite that was killed has left in the host's network; containers are the stack's own."""
    for command in (
        ["ip", "link", "delete", _UPLINK],
        ["nft", "delete", "table", "inet", _TABLE],
        *(["ip", "rule", "delete", "priority", str(_ROUTES + second)] for second in (0, 0, 1, 1)),
    ):
        subprocess.run(command, check=False, capture_output=True, timeout=30)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=30)


def _nft_here(*arguments: str, given: str = "") -> str:
    return _nft(["nft", *arguments], given)


def _nft(command: list[str], given: str) -> str:
    done = subprocess.run(command, input=given, check=False, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise NamespaceError(f"nft: {done.stderr.strip()}")
    return done.stdout
