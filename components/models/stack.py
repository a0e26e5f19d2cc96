"""Stack: all that one team declares in one stack file, and the rules that hold between its parts."""

from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from components.models.authorities import AuthoritySource
from components.models.environment import DeclaredEnvironment, LimitedNetwork, SelfHostedConfig
from components.models.errors import InvalidInput, Model, Problem, show, validate
from components.models.hosts import HostPattern, matches, url_host
from components.models.session import Session, Slug

PRIVATE_RANGES = tuple(IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))
UNIQUE_LOCAL = IPv6Network("fc00::/7")
HTTPS = 443
WIDEST_PREFIX, NARROWEST_PREFIX = 16, 24
NARROWEST_DOCKER_PREFIX = 24


def _vpc_range(value: IPv4Network) -> IPv4Network:
    if not WIDEST_PREFIX <= value.prefixlen <= NARROWEST_PREFIX:
        raise ValueError(
            f"must be between /{WIDEST_PREFIX} (the largest VPC) and /{NARROWEST_PREFIX} (room for sessions in two "
            "zones). Fix: use a range like 10.64.0.0/20, which holds about 4,000 sessions"
        )
    if not any(value.subnet_of(private) for private in PRIVATE_RANGES):
        raise ValueError("must lie in a private range. Fix: use a range inside 10.0.0.0/8")
    return value


VpcRange = Annotated[IPv4Network, AfterValidator(_vpc_range)]


def _docker_range(value: IPv4Network) -> IPv4Network:
    if not 8 <= value.prefixlen <= NARROWEST_DOCKER_PREFIX:
        raise ValueError(
            f"must be between /8 and /{NARROWEST_DOCKER_PREFIX}: each session on a Docker host has a /29 of its own in "
            "it. Fix: use a range like 10.200.0.0/13, which holds 65,536 sessions"
        )
    if not any(value.subnet_of(private) for private in PRIVATE_RANGES):
        raise ValueError("must lie in a private range. Fix: use a range inside 10.0.0.0/8")
    return value


DockerRange = Annotated[IPv4Network, AfterValidator(_docker_range)]


class Isolation(StrEnum):
    """The OCI runtime that session containers run under."""

    RUNC = "runc"
    """Namespaces, cgroups and seccomp of the host's kernel."""
    RUNSC = "runsc"
    """gVisor: a kernel of its own in user space. The engine must have it registered under this name."""


class DockerHost(Model):
    """What a stack with `runtime: docker` may say of its Docker host."""

    range: DockerRange = IPv4Network("10.200.0.0/13")
    """Where the sessions' networks, a /29 each, are taken from; must not be in use on the host."""
    runtime: Isolation = Isolation.RUNC
    resolvers: Annotated[tuple[IPv4Address, ...], Field(max_length=3)] = ()
    """DNS servers of gateways and unrestricted sessions. None given: those that the host itself uses."""
    host_addresses: tuple[IPv4Address | IPv6Address, ...] = ()
    """Public addresses of the host, which unrestricted sessions must not reach. Private ones are blocked already, and
    so are those on the interfaces of the machine that `pulumi up` runs on, if its engine is used. To be given for
    another host, where `[]` says that it has none, and for an address that a cloud or a router maps to the host."""


def _private_range(value: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    within = (
        value.subnet_of(UNIQUE_LOCAL)
        if isinstance(value, IPv6Network)
        else any(value.subnet_of(private) for private in PRIVATE_RANGES)
    )
    if not within:
        raise ValueError(
            "must lie in a private range: what is globally reachable needs no entry, and link-local addresses, where "
            "metadata services are, are never opened. Fix: write the range of the host's addresses, like 10.20.0.0/16"
        )
    return value


PrivateRange = Annotated[IPv4Network | IPv6Network, AfterValidator(_private_range)]


class Network(Model):
    """Address ranges of the two VPCs; only what a stack needs of them is created."""

    session_range: VpcRange = IPv4Network("10.64.0.0/20")
    """The VPC of limited sessions: no way to the Internet but the gateways."""
    egress_range: VpcRange = IPv4Network("10.64.16.0/20")
    """The VPC of the gateways and of unrestricted sessions."""
    zones: Annotated[int, Field(ge=2, le=4)] = 2
    """Availability zones to spread over."""

    @model_validator(mode="after")
    def _apart(self) -> "Network":
        if self.session_range.overlaps(self.egress_range):
            raise InvalidInput.of(
                "egress_range",
                str(self.egress_range),
                f"overlaps session_range {self.session_range}, and peered VPCs need ranges of their own",
                "choose a range that starts where the other ends",
            )
        return self


def _tag_key(value: str) -> str:
    if value.lower().startswith(("agentenv:", "aws:")):
        raise ValueError("is a reserved tag key. Fix: choose a key that does not start with agentenv: or aws:")
    return value


TagKey = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(_tag_key)]
TagValue = Annotated[str, StringConstraints(max_length=256, pattern=r"^[\w\s.:/=+@-]*$")]


