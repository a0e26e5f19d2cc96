"""The egress policy of an environment: which hosts, why, and which secrets the gateway adds on the way out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from components.models.environment import Environment
from components.models.hosts import url_host
from components.models.session import Session

MODEL_API_HOST = "api.anthropic.com"
"""The agent's model is reached through the gateway in every environment; without it no agent runs."""

POLICY_VERSION = 1


@dataclass(frozen=True)
class AllowedHost:
    """One host that the gateway lets through.

    Attributes:
        host: An exact name, or `*.x` for any name below x.
        port: TCP port.
        field: Field of the stack file that allows it.
        sessions: The sessions that may use it; empty for all of the environment.
    """

    host: str
    port: int
    field: str
    sessions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Route:
    """A credential that the gateway adds: `http://gateway:PORT/<name>/...` goes to `origin` with `header` set.

    Attributes:
        name: Path segment of the route.
        origin: The one https origin.
        header: Request header that carries the secret.
        secret: Reference of the secret.
        sessions: Sessions that may use the route.
    """

    name: str
    origin: str
    header: str
    secret: str
    sessions: tuple[str, ...]


@dataclass(frozen=True)
class EgressPolicy:
    """What one environment's gateway enforces."""

    environment: str
    networking: str
    hosts: tuple[AllowedHost, ...]
    package_managers: bool
    routes: tuple[Route, ...]

    @property
    def ports(self) -> tuple[int, ...]:
        """TCP ports that the gateway needs to the outside, ascending."""
        routed = {url_host(route.origin)[1] for route in self.routes}
        return tuple(sorted({entry.port for entry in self.hosts} | routed | {443}))

    def to_json(self) -> dict[str, Any]:
        """The policy document as the gateway reads it and as the stack outputs it."""
        return {
            "version": POLICY_VERSION,
            "environment": self.environment,
            "networking": self.networking,
            "hosts": [
                {"host": entry.host, "port": entry.port, "field": entry.field}
                | ({"sessions": list(entry.sessions)} if entry.sessions else {})
                for entry in self.hosts
            ],
            "package_managers": self.package_managers,
            "routes": [
                {
                    "name": route.name,
                    "origin": route.origin,
                    "header": route.header,
                    "secret": route.secret,
                    "sessions": list(route.sessions),
                }
                for route in self.routes
            ],
        }


def egress_policy(environment: Environment, sessions: Sequence[Session]) -> EgressPolicy:
    """The effective policy of `environment` with these sessions in it.

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
    return EgressPolicy(
        environment=environment.name,
        networking="limited" if limited is not None else "unrestricted",
        hosts=tuple(hosts),
        package_managers=limited is not None and limited.allow_package_managers,
        routes=_routes(sessions),
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


def _routes(sessions: Sequence[Session]) -> tuple[Route, ...]:
    users: dict[tuple[str, str, str, str], list[str]] = {}
    for session in sessions:
        for secret in session.secrets:
            if secret.inject:
                key = (secret.name, secret.inject.origin, secret.inject.header, secret.source)
                users.setdefault(key, []).append(session.name)
    return tuple(Route(*key, sessions=tuple(names)) for key, names in sorted(users.items()))
