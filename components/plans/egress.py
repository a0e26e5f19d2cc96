"""The egress policy of an environment: which hosts, why, and which secrets the gateway adds on the way out."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from components.models.environment import Environment
from components.models.hosts import matches, url_host
from components.models.mounts import file_requests
from components.models.secrets import MODEL_SECRETS, Secret
from components.models.session import Session
from components.models.stack import PrivateRange

MODEL_API_HOST = "api.anthropic.com"
"""The agent's model is reached through the gateway in every environment; without it no agent runs."""

MODEL_REQUESTS = (
    "HEAD /",
    "POST /v1/messages",
    "POST /v1/messages/count_tokens",
    "GET /v1/models",
    "GET /v1/models/*",
)
"""What an agent's program asks of the model's API. The key opens more: files and batches of the whole workspace, which
other sessions and people use too."""

POLICY_VERSION = 1


@dataclass(frozen=True)
class AllowedHost:
    """One host that the gateway lets through.

    Attributes:
        host: An exact name, or `*.x` for any name below x.
        port: TCP port.
        field: Field of the stack file that allows it.
        sessions: The sessions that may use it; empty for all of the environment.
        private_range: Where its addresses lie, for a host that is not globally reachable.
    """

    host: str
    port: int
    field: str
    sessions: tuple[str, ...] = ()
    private_range: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The entry in the policy document."""
        entry: dict[str, Any] = {"host": self.host, "port": self.port, "field": self.field}
        if self.sessions:
            entry["sessions"] = list(self.sessions)
        if self.private_range:
            entry["private_range"] = self.private_range
        return entry


@dataclass(frozen=True)
class Route:
    """A credential that the gateway adds: `http://gateway:PORT/<name>/...` goes to `origin` with `header` set.

    Attributes:
        name: Path segment of the route.
        origin: The one https origin.
        header: Request header that carries the secret.
        secret: Reference of the secret.
        sessions: Sessions that may use the route.
        private_range: Where the origin's addresses lie, if it is not globally reachable.
        paths: The requests that it is for, as in `Injection.paths`; empty for all.
    """

    name: str
    origin: str
    header: str
    secret: str
    sessions: tuple[str, ...]
    private_range: str | None = None
    paths: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The entry in the policy document."""
        entry: dict[str, Any] = {
            "name": self.name,
            "origin": self.origin,
            "header": self.header,
            "secret": self.secret,
            "sessions": list(self.sessions),
        }
        if self.private_range:
            entry["private_range"] = self.private_range
        if self.paths:
            entry["paths"] = list(self.paths)
        return entry


@dataclass(frozen=True)
class Identity:
    """Whom the gateway takes a source address for.

    Attributes:
        session: Name of the session.
        sources: Networks (CIDR) that it speaks from, and nobody else.
    """

    session: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Limits:
    """What one client can take of a gateway: counts, bytes, seconds."""

    tunnels_per_session: int = 256
    tunnels: int = 8192
    head_bytes: int = 16 * 1024
    head_seconds: int = 5
    hello_bytes: int = 16 * 1024
    hello_seconds: int = 5
    connect_seconds: int = 10
    idle_seconds: int = 15 * 60
    total_seconds: int = 12 * 3600


@dataclass(frozen=True)
class EgressPolicy:
    """What one environment's gateway enforces."""

    environment: str
    networking: str
    hosts: tuple[AllowedHost, ...]
    package_managers: bool
    routes: tuple[Route, ...]
    limits: Limits = Limits()

    @property
    def ports(self) -> tuple[int, ...]:
        """TCP ports that the gateway needs to the outside, ascending."""
        routed = {url_host(route.origin)[1] for route in self.routes}
        return tuple(sorted({entry.port for entry in self.hosts} | routed | {443}))

    def to_json(self, identities: Sequence[Identity] = ()) -> dict[str, Any]:
        """The policy document as the gateway reads it.

        Args:
            identities: Known by address beforehand; a runtime that learns addresses as sessions start gives none.
        """
        document = {
            "version": POLICY_VERSION,
            "environment": self.environment,
            "networking": self.networking,
            "hosts": [entry.to_json() for entry in self.hosts],
            "package_managers": self.package_managers,
            "routes": [route.to_json() for route in self.routes],
            "limits": asdict(self.limits),
        }
        if identities:
            document["identities"] = [
                {"session": known.session, "sources": list(known.sources)} for known in identities
            ]
        return document


