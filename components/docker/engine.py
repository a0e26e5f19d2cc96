"""What the Docker engine says of itself, asked once, before anything is declared."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

from components.models.errors import InvalidInput
from components.models.session import Architecture
from components.plans.docker import SAFETY_BLOCKLIST_V6
from components.plans.network import SAFETY_BLOCKLIST

Address = IPv4Address | IPv6Address
MAX_RESOLVERS = 3
ISOLATED_GATEWAY_SINCE = 28
"""First major version whose internal networks can be without an address of the host (moby pull request 49262)."""
# Where a stub resolver is in use, the second file names the servers behind it; the engine reads both, in this order.
_RESOLVER_FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
_ARCHITECTURES = {"aarch64": Architecture.ARM64, "arm64": Architecture.ARM64}
_TIMEOUT = 20
_LOCAL = "http+docker://localhost"
"""What the SDK calls a socket of this machine; by ssh an engine is `http+docker://ssh`."""
_ROUTES, _ADDRESSES_V6 = Path("/proc/net/fib_trie"), Path("/proc/net/if_inet6")
_LEAF = re.compile(r"\|-- (\S+)((?:\n\s+/\d.*)+)")
"""An address, and below it a line for each route to a range that starts there."""
_OWN = "/32 host LOCAL"
_TEMPORARY = 0x01
"""IFA_F_TEMPORARY of linux/if_addr.h."""
_BLOCKED_V4 = [IPv4Network(text) for text, _ in SAFETY_BLOCKLIST]
_BLOCKED_V6 = [IPv6Network(text) for text, _ in SAFETY_BLOCKLIST_V6]


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
    except (DockerException, OSError) as error:
        told_by = str(error) or type(error).__name__
        raise InvalidInput.of(
            "runtime",
            "docker",
            f"no Docker engine answers: {told_by.splitlines()[0]}",
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
            try:
                address = IPv4Address(values[0])
            except AddressValueError:
                # Networks of sessions have no IPv6, and what is no address at all the host's resolver passes over too.
                continue
            # The loopback address of a container is its own.
            if not address.is_loopback:
                found.append(address)
    return tuple(found)


def host_addresses(routes: Path = _ROUTES, addresses_v6: Path = _ADDRESSES_V6) -> tuple[Address, ...] | None:
    """Addresses of this machine, on all of its interfaces; None where no Linux kernel tells them.

    IPv6 addresses that the kernel makes up for a day or so (RFC 8981) are left out: the networks of sessions have no
    IPv6, and each `up` would replace the fences.
    """
    if not routes.is_file():
        return None
    found: set[Address] = {IPv4Address(text) for text, kinds in _LEAF.findall(routes.read_text()) if _OWN in kinds}
    # There is no such file where IPv6 is off.
    for line in addresses_v6.read_text().splitlines() if addresses_v6.is_file() else ():
        number, _, _, _, flags, *_ = line.split()
        if not int(flags, 16) & _TEMPORARY:
            found.add(IPv6Address(int(number, 16)))
    return tuple(found)


def beyond_blocklist(addresses: Iterable[Address]) -> tuple[Address, ...]:
    """Those that the safety blocklist does not hold anyway, once each and in order: nftables takes no overlaps."""
    kept = {
        address
        for address in addresses
        if not any(address in blocked for blocked in (_BLOCKED_V4 if address.version == 4 else _BLOCKED_V6))
    }
    return tuple(sorted(kept, key=lambda address: (address.version, int(address))))
