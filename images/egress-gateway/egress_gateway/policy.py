"""A policy in force: what a session may reach, looked up in the time that it takes to read a name."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from egress_gateway.addresses import Network, overlap, span
from egress_gateway.credentials import Agent, Shown, is_token
from egress_gateway.denial import ALLOWED_HOSTS, Denied
from egress_gateway.document import (
    HTTPS_PORT,
    BrokenPolicy,
    Document,
    HostEntry,
    Registry,
    parse_document,
    parse_registries,
)
from egress_gateway.paths import covers

PACKAGE_MANAGERS = "config.networking.allow_package_managers"


@dataclass(frozen=True)
class Route:
    """A credential route.

    Attributes:
        name: First segment of the path.
        host: Host of the origin.
        port: Port of the origin.
        header: Header that carries the secret, in lower case.
        secret: Reference of the secret.
        private_range: Where the host lies, if not on the Internet.
        field: Field of the stack file that it comes from.
        paths: Requests that it is for; None for all. Not part of what it is, so that a request under way and the
            origin's connections outlive a change of them.
    """

    name: str
    host: str
    port: int
    header: str
    secret: str
    private_range: Network | None
    field: str
    paths: tuple[str, ...] | None = dataclasses.field(default=None, compare=False)

    def takes(self, method: str, target: str) -> bool:
        """Whether a request is one of those that the route is for."""
        return self.paths is None or covers(self.paths, method, target)


@dataclass(frozen=True)
class Identity:
    """A session, told by the network it speaks from and, where a network is shared, by a token.

    Attributes:
        session: Its name.
        source: The network.
        token_sha256: Of the token; None where the network is not shared.
        agents: Its agents, where each must say which one it is; empty where none does.
    """

    session: str
    source: Network
    token_sha256: str | None = None
    agents: tuple[Agent, ...] = ()

    def takes(self, token: str) -> bool:
        """Whether the token is this identity's."""
        return self.token_sha256 is not None and is_token(token, self.token_sha256)

    def agent(self, shown: Shown) -> str | None:
        """The agent that asks; None where the session's agents are not told apart.

        Raises:
            Denied: `unknown-agent`.
        """
        if not self.agents:
            return None
        for agent in self.agents:
            if agent.name == shown.name and is_token(shown.token, agent.token_sha256):
                return agent.name
        raise Denied("unknown-agent")

    def has(self, agent: str | None) -> bool:
        """Whether the agent that asked once would be let in again."""
        return agent in {one.name for one in self.agents} if self.agents else agent is None


class Policy:
    """What one environment's gateway enforces.

    Args:
        document: The document as parsed.
        digest: SHA-256 of the document's canonical JSON, in hexadecimal.
        registries: Hosts of the image's package managers; in force where the document says so.
    """

    def __init__(self, document: Document, digest: str, registries: Sequence[Registry] = ()) -> None:
        self.document, self.digest, self.limits = document, digest, document.limits
        self.environment = document.environment
        self._registry_hosts = {registry.host for registry in registries}
        self.hosts = [*document.hosts]
        if document.package_managers:
            self.hosts += [HostEntry(host=one.host, port=one.port, field=PACKAGE_MANAGERS) for one in registries]
        self._by_name: dict[str, list[HostEntry]] = {}
        for entry in self.hosts:
            self._by_name.setdefault(entry.host, []).append(entry)
        self._routes = _routes(document)
        self.identities = [
            Identity(entry.session, source, entry.token_sha256)
            for entry in document.identities
            for source in entry.sources
        ]
        _check_sources(self.identities)

    @property
    def all_routes(self) -> list[Route]:
        """Every credential route of every session."""
        return [route for taken in self._routes.values() for route in taken.values()]

    def allow_at_most(self, tunnels: int) -> None:
        """Lower the limit on tunnels to what the machine can hold open."""
        self.limits = self.limits.model_copy(update={"tunnels": max(1, min(tunnels, self.limits.tunnels))})

    def host(self, session: str, host: str, port: int) -> HostEntry:
        """The entry that lets `session` connect to a host: the most specific name that the session has.

        Args:
            session: Name of the session.
            host: A lower-case A-label without trailing dot.
            port: TCP port.

        Raises:
            Denied: `host-not-allowed` or `port-not-allowed`.
        """
        other: HostEntry | None = None
        for name in _names_for(host):
            for entry in self._by_name.get(name, ()):
                if entry.sessions is not None and session not in entry.sessions:
                    continue
                if entry.port == port:
                    return entry
                other = other or entry
        if other is not None:
            raise Denied("port-not-allowed", other.field)
        if host in self._registry_hosts:
            raise Denied("host-not-allowed", PACKAGE_MANAGERS)
        raise Denied("host-not-allowed", ALLOWED_HOSTS)

    def route(self, session: str, name: str) -> Route:
        """The credential route of that name which `session` may use.

        Raises:
            Denied: `unknown-route` or `route-not-allowed`.
        """
        known = self._routes.get(name)
        if known is None:
            raise Denied("unknown-route")
        route = known.get(session) or known.get(None)
        if route is None:
            raise Denied("route-not-allowed")
        return route


def load_policy(text: bytes, registries: bytes | None = None) -> Policy:
    """The policy in a document's text.

    Args:
        text: The document.
        registries: Text of the image's list of package registries; None if it has none.

    Raises:
        BrokenPolicy: the document or the list is broken.
    """
    document = parse_document(text)
    canonical = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return Policy(document, digest, parse_registries(registries) if registries is not None else ())


def _names_for(host: str) -> list[str]:
    """The names in a policy that `host` may stand under, the most specific first."""
    labels = host.split(".")
    return [host, *("*." + ".".join(labels[start:]) for start in range(1, len(labels)))]


def _routes(document: Document) -> dict[str, dict[str | None, Route]]:
    routes: dict[str, dict[str | None, Route]] = {}
    for index, entry in enumerate(document.routes):
        parts = urlsplit(entry.origin)
        route = Route(
            name=entry.name,
            host=parts.hostname or "",
            port=parts.port or HTTPS_PORT,
            header=entry.header.lower(),
            secret=entry.secret,
            private_range=entry.private_range,
            field=f"secrets[{entry.name}].inject",
            paths=tuple(entry.paths) if entry.paths is not None else None,
        )
        taken = routes.setdefault(entry.name, {})
        for session in entry.sessions or (None,):
            if session in taken:
                raise BrokenPolicy(
                    f"routes[{index}]: {entry.name} has a route for {session or 'every session'} already"
                )
            taken[session] = route
    return routes


def _check_sources(identities: Sequence[Identity]) -> None:
    """Two sessions on one network would be taken for each other, unless each has a token.

    Raises:
        BrokenPolicy: such two.
    """
    # Networks either nest or lie apart: in this order, each is compared with all those around it.
    around: list[Identity] = []
    for one in sorted(identities, key=lambda one: (one.source.version, *span(one.source))):
        while around and not overlap(around[-1].source, one.source):
            around.pop()
        for other in around:
            if other.session != one.session and None in (other.token_sha256, one.token_sha256):
                raise BrokenPolicy(
                    f"identities: {other.session} and {one.session} share {one.source}, and not both have a token"
                )
        around.append(one)
