"""What `agentenv verify` tries from inside a session, and what must come of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from components.models.capabilities import SUPERVISOR
from components.models.hosts import matches
from components.plans.egress import MODEL_API_HOST, AllowedHost, EgressPolicy

GATEWAY_ADMIN_PORT = 9901
DENIED_HOST = "denied-by-agentenv.invalid"
"""No policy can allow it in earnest, and no name server knows it (RFC 2606)."""
STRANGER = "203.0.113.10"
"""An address that belongs to nobody (RFC 5737, TEST-NET-3): whatever leaves for it goes nowhere."""
STRANGER_V6 = "2001:db8::10"
"""The same for IPv6 (RFC 3849)."""
INSTANCE_METADATA, TASK_METADATA = "169.254.169.254", "169.254.170.2"
HTTP, HTTPS, DNS = 80, 443, 53


class Kind(StrEnum):
    """What the program in the container does with a probe's target. `images/session/verify_fence.py` knows the same."""

    TUNNEL = "tunnel"
    """HOST:PORT or HOST:PORT SNI: a CONNECT at the gateway, then a TLS ClientHello."""
    PLAIN = "plain"
    """A URL: a GET in absolute form at the gateway."""
    TCP = "tcp"
    """HOST:PORT: a connection, past the gateway."""
    UDP = "udp"
    """HOST:PORT: one datagram, past the gateway."""
    DNS_UDP = "dns-udp"
    """NAME TYPE RESOLVER; the resolver `resolv.conf` stands for each one that the container knows."""
    DNS_TCP = "dns-tcp"
    """As `dns-udp`."""
    CREDENTIALS = "credentials"
    """HOST:PORT: asks a metadata service for credentials."""
    WRITE = "write"
    """A folder: makes a file in it."""
    SETUID = "setuid"
    """A folder: looks for files below it that raise privileges."""
    USER = "user"
    CAPABILITIES = "capabilities"
    """Names of capabilities, apart by blanks, that may be left where no process can have them."""
    NO_NEW_PRIVILEGES = "no-new-privileges"
    SECCOMP = "seccomp"
    PIDS = "pids"
    MEMORY = "memory"
    SYSCALL = "syscall"
    """Name of an attempt: mount, unshare-net, unshare-user, vsock."""
    ENVIRON = "environ"
    """Names of variables, apart by blanks, that the session holds by declaration."""
    ABSENT = "absent"
    """Paths, apart by blanks."""


class Seen(StrEnum):
    """What may come of a probe."""

    REACHED = "reached"
    UNREACHABLE = "allowed, upstream unreachable"
    """The gateway lets it through, and the other side fails."""
    DENIED = "denied"
    """By the gateway, which names the rule."""
    CUT = "cut"
    """The tunnel was closed before a byte of the other side came back."""
    NO_GATEWAY = "no gateway"
    STRANGER = "not known to the gateway"
    """It denies everything to this address."""
    FAULT = "gateway fault"
    CONNECTED = "connected"
    BLOCKED = "blocked"
    """Refused in the session's own network namespace, or by a lack of a route there."""
    NO_ANSWER = "no answer"
    """It left, and nothing came back within the time-out."""
    NO_ROUTE = "no route outside"
    """It left, and something outside the session's namespace said that it goes no further."""
    ANSWERED = "answered"
    NO_SUCH_NAME = "no such name"
    EMPTY = "empty answer"
    FAILED = "resolver failed"
    NO_CREDENTIALS = "no credentials"
    CREDENTIALS = "credentials"
    WRITABLE = "writable"
    READ_ONLY = "read-only"
    REFUSED = "refused"
    ALLOWED = "allowed"
    NONE = "none"
    FOUND = "found"
    ROOT = "root"
    NOT_ROOT = "not root"
    SET = "set"
    NOT_SET = "not set"
    LIMITED = "limited"
    UNLIMITED = "unlimited"
    UNKNOWN = "unknown"
    """The container does not tell."""
    NOT_FINISHED = "not finished"


@dataclass(frozen=True)
class Probe:
    """One thing that is tried.

    Attributes:
        id: Short and stable, for machines.
        title: For people.
        kind: What is done.
        target: To what; the form depends on the kind.
        expected: What may come of it; the usual outcome first.
        why: What the expectation rests on.
    """

    id: str
    title: str
    kind: Kind
    target: str
    expected: tuple[Seen, ...]
    why: str


