"""Why a host is allowed or denied: the verdict, the layer that decides, and the field of the stack file behind it."""

import ipaddress
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from components.models.hosts import HTTPS_PORT, matches, url_host
from components.plans.docker.rules import SAFETY_BLOCKLIST_V6
from components.plans.egress import AllowedHost, Route
from components.plans.network import SAFETY_BLOCKLIST
from operate.failures import usage
from operate.outputs import AnyEnvironment, DockerEnvironment

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
PROVIDER_TOOLS = frozenset({"web_search", "web_fetch"})
ALLOWED_HOSTS = "config.networking.allowed_hosts"
PACKAGE_MANAGERS = "config.networking.allow_package_managers"
NETWORKING = "config.networking.type"


class Verdict(StrEnum):
    """What happens to a connection."""

    ALLOWED = "allowed"
    DENIED = "denied"
    NOT_COVERED = "not covered"


class Layer(StrEnum):
    """What decides."""

    BUILT_IN = "built in"
    ALLOW_LIST = "gateway allow-list"
    REGISTRIES = "package registries"
    MCP_SERVERS = "MCP servers"
    ROUTE = "injected route"
    NAME_CHECK = "gateway name check"
    BLOCKLIST = "safety blocklist"
    NETWORK = "network"
    PROVIDER = "not covered: server-side web search and fetch tools"


@dataclass(frozen=True)
class Registry:
    """A package registry that a manager of the image is configured for.

    Attributes:
        host: Host name.
        port: TCP port.
    """

    host: str
    port: int


@dataclass(frozen=True)
class InForce:
    """What a gateway says of itself.

    Attributes:
        registries: The hosts that `allow_package_managers` means; None: not known.
        policy_hash: Of the policy that it enforces, or the rule that stands in its place; None: not known.
        told_by: Who said so, or why nobody could.
    """

    registries: tuple[Registry, ...] | None
    policy_hash: str | None
    told_by: str


@dataclass(frozen=True)
class Answer:
    """The verdict on one host.

    Attributes:
        host: As the gateway understands it.
        port: TCP port.
        verdict: What happens.
        layer: What decides.
        field: The field of the stack file that decides it; for a denied host, the one that would allow it.
        sessions: The only sessions that it holds for; empty for all of the environment.
        note: What else there is to know.
    """

    host: str
    port: int
    verdict: Verdict
    layer: Layer
    field: str = ""
    sessions: tuple[str, ...] = ()
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {"sessions": list(self.sessions)}


def explain_host(text: str, environment: AnyEnvironment, in_force: InForce) -> Answer:
    """The verdict on what a person would write: a host name, an address, a URL, HOST:PORT.

    Args:
        text: Names are taken as the gateway takes them.
        environment: From the stack's outputs.
        in_force: What its gateway says.

    Raises:
        Failure: nobody could connect to such a thing.
    """
    limited = environment.networking == "limited"
    if text in PROVIDER_TOOLS:
        note = "it runs at the model's provider, not in the session: switch it off with the agent's allowed_tools"
        return Answer(text, HTTPS_PORT, Verdict.NOT_COVERED, Layer.PROVIDER, "sessions[].agent.allowed_tools", (), note)
    address = _address(text)
    if address is not None:
        return _limited_address(text, address) if limited else _open_address(address, environment)
    scheme, separator, _ = text.partition("://")
    if separator and scheme.lower() != "https":
        return _other_scheme(text, scheme.lower(), environment, limited=limited)
    try:
        host, port = url_host(text if separator else f"https://{text}")
    except ValueError as error:
        return Answer(text, HTTPS_PORT, Verdict.DENIED, Layer.NAME_CHECK, ALLOWED_HOSTS, (), str(error))
    return _limited_host(host, port, environment, in_force) if limited else _open_host(host, port, environment)


def layer_of(entry: AllowedHost) -> Layer:
    """Which part of the declaration an entry of the policy comes from."""
    if entry.field.startswith(ALLOWED_HOSTS):
        return Layer.ALLOW_LIST
    return Layer.MCP_SERVERS if entry.field.startswith("sessions[") else Layer.BUILT_IN


