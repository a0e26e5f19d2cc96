"""What the Docker engine says of itself, asked once, before anything is declared."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from pathlib import Path

from components.models.errors import InvalidInput
from components.models.session import Architecture

MAX_RESOLVERS = 3
ISOLATED_GATEWAY_SINCE = 28
"""First major version whose internal networks can be without an address of the host (moby pull request 49262)."""
# Where a stub resolver is in use, the second file names the servers behind it; the engine reads both, in this order.
_RESOLVER_FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
_ARCHITECTURES = {"aarch64": Architecture.ARM64, "arm64": Architecture.ARM64}
_TIMEOUT = 20
_LOCAL = "http+docker://"


@dataclass(frozen=True)
class Engine:
    """An engine.

    Attributes:
        major: Its major version.
        runtimes: OCI runtimes that it has, each with the arguments that it gives to it.
        cpus: Processors of its host.
        memory_bytes: Memory of its host.
        architecture: What its host runs by itself.
        local: Whether it is on this machine.
    """

    major: int
    runtimes: Mapping[str, tuple[str, ...]]
    cpus: int
    memory_bytes: int
    architecture: Architecture
    local: bool

    @property
    def isolates_gateway(self) -> bool:
        """Whether an internal network may be without an address of the host."""
        return self.major >= ISOLATED_GATEWAY_SINCE


def engine() -> Engine:
    """Ask the engine that `DOCKER_HOST` names, or the one of this machine.

    Raises:
        InvalidInput: none answers.
    """
    # Imported here: the SDK takes a tenth of a second to load, and a stack on another runtime needs none of it.
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=_TIMEOUT)
        try:
            told, local = client.info(), client.api.base_url.startswith(_LOCAL)
        finally:
            client.close()
    except DockerException as error:
        raise InvalidInput.of(
            "runtime",
            "docker",
            f"no Docker engine answers: {str(error).splitlines()[0]}",
            "start Docker, or name the engine in DOCKER_HOST",
        ) from None
    version = re.match(r"\d+", str(told.get("ServerVersion", "")))
    return Engine(
        major=int(version[0]) if version else 0,
        runtimes={str(name): tuple(how.get("runtimeArgs") or ()) for name, how in (told.get("Runtimes") or {}).items()},
        cpus=int(told.get("NCPU") or 0),
        memory_bytes=int(told.get("MemTotal") or 0),
        architecture=_ARCHITECTURES.get(str(told.get("Architecture")), Architecture.X86_64),
        local=local,
    )


def host_resolvers(files: tuple[Path, ...] = _RESOLVER_FILES) -> tuple[IPv4Address, ...]:
    """DNS servers that this machine asks: those of the first file that names any which a container can reach."""
    for file in files:
        if file.is_file() and (found := _resolvers(file.read_text())):
            return found[:MAX_RESOLVERS]
    return ()


def _resolvers(text: str) -> tuple[IPv4Address, ...]:
    found = []
    for line in text.splitlines():
        name, *values = line.split()[:2] or [""]
        if name == "nameserver" and values:
            address = ip_address(values[0].partition("%")[0])
            # Networks of sessions have no IPv6, and the loopback address of a container is its own.
            if isinstance(address, IPv4Address) and not address.is_loopback:
                found.append(address)
    return tuple(found)
