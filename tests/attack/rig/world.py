"""The rig's small world: its addresses, names, policy and certificates.

EVIL lies inside the private range that the policy names for ALLOWED, and is what every unknown name resolves to: a name
that slips through reaches it, and no later check on addresses would hide the slip.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import dns.rcode
import trustme

from tests.attack.rig.client import Client
from tests.attack.rig.dns import DnsServer, Query, Record
from tests.attack.rig.gateway import PORT
from tests.attack.rig.namespace import Namespace
from tests.attack.rig.upstream import Place, Upstreams

ALLOWED, ALLOWED_OTHER, ALLOWED_V6 = "10.77.0.10", "10.77.0.11", "fd77::10"
ALLOWED_RANGE, ALLOWED_RANGE_V6 = "10.77.0.0/24", "fd77::/64"
EVIL = "10.77.0.66"
EVIL_RAW = "198.51.100.66"
PUBLIC, PUBLIC_V6 = "192.31.196.10", "2620:4f:8000::10"
"""Globally reachable by the registries: blocks of AS112, which exist to swallow stray traffic (RFC 7535)."""
METADATA, METADATA_V6 = "169.254.169.254", "fd00:ec2::254"

RESOLVER = "10.53.0.53"
GATEWAY, SECOND_GATEWAY, BROKEN_GATEWAY, SQUID = "10.200.0.2", "10.200.0.3", "10.200.0.4", "10.200.0.5"
DESK, DESK_SOURCES = "10.200.0.11", "10.200.0.8/29"
LAB, LAB_SOURCES = "10.200.0.19", "10.200.0.16/29"
STRANGER = "10.200.0.99"

TLS_PORTS = (443, 8443, 853, 993)
PLAIN_PORTS = (80, 8080, 22, 25, 444)

LISTED = ["POST /v1/messages", "GET /v1/models/*", "GET /v1/files/file_desk/content"]
"""Requests that desk's route `listed` is for; lab's is for a file of its own."""

SECRET, LAB_SECRET = "canary-0d6f4e2b9a", "canary-77c1e8f350"

RECORDS = {
    "*": Record(a=(EVIL,)),
    "allowed.test": Record(a=(ALLOWED,)),
    "alias.test": Record(cname="hop.elsewhere.test"),
    "hop.elsewhere.test": Record(cname="target.elsewhere.test"),
    "target.elsewhere.test": Record(a=(ALLOWED,)),
    "*.wild.test": Record(a=(ALLOWED,)),
    "alt-port.test": Record(a=(ALLOWED,)),
    "xn--bcher-kva.test": Record(a=(ALLOWED,)),
    "xn--strae-oqa.test": Record(a=(ALLOWED,)),
    "v6.test": Record(aaaa=(ALLOWED_V6,)),
    "public.test": Record(a=(PUBLIC,)),
    "public-v6.test": Record(aaaa=(PUBLIC_V6,)),
    "desk-mcp.test": Record(a=(ALLOWED,)),
    "lab-mcp.test": Record(a=(ALLOWED,)),
    "model.test": Record(a=(ALLOWED,)),
    "lab-model.test": Record(a=(ALLOWED,)),
    "refused.test": Record(a=(ALLOWED_OTHER,)),
    "servfail.broken.test": Record(rcode=dns.rcode.SERVFAIL),
    "nxdomain.broken.test": Record(rcode=dns.rcode.NXDOMAIN),
    "refused.broken.test": Record(rcode=dns.rcode.REFUSED),
    "empty.broken.test": Record(),
    "loop.broken.test": Record(cname="loop.broken.test"),
    "silent.broken.test": Record(silent=True),
}

LIMITS: dict[str, int] = {
    "tunnels_per_session": 64,
    "tunnels": 256,
    "head_bytes": 16384,
    "head_seconds": 1,
    "hello_bytes": 16384,
    "hello_seconds": 1,
    "connect_seconds": 2,
    "idle_seconds": 60,
    "total_seconds": 600,
}


def host(name: str, index: int, **further: Any) -> dict[str, Any]:
    """One entry of the policy's hosts, in ALLOWED's private range unless `private_range` says otherwise."""
    entry = {"host": name, "port": 443, "field": f"config.networking.allowed_hosts[{index}]"}
    entry |= {"private_range": ALLOWED_RANGE} | further
    return {key: value for key, value in entry.items() if value is not None}


def policy(folder: Path, **changes: Any) -> dict[str, Any]:
    """The policy document of the rig, with some of its members changed; secrets lie in files in `folder`."""
    names: list[tuple[str, dict[str, Any]]] = [
        ("allowed.test", {}),
        ("*.wild.test", {}),
        ("alt-port.test", {"port": 8443}),
        ("xn--bcher-kva.test", {}),
        ("xn--strae-oqa.test", {}),
        ("alias.test", {}),
        ("refused.test", {"port": 9}),
        ("*.ranged.test", {}),
        ("*.broken.test", {}),
        ("v6.test", {"private_range": ALLOWED_RANGE_V6}),
        ("public.test", {"private_range": None}),
        ("public-v6.test", {"private_range": None}),
        ("*.resolves.test", {"private_range": None}),
        ("desk-mcp.test", {"sessions": ["desk"], "field": "agent.mcp_servers[0].url"}),
        ("lab-mcp.test", {"sessions": ["lab"], "field": "agent.mcp_servers[0].url"}),
    ]
    model, lab_model = folder / "model-key", folder / "lab-model-key"
    model.write_text(SECRET + "\n")
    lab_model.write_text(LAB_SECRET + "\n")
    document: dict[str, Any] = {
        "version": 1,
        "environment": "rig",
        "networking": "limited",
        "hosts": [host(name, index, **further) for index, (name, further) in enumerate(names)],
        "package_managers": False,
        "routes": [
            route("model", "https://model.test", "x-api-key", model, "desk"),
            route("listed", "https://model.test", "x-api-key", model, "desk", paths=LISTED),
            route("listed", "https://model.test", "x-api-key", model, "lab", paths=["GET /v1/files/file_lab/content"]),
            route("lab-model", "https://lab-model.test", "authorization", lab_model, "lab"),
            route("inward", "https://metadata.resolves.test", "x-api-key", model, "desk", private_range=None),
        ],
        "identities": [
            {"session": "desk", "sources": [DESK_SOURCES]},
            {"session": "lab", "sources": [LAB_SOURCES]},
        ],
        "limits": LIMITS,
    }
    return document | changes


def route(name: str, origin: str, header: str, secret: Path, session: str, **further: Any) -> dict[str, Any]:
    """One injected route of the policy."""
    entry: dict[str, Any] = {"name": name, "origin": origin, "header": header, "secret": f"file:{secret}"}
    entry |= {"sessions": [session], "private_range": ALLOWED_RANGE} | further
    return {key: value for key, value in entry.items() if value is not None}


@dataclass
class Seen:
    """What reached the rig's servers while it was watched.

    Attributes:
        places: Addresses and ports that got a connection, or a request on a connection that was open before.
        bytes: How many bytes these got altogether.
        queries: DNS queries.
    """

    places: set[Place] = field(default_factory=set)
    bytes: int = 0
    queries: list[Query] = field(default_factory=list)

    @property
    def addresses(self) -> set[str]:
        """The addresses alone."""
        return {address for address, _ in self.places}


class World:
    """Namespaces, DNS, certificates and upstreams together.

    Attributes:
        namespace: Where gateway and sessions run.
        internet: Where everything else is.
        ca_file: The authority's certificate, in PEM.
        server_file: A server certificate with its key, in PEM.
        trust: A client's context that knows the authority and nothing else.
        trust_any_name: The same for names that no certificate can hold; the authority is checked.
        desk: The session `desk` as a client of the gateway.
        lab: The session `lab`.
        stranger: A source that belongs to no session.
    """

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        names = [name for name in RECORDS if name != "*"] + [
            "*.resolves.test",
            "*.ranged.test",
            "*.test",
            EVIL,
            EVIL_RAW,
        ]
        certificate = authority.issue_cert(*names)
        self.ca_file, self.server_file = folder / "ca.pem", folder / "server.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        certificate.private_key_and_cert_chain_pem.write_to_path(str(self.server_file))
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(server)
        self.trust = ssl.create_default_context(cafile=str(self.ca_file))
        self.trust_any_name = ssl.create_default_context(cafile=str(self.ca_file))
        self.trust_any_name.check_hostname = False
        self.namespace = Namespace.create()
        for address in (GATEWAY, SECOND_GATEWAY, BROKEN_GATEWAY, SQUID, DESK, LAB, STRANGER):
            self.namespace.ip("address", "add", f"{address}/32", "dev", "lo")
        self.internet = self.namespace.internet()
        self.internet.ip("address", "add", f"{RESOLVER}/32", "dev", "lo")
        self.dns = DnsServer(self.internet, RECORDS, address=RESOLVER)
        self.upstreams = Upstreams(
            (self.namespace, self.internet), server, tls_ports=TLS_PORTS, plain_ports=PLAIN_PORTS
        )
        self.desk, self.lab, self.stranger = (self.client(source) for source in (DESK, LAB, STRANGER))

    def client(self, source: str, *, proxy: str = GATEWAY, port: int = PORT) -> Client:
        """A client at a source address."""
        return Client(self.namespace, source, (proxy, port))

    @contextmanager
    def watch(self) -> Iterator[Seen]:
        """What reaches the servers inside the `with` block; complete after it."""
        seen = Seen()
        self._settle()
        connections, received = self.upstreams.connections.copy(), self.upstreams.received.total()
        queries, requests = len(self.dns.queries), len(self.upstreams.requests)
        yield seen
        self._settle()
        asked = {request.place for request in self.upstreams.requests[requests:]}
        seen.places = set(self.upstreams.connections - connections) | asked
        seen.bytes = self.upstreams.received.total() - received
        seen.queries = self.dns.queries[queries:]

    def _settle(self) -> None:
        self.upstreams.settle()
        self.dns.settle()

    def close(self) -> None:
        """Stop the servers and let the namespace go."""
        self.dns.pause()
        self.upstreams.close()
        self.internet.close()
        self.namespace.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