def canonical(document: Mapping[str, Any]) -> str:
    """`document` as one line of JSON, the same for equal documents."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def policy_hash(document: Mapping[str, Any]) -> str:
    """SHA-256 of a policy document, in hexadecimal: what runs and evidence name a policy by."""
    return hashlib.sha256(canonical(document).encode()).hexdigest()


def egress_policy(
    environment: Environment, sessions: Sequence[Session], private_hosts: Mapping[str, PrivateRange] | None = None
) -> EgressPolicy:
    """The effective policy of `environment` with these sessions in it.

    Args:
        environment: Its networking decides.
        sessions: For their MCP servers and injected secrets.
        private_hosts: Allowed hosts that lie in a private range, see `Stack.private_hosts`.

    Under `unrestricted` the host list holds only the model API: sessions reach everything else without the gateway.
    """
    hosts = [AllowedHost(MODEL_API_HOST, 443, "(built in: the agent's model)")]
    limited = environment.limited
    if limited is not None:
        hosts += [
            AllowedHost(host, 443, f"config.networking.allowed_hosts[{index}]")
            for index, host in enumerate(limited.allowed_hosts)
        ]
        if limited.allow_mcp_servers:
            hosts += _mcp_hosts(sessions)
    ranges = private_hosts or {}
    return EgressPolicy(
        environment=environment.name,
        networking="limited" if limited is not None else "unrestricted",
        hosts=_with_ranges(hosts, ranges),
        package_managers=limited is not None and limited.allow_package_managers,
        routes=_routes(sessions, ranges),
    )


def _mcp_hosts(sessions: Sequence[Session]) -> list[AllowedHost]:
    # One entry a host, however many sessions use it: the policy grows with hosts.
    fields: dict[tuple[str, int], str] = {}
    users: dict[tuple[str, int], list[str]] = {}
    for session in sessions:
        for position, agent in enumerate(session.all_agents):
            at = "agent" if session.agent else f"agents[{position}]"
            for index, server in enumerate(agent.mcp_servers):
                place = url_host(server.url)
                fields.setdefault(place, f"sessions[{session.name}].{at}.mcp_servers[{index}].url")
                users.setdefault(place, []).append(session.name)
    return [AllowedHost(*place, fields[place], tuple(dict.fromkeys(users[place]))) for place in fields]


def _with_ranges(hosts: Sequence[AllowedHost], ranges: Mapping[str, PrivateRange]) -> tuple[AllowedHost, ...]:
    # A private host below an allowed wildcard gets an entry of its own, which stands before the wildcard's: the rest
    # of what the wildcard allows stays bound to globally reachable addresses.
    named = {entry.host for entry in hosts}
    single = [
        replace(entry, host=host, private_range=str(ranges[host]))
        for entry in hosts
        for host in ranges
        if host not in named and matches(entry.host, host)
    ]
    return (*single, *(replace(entry, private_range=_range_of(entry.host, ranges)) for entry in hosts))


def _range_of(host: str, ranges: Mapping[str, PrivateRange]) -> str | None:
    """The private range of a policy's host: its own entry before that of a wildcard above it."""
    if host in ranges:
        return str(ranges[host])
    return next(
        (str(ranges[pattern]) for pattern in sorted(ranges, key=len, reverse=True) if matches(pattern, host)), None
    )


def _routes(sessions: Sequence[Session], ranges: Mapping[str, PrivateRange]) -> tuple[Route, ...]:
    # Sessions share an entry only where they may ask the same: none is widened by another.
    users: dict[tuple[tuple[str, str, str, str], tuple[str, ...]], list[str]] = {}
    for session in sessions:
        for secret in session.secrets:
            if secret.inject:
                key = (secret.name, secret.inject.origin, secret.inject.header, secret.source)
                paths = secret.inject.paths or _usual_paths(session, secret)
                users.setdefault((key, paths), []).append(session.name)
    return tuple(
        Route(*key, sessions=tuple(names), private_range=_range_of(url_host(key[1])[0], ranges), paths=paths)
        for (key, paths), names in sorted(users.items())
    )


def _usual_paths(session: Session, secret: Secret) -> tuple[str, ...]:
    """What a session that declares no paths asks: an agent the model and its own files, a command whatever it likes."""
    if secret.name not in MODEL_SECRETS or session.command:
        return ()
    return (*MODEL_REQUESTS, *file_requests(session.mounts))