@dataclass(frozen=True)
class Neighbour:
    """Another session that is up, as seen from the network.

    Attributes:
        session: Its name.
        address: Where it listens: an address or a host name.
        port: TCP port.
    """

    session: str
    address: str
    port: int


@dataclass(frozen=True)
class Surroundings:
    """Where the probed session runs.

    Attributes:
        runtime: What carries it.
        session: Its name.
        gateway: HOST:PORT of its environment's gateway.
        bridge: Address of the Docker host on the session's network; None elsewhere.
        host_addresses: Its public addresses.
        others: Sessions that it must not reach.
        own_kernel: Whether a kernel in user space (gVisor) stands between it and the host's.
        held: Environment variables that hold a secret because the session declares it so.
        supervised: Whether several agents share the container, and the probes are tried as one of them.
    """

    runtime: Literal["docker", "fargate"]
    session: str
    gateway: str
    bridge: str | None = None
    host_addresses: tuple[IPv4Address | IPv6Address, ...] = ()
    others: tuple[Neighbour, ...] = ()
    own_kernel: bool = False
    held: tuple[str, ...] = ()
    supervised: bool = False


def probes(policy: EgressPolicy, around: Surroundings, control: AllowedHost | None = None) -> tuple[Probe, ...]:
    """All probes of a session under `policy`, the network's before the container's own.

    Args:
        policy: The environment's effective policy.
        around: Where the session runs.
        control: The allowed host to reach as the positive control; `control_host` chooses one.
    """
    return (*_gateway(policy, control), *_network(policy, around), *_container(around))


def control_host(policy: EgressPolicy, session: str, wanted: str | None = None) -> AllowedHost | None:
    """The allowed host that shows the way out to be open: an exact name that the stack file allows.

    The model's API is asked for only where there is no other. An unrestricted session needs none: its ways out do not
    depend on the gateway.

    Args:
        policy: The environment's effective policy.
        session: Who asks.
        wanted: A name to take instead of choosing.

    Raises:
        ValueError: `wanted` is not allowed; with rule and fix.
    """
    usable = [entry for entry in policy.hosts if not entry.sessions or session in entry.sessions]
    if wanted is not None:
        for entry in usable:
            if matches(entry.host, wanted):
                return AllowedHost(wanted, entry.port, entry.field, entry.sessions, entry.private_range)
        raise ValueError(
            f"{wanted!r} is not allowed for session {session!r}. Fix: name a host that `agentenv explain` calls allowed"
        )
    if policy.networking != "limited":
        return None
    exact = [entry for entry in usable if not entry.host.startswith("*.")]
    # A host in a private range is the surest to be up: the team runs it.
    return min(exact, key=lambda entry: (entry.host == MODEL_API_HOST, entry.private_range is None), default=None)


def _gateway(policy: EgressPolicy, control: AllowedHost | None) -> Iterator[Probe]:
    denied = (Seen.DENIED,)
    if control is not None:
        place = f"{control.host}:{control.port}"
        yield Probe(
            "allowed-host",
            "allowed host",
            Kind.TUNNEL,
            place,
            (Seen.REACHED, Seen.UNREACHABLE),
            f"allowed by {control.field}",
        )
        yield Probe(
            "other-sni",
            "SNI other than the host",
            Kind.TUNNEL,
            f"{place} {DENIED_HOST}",
            (Seen.CUT, Seen.DENIED, Seen.UNREACHABLE),
            "the gateway compares the ClientHello with the host of the CONNECT",
        )
    listed = "not in the list of allowed hosts" if policy.networking == "limited" else "the gateway serves its list"
    yield Probe("denied-host", "denied host", Kind.TUNNEL, f"{DENIED_HOST}:{HTTPS}", denied, listed)
    plain = control.host if control else DENIED_HOST
    yield Probe("plain-http", "plain HTTP at the gateway", Kind.PLAIN, f"http://{plain}/", denied, "only https leaves")
    for name, title, target in (
        ("address-connect", "address by CONNECT", f"{STRANGER}:{HTTPS}"),
        ("metadata-connect", "metadata by CONNECT", f"{INSTANCE_METADATA}:{HTTP}"),
    ):
        yield Probe(name, title, Kind.TUNNEL, target, denied, "the gateway takes host names alone")