class Stack(Model):
    """What stands under `agent-environments:stack` in `Pulumi.<stack>.yaml`."""

    team: Slug
    runtime: Literal["docker", "fargate"] = "docker"
    environments: tuple[DeclaredEnvironment, ...]
    sessions: tuple[Session, ...] = ()
    network: Network = Network()
    docker: DockerHost = DockerHost()
    private_hosts: dict[HostPattern, PrivateRange] = Field(default_factory=dict)
    """Allowed hosts that lie in a private range, such as an MCP server inside the VPC: host -> that range. Gateways
    connect to globally reachable addresses alone; for such a host, to addresses of its range alone."""
    base_image: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][\w./:-]*(@sha256:[0-9a-f]{64})?$")] = (
        "debian:trixie-slim"
    )
    """Image that every environment starts from: Debian 13 or later. A tag is pinned to its digest at each `up`."""
    certificate_authorities: Annotated[tuple[AuthoritySource, ...], Field(max_length=20)] = ()
    """Further certificate authorities that sessions and gateways trust, beside those of the base image: PEM text, or a
    file's path from the project's folder, ending in `.pem` or `.crt`."""
    log_retention_days: Literal[
        1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 3653
    ] = 30
    tags: Annotated[dict[TagKey, TagValue], Field(max_length=30)] = Field(default_factory=dict)
    """Further tags on every resource."""
    cost_centre: Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[\w .:/=+@-]+$")] | None = (
        None
    )
    """Who pays; the team when not given."""

    @classmethod
    def parse(cls, data: object) -> "Stack":
        """Validate what a stack file says.

        Raises:
            InvalidInput: with every problem found; paths are as in the file.
        """
        return validate(cls, data)

    def sessions_of(self, environment: str) -> tuple[Session, ...]:
        """The sessions that name this environment, in the order of the file."""
        return tuple(session for session in self.sessions if session.environment == environment)

    @model_validator(mode="after")
    def _parts_fit(self) -> "Stack":
        if not self.environments:
            raise InvalidInput.of("environments", [], "a stack declares at least one environment", "add one")
        problems = [*self._names(), *self._references(), *self._routes(), *self._unused()]
        if problems:
            raise InvalidInput(problems)
        return self

    def _names(self) -> Iterator[Problem]:
        for kind, names in (
            ("environments", [e.name for e in self.environments]),
            ("sessions", [s.name for s in self.sessions]),
        ):
            seen: dict[str, str] = {}
            for index, name in enumerate(names):
                taken = seen.get(name.casefold())
                seen.setdefault(name.casefold(), name)
                if taken is not None:
                    alike = "" if taken == name else f" by {taken!r}: case alone does not tell names apart"
                    yield Problem(
                        f"{kind}[{index}].name",
                        show(name),
                        f"this name is already taken{alike}",
                        "give each a name of its own",
                    )

    def _references(self) -> Iterator[Problem]:
        environments = {e.name: e for e in self.environments}
        for index, session in enumerate(self.sessions):
            at = f"sessions[{index}]"
            environment = environments.get(session.environment)
            if environment is None:
                yield Problem(
                    f"{at}.environment",
                    show(session.environment),
                    "there is no environment of this name in this stack",
                    f"use one of: {', '.join(environments)}",
                )
                continue
            for problem in misfits(session, environment):
                yield replace(problem, path=f"{at}.{problem.path}")

    def _unused(self) -> Iterator[Problem]:
        # A range opened for a host that nothing allows is a typing error, and one that would stay unseen.
        allowed = [host for e in self.environments if e.limited for host in e.limited.allowed_hosts]
        used = [url_host(s.inject.origin)[0] for session in self.sessions for s in session.secrets if s.inject]
        used += [
            url_host(server.url)[0] for s in self.sessions for agent in s.all_agents for server in agent.mcp_servers
        ]
        for host in self.private_hosts:
            wanted = any(matches(host, name) for name in (*used, *allowed))
            if host not in allowed and not wanted and not any(matches(pattern, host) for pattern in allowed):
                yield Problem(
                    f"private_hosts.{host}",
                    show(str(self.private_hosts[host])),
                    "no environment or session of this stack uses this host",
                    "add it to an environment's allowed_hosts, or remove it here",
                )

    def _routes(self) -> Iterator[Problem]:
        taken: dict[tuple[str, str], tuple[object, str]] = {}
        for index, session in enumerate(self.sessions):
            for position, secret in enumerate(session.secrets):
                if secret.inject is None:
                    continue
                # Each session has its own list of paths.
                target = (secret.source, secret.inject.origin, secret.inject.header)
                known, user = taken.setdefault((session.environment, secret.name), (target, session.name))
                if known != target:
                    yield Problem(
                        f"sessions[{index}].secrets[{position}].name",
                        show(secret.name),
                        f"session {user!r} of this environment has a gateway route of this name to something else",
                        "give the two routes different names, or make them equal",
                    )


def misfits(session: Session, environment: DeclaredEnvironment) -> Iterator[Problem]:
    """What keeps `session` from running in `environment`; paths are the session's fields."""
    if environment.archived_at is not None:
        yield Problem(
            "environment",
            show(session.environment),
            "this environment is archived, and an archived environment takes no sessions",
            "name another environment, or remove the environment's archived_at",
        )
    if isinstance(environment.config, SelfHostedConfig):
        for position, mount in enumerate(session.mounts):
            yield Problem(
                f"mounts[{position}].type",
                show(mount.type),
                "a self_hosted environment mounts no files and no repositories, here or at the hosted service",
                "fetch it in the session, or use a cloud environment",
            )
    limited = environment.limited
    if limited is not None:
        yield from _unreachable_mcp_servers(session, environment.name, limited)


def _unreachable_mcp_servers(session: Session, environment: str, limited: LimitedNetwork) -> Iterator[Problem]:
    if limited.allow_mcp_servers:
        return
    for index, agent in enumerate(session.all_agents):
        at = "agent" if session.agent else f"agents[{index}]"
        for position, server in enumerate(agent.mcp_servers):
            host, port = url_host(server.url)
            if port != HTTPS or not any(matches(pattern, host) for pattern in limited.allowed_hosts):
                yield Problem(
                    f"{at}.mcp_servers[{position}].url",
                    show(server.url),
                    f"cannot be reached from environment {environment!r}, whose networking is limited",
                    f"set allow_mcp_servers: true there, or add {host} to its allowed_hosts",
                )