def _address(text: str) -> Address | None:
    """The address that a resolver would read `text` as, in whatever spelling."""
    host = text.partition("://")[2] or text
    host = host.partition("/")[0]
    bare = host.removeprefix("[").partition("]")[0] if host.startswith("[") else host
    try:
        return ipaddress.ip_address(bare)
    except ValueError:
        pass
    try:
        # libc's own reading of decimal, octal, hexadecimal and short forms; it asks nobody.
        return ipaddress.IPv4Address(socket.inet_aton(bare.partition(":")[0].rstrip(".")))
    except OSError:
        return None


def _limited_address(text: str, address: Address) -> Answer:
    note = (
        f"{address} is an address: the gateway takes host names alone, and the session's network leads nowhere else. "
        "Allow its host name instead"
    )
    return Answer(text, HTTPS_PORT, Verdict.DENIED, Layer.NAME_CHECK, ALLOWED_HOSTS, (), note)


def _open_address(address: Address, environment: AnyEnvironment) -> Answer:
    inner = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    reason = blocked(inner or address, environment)
    if reason:
        note = f"{reason}: no field opens it"
        return Answer(str(address), HTTPS_PORT, Verdict.DENIED, Layer.BLOCKLIST, "", (), note)
    return Answer(str(address), HTTPS_PORT, Verdict.ALLOWED, Layer.NETWORK, NETWORKING, (), "unrestricted networking")


def blocked(address: Address, environment: AnyEnvironment) -> str:
    """Why even an unrestricted session does not reach an address; empty if it does."""
    if isinstance(environment, DockerEnvironment) and address in environment.host_addresses:
        return "the Docker host itself"
    ranges = SAFETY_BLOCKLIST if address.version == 4 else SAFETY_BLOCKLIST_V6
    return next((what for net, what in ranges if address in ipaddress.ip_network(net)), "")


def _other_scheme(text: str, scheme: str, environment: AnyEnvironment, *, limited: bool) -> Answer:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port or {"http": 80}.get(scheme, 0)
    except ValueError as error:
        raise usage(f"{text!r} is not a URL ({error}). Fix: write a host name, or https://HOST.") from None
    if not limited:
        return _open_host(host, port, environment)
    note = f"{scheme} does not leave a limited environment: the gateway takes CONNECT with TLS inside. Use https"
    return Answer(host, port, Verdict.DENIED, Layer.NAME_CHECK, ALLOWED_HOSTS, (), note)


def _open_host(host: str, port: int, environment: AnyEnvironment) -> Answer:
    wall = "the session's own rules" if environment.runtime == "docker" else "the subnet's network ACL"
    note = f"past the gateway; addresses in the safety blocklist are not reached, whatever their name ({wall})"
    return Answer(host, port, Verdict.ALLOWED, Layer.NETWORK, NETWORKING, (), note)


def _limited_host(host: str, port: int, environment: AnyEnvironment, in_force: InForce) -> Answer:
    policy = environment.egress_policy
    found = [entry for entry in policy.hosts if matches(entry.host, host)]
    open_here = [entry for entry in found if entry.port == port]
    if open_here:
        return _allowed(host, open_here)
    registry = _registry(host, port, in_force)
    if registry:
        note = "a package manager of the image is configured for it"
        return Answer(host, port, Verdict.ALLOWED, Layer.REGISTRIES, PACKAGE_MANAGERS, (), note)
    routes = [route for route in policy.routes if url_host(route.origin) == (host, port)]
    if routes:
        return _routed(host, port, environment, routes)
    if found:
        ports = ", ".join(str(entry.port) for entry in found)
        note = f"this host is allowed on port {ports} only; another port is open only as an MCP server's URL names it"
        return Answer(host, port, Verdict.DENIED, Layer.ALLOW_LIST, found[0].field, (), note)
    note = "; ".join(_why_denied(environment, in_force))
    return Answer(host, port, Verdict.DENIED, Layer.ALLOW_LIST, ALLOWED_HOSTS, (), note)


def _allowed(host: str, entries: Sequence[AllowedHost]) -> Answer:
    # An entry for all sessions says more than one for some; then the most specific name decides, as at the gateway.
    entry = min(entries, key=lambda entry: (bool(entry.sessions), -len(entry.host)))
    sessions = () if not entry.sessions else tuple(dict.fromkeys(name for e in entries for name in e.sessions))
    note = f"by {entry.host}" if entry.host != host else ""
    if entry.private_range:
        note = "; ".join(filter(None, (note, f"only at addresses of {entry.private_range}")))
    return Answer(host, entry.port, Verdict.ALLOWED, layer_of(entry), entry.field, sessions, note)