def _network(policy: EgressPolicy, around: Surroundings) -> Iterator[Probe]:
    docker, limited = around.runtime == "docker", policy.networking == "limited"
    # A fence on Docker answers with a reset; security groups and network ACLs drop in silence.
    blocked = (Seen.BLOCKED,) if docker else (Seen.NO_ANSWER, Seen.BLOCKED)
    left = (Seen.NO_ANSWER, Seen.CONNECTED, Seen.ANSWERED, Seen.NO_ROUTE)
    way_out = blocked if limited else left
    wall = "the gateway is the one way out" if limited else "unrestricted: the fence lets it go"
    yield Probe("direct-tcp", "TCP past the gateway", Kind.TCP, f"{STRANGER}:{HTTPS}", way_out, wall)
    yield Probe("direct-udp", "UDP past the gateway", Kind.UDP, f"{STRANGER}:{HTTPS}", way_out, wall)
    if limited:
        yield Probe("ipv6", "IPv6", Kind.TCP, f"[{STRANGER_V6}]:{HTTPS}", blocked, wall)
    yield from _dns(policy, around, blocked)
    special = "metadata addresses are blocked in every environment"
    yield Probe("metadata", "instance metadata", Kind.TCP, f"{INSTANCE_METADATA}:{HTTP}", blocked, special)
    if docker:
        yield Probe("task-metadata", "task metadata", Kind.TCP, f"{TASK_METADATA}:{HTTP}", blocked, special)
    else:
        yield Probe(
            "task-credentials",
            "credentials of the task",
            Kind.CREDENTIALS,
            f"{TASK_METADATA}:{HTTP}",
            (Seen.NO_CREDENTIALS, Seen.BLOCKED),
            "a session's task has no role; AWS filters nothing on the way to this address",
        )
    if around.bridge:
        # A closed port of the host answers TCP with a reset, as the fence does. A datagram tells the two apart.
        host = "the Docker host is blocked in every environment"
        yield Probe("host-tcp", "Docker host by TCP", Kind.TCP, f"{around.bridge}:22", (Seen.BLOCKED,), host)
        yield Probe("host-udp", "Docker host by UDP", Kind.UDP, f"{around.bridge}:{DNS}", (Seen.BLOCKED,), host)
    for address in around.host_addresses:
        # Not the port of DNS: the host may be the session's resolver.
        place = f"[{address}]:{HTTPS}" if address.version == 6 else f"{address}:{HTTPS}"
        why = "the Docker host is blocked by its public addresses too"
        yield Probe(f"host-{address}", f"Docker host at {address}", Kind.UDP, place, (Seen.BLOCKED,), why)
    for other in around.others:
        yield Probe(
            f"session-{other.session}",
            f"session {other.session}",
            Kind.TCP,
            f"{other.address}:{other.port}",
            blocked,
            "sessions do not reach each other",
        )
    yield Probe(
        "gateway-admin",
        "admin port of the gateway",
        Kind.TCP,
        f"{around.gateway.rpartition(':')[0]}:{GATEWAY_ADMIN_PORT}",
        blocked,
        "health and metrics are not for sessions",
    )


