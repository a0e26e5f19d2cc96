"""The containers of the Docker runtime: fences, sessions, gateways and what serves them."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address

from components.models.capabilities import SUPERVISOR
from components.models.environment import Environment
from components.models.session import Session
from components.models.stack import Isolation
from components.plans import task
from components.plans.docker.addresses import SessionNetwork
from components.plans.docker.container import MIB, Attachment, Check, ContainerPlan, Mount
from components.plans.docker.rules import fence_rules, gateway_rules
from components.plans.image import (
    AGENT_UID,
    BEHIND_FENCE,
    FENCE_PROGRAM,
    FORWARD_PROGRAM,
    GATEWAY_POLICY,
    GATEWAY_STATE,
    GATEWAY_UID,
    SESSION_COMMAND,
    STATE_FOLDER,
)

SECRETS = "/run/secrets"
SECRET_FILE = "file:"  # noqa: S105 - how a reference to a file on the Docker host begins
INCOMING, POLICY = f"{GATEWAY_POLICY}/incoming.json", f"{GATEWAY_POLICY}/policy.json"
"""Where a policy is uploaded to, and where it is in force."""
PROCESSES = 1024
"""Processes and threads of one session."""
_NOBODY = "65534:65534"
_FENCE_CAPABILITIES = ("CAP_NET_ADMIN", "CAP_SETGID", "CAP_SETUID")
_HELPER_PROCESSES = 64
# Shares of a session's disk. They are limits, not reservations: memory is used for what is there.
_SCRATCH_SHARES = {"/tmp": 4, "/workspace": 2, "/home/agent": 4}  # noqa: S108 - paths in the container


def fence_container(
    *,
    name: str,
    image: str,
    networking: str,
    network: SessionNetwork,
    network_name: str,
    labels: Mapping[str, str],
    resolvers: Sequence[IPv4Address] = (),
    host_addresses: Sequence[IPv4Address | IPv6Address] = (),
    ports: Sequence[int] = (),
    service: bool = False,
) -> ContainerPlan:
    """The container that owns a session's network namespace and sets its rules before the session joins.

    Args:
        name: Its own.
        image: The fence image.
        networking: `limited` or `unrestricted`.
        network: Addresses of the session's network.
        network_name: Its name on the engine.
        labels: Its labels, with the role `fence`.
        resolvers: DNS servers of an unrestricted session.
        host_addresses: Public addresses of the host.
        ports: TCP ports that the session serves.
        service: Whether it stays, and is there again after a reboot.

    Ports of an unrestricted service are published here; a limited one's network publishes none, see
    :func:`forwarder_container`.
    """
    rules = fence_rules(networking, network, resolvers=resolvers, host_addresses=host_addresses, ports=ports)
    limited = networking == "limited"
    return _holder(
        name=name,
        image=image,
        rules=rules,
        labels=labels,
        networks=(Attachment(network_name, network.session),),
        # A limited session asks nobody: were the engine's resolver within reach, it would ask where nothing answers.
        dns=(network.gateway,) if limited else tuple(resolvers),
        ports=() if limited else tuple(ports),
        service=service,
    )


def session_container(
    *,
    name: str,
    image: str,
    environment: Environment,
    session: Session,
    network: SessionNetwork,
    fence: str,
    labels: Mapping[str, str],
    uid: int = AGENT_UID,
    isolation: Isolation = Isolation.RUNC,
    run: Mapping[str, str] | None = None,
    state_volume: str | None = None,
) -> ContainerPlan:
    """The container that the agent runs in, behind its fence.

    Args:
        name: Its own.
        image: Image of the environment.
        environment: Where it runs.
        session: What it is; a service is restarted, a run is not.
        network: Addresses of its network.
        fence: Name or id of its fence container.
        labels: Its labels, with the role `session`.
        uid: Its user; a service has one of its own. Several agents in one container have users of their own instead.
        isolation: OCI runtime.
        run: Further variables of one run.
        state_volume: Name of the volume with its kept conversations.
    """
    size = session.resources
    gateway = str(network.gateway)
    variables = {
        **task.variables(environment, gateway),
        **task.session_variables(session, gateway),
        **(run or {}),
        **({"AGENTENV_STATE": "volume"} if state_volume else {}),
        "AGENTENV_ISOLATION": isolation.value,
    }
    supervised = session.is_supervised
    return ContainerPlan(
        name=name,
        image=image,
        # A supervisor has no capability to read what it may not: the group lets it read the secrets that it hands on.
        user=f"{0 if supervised else uid}:{AGENT_UID}",
        labels=labels,
        memory_bytes=memory_mib(session) * MIB,
        cpus=size.cpu,
        entrypoint=BEHIND_FENCE,
        command=task.command(session) or SESSION_COMMAND,
        environment=variables,
        tmpfs=scratch(size.disk_gib, 0 if supervised else uid, 0 if supervised else AGENT_UID),
        mounts=(
            *(
                Mount("bind", secret.source.removeprefix(SECRET_FILE), f"{SECRETS}/{secret.name}")
                for secret in session.secrets
                if secret.inject is None
            ),
            *([Mount("volume", state_volume, STATE_FOLDER, read_only=False)] if state_volume else []),
        ),
        network_mode=f"container:{fence}",
        # The limit on processes that counts is the one of whoever makes the container: see ContainerPlan.
        pids_limit=PROCESSES,
        nproc=PROCESSES if session.is_service else None,
        # Its other folders are memory; a volume is the host's disk, and holds as many files as the image has put there.
        file_bytes=size.disk_gib * 1024 * MIB if state_volume else None,
        runtime=None if isolation is Isolation.RUNC else isolation.value,
        stop_seconds=task.STOP_TIMEOUT,
        cap_add=tuple(f"CAP_{name}" for name in SUPERVISOR) if supervised else (),
        # What has saved its state and ended after a time without work stays down until somebody asks for it.
        restart="no" if not session.is_service else "on-failure" if session.idle_timeout else "unless-stopped",
    )


def anchor_container(
    *,
    name: str,
    image: str,
    range_: IPv4Network,
    egress: SessionNetwork,
    networks: Sequence[Attachment],
    resolvers: Sequence[IPv4Address],
    labels: Mapping[str, str],
) -> ContainerPlan:
    """The container that owns a gateway's network namespace, so that a new gateway finds every network attached.

    Args:
        name: Its own.
        image: The fence image.
        range_: Where sessions are.
        egress: Addresses of the network by which the gateway reaches the outside.
        networks: That network first, then those of the environment's services; runs are attached as they start.
        resolvers: DNS servers that the gateway asks; none for the engine's own choice.
        labels: Its labels, with the role `fence`.
    """
    return _holder(
        name=name,
        image=image,
        rules=gateway_rules(range_, egress),
        labels=labels,
        networks=tuple(networks),
        dns=tuple(resolvers),
        service=True,
    )


def gateway_container(
    *,
    name: str,
    image: str,
    anchor: str,
    policy_volume: str,
    state_volume: str,
    secrets: Mapping[str, str],
    labels: Mapping[str, str],
) -> ContainerPlan:
    """The egress gateway of an environment. Its policy is in a volume: a change of policy changes nothing here.

    Args:
        name: Its own.
        image: The gateway image.
        anchor: Name or id of the container whose network namespace it is in.
        policy_volume: Where :func:`writer_container` puts the policy.
        state_volume: What outlives it: the sessions that were admitted.
        secrets: Path below `/run/secrets` -> file of the host, for credentials that it adds.
        labels: Its labels, with the role `gateway`.
    """
    return ContainerPlan(
        name=name,
        image=image,
        user=f"{GATEWAY_UID}:{GATEWAY_UID}",
        labels=labels,
        memory_bytes=512 * MIB,
        cpus=1,
        command=("python3", "-m", "egress_gateway"),
        environment={"EGRESS_FENCE": "1"},
        tmpfs={"/tmp": "rw,nosuid,nodev,noexec,size=16m"},  # noqa: S108 - a path in the container
        mounts=(
            Mount("volume", policy_volume, GATEWAY_POLICY),
            Mount("volume", state_volume, GATEWAY_STATE, read_only=False),
            *(Mount("bind", path, f"{SECRETS}/{target}") for target, path in sorted(secrets.items())),
        ),
        network_mode=f"container:{anchor}",
        restart="unless-stopped",
        check=Check(("python3", "-m", "egress_gateway", "check")),
    )


def writer_container(*, name: str, image: str, policy_volume: str, labels: Mapping[str, str]) -> ContainerPlan:
    """Runs once: puts the policy that was uploaded into force, or ends with an error that says what is wrong with it.

    Args:
        name: Its own.
        image: The gateway image.
        policy_volume: The gateway's.
        labels: Its labels, with the role `gateway`.
    """
    return ContainerPlan(
        name=name,
        image=image,
        user=f"{GATEWAY_UID}:{GATEWAY_UID}",
        labels=labels,
        memory_bytes=128 * MIB,
        cpus=1,
        command=("python3", "-m", "egress_gateway", "install", INCOMING, POLICY),
        mounts=(Mount("volume", policy_volume, GATEWAY_POLICY, read_only=False),),
        network_mode="none",
        # The engine uploads into no container whose root is read-only, though the file goes to a volume.
        read_only=False,
    )


def forwarder_container(
    *,
    name: str,
    image: str,
    ingress: SessionNetwork,
    ingress_name: str,
    network: SessionNetwork,
    network_name: str,
    ports: Sequence[int],
    labels: Mapping[str, str],
) -> ContainerPlan:
    """Relays the ports of a limited service from the host's loopback address: a limited network publishes none.

    Args:
        name: Its own.
        image: The fence image.
        ingress: Addresses of the network that publishes the ports.
        ingress_name: Its name on the engine.
        network: Addresses of the session's network.
        network_name: Its name on the engine.
        ports: TCP ports.
        labels: Its labels, with the role `fence`.
    """
    return ContainerPlan(
        name=name,
        image=image,
        user=_NOBODY,
        labels=labels,
        memory_bytes=128 * MIB,
        cpus=0.5,
        entrypoint=FORWARD_PROGRAM,
        environment={
            "FORWARD_LISTEN": str(ingress.session),
            "FORWARD_TARGET": str(network.session),
            "FORWARD_FROM": str(ingress.bridge),
            "FORWARD_PORTS": ",".join(map(str, sorted(ports))),
        },
        networks=(Attachment(ingress_name, ingress.session), Attachment(network_name, network.forwarder)),
        ports=tuple(sorted(ports)),
        pids_limit=_HELPER_PROCESSES,
        restart="unless-stopped",
    )


def memory_mib(session: Session) -> int:
    """Memory limit in MiB: what the session asks for, and its disk, which is memory too."""
    return int((session.resources.memory_gib + session.resources.disk_gib) * 1024)


def scratch(disk_gib: int, uid: int, gid: int = AGENT_UID) -> dict[str, str]:
    """The writable folders of a session, path -> tmpfs options; together they hold `disk_gib` GiB.

    Programs may run from them, since packages that an agent installs do; none gains privileges there.
    """
    return {
        path: f"rw,exec,nosuid,nodev,size={disk_gib * 1024 // share}m,uid={uid},gid={gid},"
        f"mode={'1777' if path.endswith('tmp') else '0700' if uid else '0755'}"
        for path, share in _SCRATCH_SHARES.items()
    }


def _holder(
    *,
    name: str,
    image: str,
    rules: str,
    labels: Mapping[str, str],
    networks: tuple[Attachment, ...],
    dns: tuple[IPv4Address, ...],
    ports: tuple[int, ...] = (),
    service: bool,
) -> ContainerPlan:
    return ContainerPlan(
        name=name,
        image=image,
        # Root for as long as it takes to set the rules; then nobody.
        user="0:0",
        labels=labels,
        memory_bytes=64 * MIB,
        # For the moment of its start, which every session waits for; then it sleeps.
        cpus=1,
        entrypoint=FENCE_PROGRAM,
        command=("hold",),
        environment={"FENCE_RULES": rules},
        networks=networks,
        ports=ports,
        dns=dns,
        cap_add=_FENCE_CAPABILITIES,
        pids_limit=_HELPER_PROCESSES,
        # An init would stay root, with these capabilities. The program is its own.
        init=False,
        stop_seconds=5,
        restart="unless-stopped" if service else "no",
    )