def _routed(host: str, port: int, environment: AnyEnvironment, routes: Sequence[Route]) -> Answer:
    names = ", ".join(dict.fromkeys(f"{gateway_url(environment)}/{route.name}/" for route in routes))
    sessions = tuple(dict.fromkeys(name for route in routes for name in route.sessions))
    field = ", ".join(f"sessions[{name}].secrets" for name in sessions)
    note = f"only as {names}, where the gateway adds the credential; a tunnel to this host is denied"
    return Answer(host, port, Verdict.ALLOWED, Layer.ROUTE, field, sessions, note)


def _why_denied(environment: AnyEnvironment, in_force: InForce) -> Iterator[str]:
    if not environment.egress_policy.package_managers:
        yield f"a package registry is opened by {PACKAGE_MANAGERS}"
    elif in_force.registries is None:
        yield f"allowed all the same if a package manager is configured for it: {in_force.told_by}"
    if environment.runtime == "fargate":
        yield "the DNS firewall does not answer for it either"
    yield "the provider's own web search and fetch tools may still read it"


def gateway_url(environment: AnyEnvironment) -> str:
    """Where sessions find the gateway."""
    if isinstance(environment, DockerEnvironment):
        return f"http://GATEWAY:{environment.gateway.port}"
    return f"http://{environment.gateway}"


def _registry(host: str, port: int, in_force: InForce) -> Registry | None:
    return next((r for r in in_force.registries or () if (r.host, r.port) == (host, port)), None)


def explain_policy(name: str, environment: AnyEnvironment, in_force: InForce) -> dict[str, Any]:
    """The whole effective policy as JSON.

    Args:
        name: The environment's name.
        environment: From the stack's outputs.
        in_force: What its gateway says.
    """
    policy = environment.egress_policy
    return {
        "environment": name,
        "runtime": environment.runtime,
        "networking": environment.networking,
        "field": NETWORKING,
        "archived": environment.archived,
        "policy_hash": environment.policy_hash,
        "policy_in_force": in_force.policy_hash,
        "told_by": in_force.told_by,
        "hosts": [_host_row(entry) for entry in policy.hosts],
        "registries": _registries(environment, in_force),
        "routes": [_route_row(route, environment) for route in policy.routes],
        "limits": asdict(policy.limits),
        "always_blocked": [{"range": net, "what": what} for net, what in SAFETY_BLOCKLIST],
        "residual_risks": list(_residuals(environment)),
    }


def _host_row(entry: AllowedHost) -> dict[str, Any]:
    return {
        "host": entry.host,
        "port": entry.port,
        "layer": layer_of(entry),
        "field": entry.field,
        "sessions": list(entry.sessions),
        "private_range": entry.private_range,
    }


def _registries(environment: AnyEnvironment, in_force: InForce) -> Mapping[str, Any]:
    known = None if in_force.registries is None else [asdict(registry) for registry in in_force.registries]
    return {"allowed": environment.egress_policy.package_managers, "field": PACKAGE_MANAGERS, "hosts": known}


def _route_row(route: Route, environment: AnyEnvironment) -> dict[str, Any]:
    return {
        "name": route.name,
        "url": f"{gateway_url(environment)}/{route.name}/",
        "origin": route.origin,
        "header": route.header,
        "sessions": list(route.sessions),
        "private_range": route.private_range,
        "paths": list(route.paths),
    }


def _residuals(environment: AnyEnvironment) -> Iterator[str]:
    policy = environment.egress_policy
    if environment.networking == "limited":
        yield (
            "A list of names cannot tell the tenants of a shared host apart: whoever has an account at an allowed host "
            "can be sent data there."
        )
        wildcards = [entry.host for entry in policy.hosts if entry.host.startswith("*.")]
        if wildcards:
            yield f"A wildcard allows names that do not exist yet: {', '.join(wildcards)}."
        if policy.package_managers:
            yield "Package registries take uploads, and what they serve runs when it is installed."
    else:
        yield "Unrestricted: data can go to any public address, over any protocol."
    yield "Web search and fetch tools that run at the model's provider are outside this fence."
    if environment.runtime == "docker" and getattr(environment, "isolation", "") == "runc":
        yield "Sessions share the kernel of the Docker host; runtime runsc gives each one of its own."