def _dns(policy: EgressPolicy, around: Surroundings, blocked: tuple[Seen, ...]) -> Iterator[Probe]:
    tunnel = "c2VjcmV0.agentenv-tunnel.invalid TXT"
    if policy.networking != "limited":
        some = (Seen.NO_SUCH_NAME, Seen.ANSWERED, Seen.EMPTY, Seen.FAILED, Seen.NO_ANSWER)
        yield Probe("dns", "DNS", Kind.DNS_UDP, f"{tunnel} resolv.conf", some, "unrestricted: names are resolved")
        return
    if around.runtime == "docker":
        why = "the gateway resolves, a session has no DNS"
        gateway = around.gateway.rpartition(":")[0]
        yield Probe("dns", "DNS query", Kind.DNS_UDP, "agentenv-probe.invalid A resolv.conf", blocked, why)
        yield Probe("dns-tunnel", "DNS tunnel (TXT)", Kind.DNS_UDP, f"{tunnel} resolv.conf", blocked, why)
        yield Probe("dns-tcp", "DNS tunnel by TCP", Kind.DNS_TCP, f"{tunnel} resolv.conf", blocked, why)
        yield Probe("dns-gateway", "DNS tunnel by the gateway", Kind.DNS_UDP, f"{tunnel} {gateway}", blocked, why)
        return
    # The firewall answers NXDOMAIN, which every resolver answers for .invalid: only a name that exists shows a wall.
    why = "the DNS firewall answers for what starts a task, and for nothing else"
    nothing = (Seen.NO_SUCH_NAME, *blocked)
    yield Probe("dns", "DNS query", Kind.DNS_UDP, f"{MODEL_API_HOST} A resolv.conf", nothing, why)
    yield Probe("dns-tcp", "DNS query by TCP", Kind.DNS_TCP, f"{MODEL_API_HOST} A resolv.conf", nothing, why)
    yield Probe(
        "dns-stranger", "DNS tunnel by another resolver", Kind.DNS_UDP, f"{tunnel} {STRANGER}", blocked, "no way there"
    )


def _container(around: Surroundings) -> Iterator[Probe]:
    docker = around.runtime == "docker"
    # gVisor and Fargate do not show every number of their own.
    limited = (Seen.LIMITED,) if docker and not around.own_kernel else (Seen.LIMITED, Seen.UNKNOWN)
    yield Probe("user", "user", Kind.USER, "", (Seen.NOT_ROOT,), "the image's user has no privileges")
    yield Probe("root-fs", "root file system", Kind.WRITE, "/var/tmp", (Seen.READ_ONLY,), "read-only root")  # noqa: S108
    own, apart = ((Seen.WRITABLE,), "the agent's own"), ((Seen.REFUSED,), "each agent has a folder of its own in it")
    for name, folder in (("tmp", "/tmp"), ("workspace", "/workspace"), ("home", "/home/agent")):  # noqa: S108
        seen, why = apart if around.supervised and name != "tmp" else own
        yield Probe(f"write-{name}", f"work folder {folder}", Kind.WRITE, folder, seen, why)
    yield Probe("setuid", "files that raise privileges", Kind.SETUID, "/", (Seen.NONE,), "the image strips them")
    left = " ".join(SUPERVISOR) if around.supervised else ""
    dropped = "none but the supervisor's, which no agent can have" if left else "all dropped"
    yield Probe("capabilities", "capabilities", Kind.CAPABILITIES, left, (Seen.NONE,), dropped)
    for attempt in ("mount", "unshare-net"):
        yield Probe(attempt, attempt, Kind.SYSCALL, attempt, (Seen.REFUSED,), "takes a capability")
    yield Probe(
        "secrets",
        "secrets in the environment",
        Kind.ENVIRON,
        " ".join(around.held),
        (Seen.NONE,),
        "the gateway adds credentials on the way out",
    )
    yield Probe("memory", "memory limit", Kind.MEMORY, "", limited, "set by the session's size")
    if not docker:
        return
    told = (Seen.SET, Seen.UNKNOWN) if around.own_kernel else (Seen.SET,)
    yield Probe("no-new-privileges", "no new privileges", Kind.NO_NEW_PRIVILEGES, "", told, "set on the container")
    yield Probe("pids", "limit of processes", Kind.PIDS, "", limited, "a fork bomb hurts its own session only")
    yield Probe(
        "engine-socket",
        "container engine's socket",
        Kind.ABSENT,
        "/var/run/docker.sock /run/containerd/containerd.sock",
        (Seen.NONE,),
        "whoever has it owns the host",
    )
    if not around.own_kernel:
        # gVisor filters its own process: inside, there is no filter to see and a user namespace is not the host's.
        vsock = "the session's own filter refuses it, since no firewall rule sees it"
        yield Probe("vsock", "socket to the hypervisor", Kind.SYSCALL, "vsock", (Seen.REFUSED,), vsock)
        yield Probe("seccomp", "seccomp filter", Kind.SECCOMP, "", (Seen.SET,), "the engine's default profile")
        yield Probe(
            "unshare-user",
            "user namespace",
            Kind.SYSCALL,
            "unshare-user",
            (Seen.REFUSED,),
            "refused by the seccomp profile",
        )
