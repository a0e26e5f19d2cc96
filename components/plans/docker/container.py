"""One container as it must be: plain data, for whoever makes it.

The stack program hands it to Pulumi's Docker provider, `agentenv` to the engine's own API.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any, Literal

MIB = 1024 * 1024
LOOPBACK = "127.0.0.1"
"""The one address of the host on which ports are published."""
_NANO = 10**9
# The engine keeps everything that a container writes to its output, unless told otherwise.
LOG_DRIVER, LOG_OPTIONS = "json-file", {"max-size": "10m", "max-file": "5"}


@dataclass(frozen=True)
class Mount:
    """Something of the host seen in the container.

    Attributes:
        kind: `bind` for a file of the host, `volume` for a named volume.
        source: Path of the file, or name of the volume. A file that is not there is an error, never made.
        target: Where in the container.
        read_only: Whether the container may only read it.
    """

    kind: Literal["bind", "volume"]
    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True)
class Attachment:
    """A network that the container is on.

    Attributes:
        network: Name of the network.
        address: The container's address in it.
    """

    network: str
    address: IPv4Address


@dataclass(frozen=True)
class Check:
    """How the engine finds out whether the container is well.

    Attributes:
        command: Exits with 0 if so.
        interval: Seconds between two checks.
        timeout: Seconds that one may take.
        start: Seconds at the start in which a failure does not count.
        retries: Failures in a row that make it unhealthy.
    """

    command: tuple[str, ...]
    interval: int = 10
    timeout: int = 5
    start: int = 15
    retries: int = 3


@dataclass(frozen=True)
class ContainerPlan:
    """A container, restrictive unless told otherwise.

    Attributes:
        name: On the engine; also how others join its network namespace.
        image: Reference of the image.
        user: `uid:gid`.
        labels: See `components.models.tags`.
        memory_bytes: Limit; there is no swap beyond it, and what lies in `tmpfs` counts.
        cpus: Limit, in processors.
        entrypoint: Replaces the image's, and with it the image's command.
        command: Arguments, no shell.
        environment: Variables; nothing secret.
        tmpfs: Path -> mount options.
        mounts: Files and volumes.
        networks: Networks; none when it joins a namespace.
        network_mode: `container:NAME` to join the network namespace of another container.
        ports: TCP ports published under their own number on the host's loopback address.
        dns: Servers that the engine's resolver asks.
        cap_add: Capabilities that are left of those that `cap_drop` takes.
        cap_drop: Capabilities that are taken.
        security_opt: As `docker run --security-opt`.
        read_only: Whether its root file system is.
        pids_limit: Processes and threads at most; not known to Pulumi's provider.
        nproc: The same as a limit on the user, for containers that Pulumi makes.
        file_bytes: The longest file that it can write to a volume.
        init: Whether a small init reaps what the program leaves behind.
        runtime: OCI runtime; None for the engine's default.
        stop_seconds: Between SIGTERM and SIGKILL.
        restart: Restart policy.
        check: Health check.
    """

    name: str
    image: str
    user: str
    labels: Mapping[str, str]
    memory_bytes: int
    cpus: float
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    tmpfs: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    networks: tuple[Attachment, ...] = ()
    network_mode: str | None = None
    ports: tuple[int, ...] = ()
    dns: tuple[IPv4Address, ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ("ALL",)
    security_opt: tuple[str, ...] = ("no-new-privileges",)
    read_only: bool = True
    pids_limit: int | None = None
    nproc: int | None = None
    file_bytes: int | None = None
    init: bool = True
    runtime: str | None = None
    stop_seconds: int = 10
    restart: Literal["no", "on-failure", "unless-stopped"] = "no"
    check: Check | None = None

    @property
    def ulimits(self) -> dict[str, int]:
        """Limits by the kernel's names, hard and soft."""
        return {name: limit for name, limit in (("nproc", self.nproc), ("fsize", self.file_bytes)) if limit}

    def engine_config(self) -> dict[str, Any]:
        """Body of the engine's `POST /containers/create`, without the name.

        The first network alone is in it, since engines before 25.0 take one; connect the others before the start.
        Source: https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerCreate
        """
        config: dict[str, Any] = {
            "Image": self.image,
            "User": self.user,
            "Cmd": list(self.command),
            "Env": [f"{name}={value}" for name, value in sorted(self.environment.items())],
            "Labels": dict(self.labels),
            "StopTimeout": self.stop_seconds,
            "ExposedPorts": {f"{port}/tcp": {} for port in self.ports},
            "HostConfig": self._host_config(),
        }
        if self.entrypoint:
            config["Entrypoint"] = list(self.entrypoint)
        if self.check:
            config["Healthcheck"] = {
                "Test": ["CMD", *self.check.command],
                "Interval": self.check.interval * _NANO,
                "Timeout": self.check.timeout * _NANO,
                "StartPeriod": self.check.start * _NANO,
                "Retries": self.check.retries,
            }
        if self.networks:
            first = self.networks[0]
            endpoint = {"IPAMConfig": {"IPv4Address": str(first.address)}}
            config["NetworkingConfig"] = {"EndpointsConfig": {first.network: endpoint}}
        return config

    def _host_config(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            "NetworkMode": self.network_mode or self.networks[0].network,
            "PortBindings": {f"{port}/tcp": [{"HostIp": LOOPBACK, "HostPort": str(port)}] for port in self.ports},
            "Dns": [str(address) for address in self.dns],
            "Memory": self.memory_bytes,
            "MemorySwap": self.memory_bytes,
            "NanoCpus": int(self.cpus * _NANO),
            "CapAdd": list(self.cap_add),
            "CapDrop": list(self.cap_drop),
            "SecurityOpt": list(self.security_opt),
            "ReadonlyRootfs": self.read_only,
            "Tmpfs": dict(self.tmpfs),
            "Mounts": [
                {"Type": one.kind, "Source": one.source, "Target": one.target, "ReadOnly": one.read_only}
                for one in self.mounts
            ],
            "Init": self.init,
            "RestartPolicy": {"Name": self.restart},
            "LogConfig": {"Type": LOG_DRIVER, "Config": LOG_OPTIONS},
        }
        if self.pids_limit:
            config["PidsLimit"] = self.pids_limit
        if self.ulimits:
            config["Ulimits"] = [{"Name": name, "Soft": most, "Hard": most} for name, most in self.ulimits.items()]
        if self.runtime:
            config["Runtime"] = self.runtime
        return config
