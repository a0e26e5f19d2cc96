"""Addresses on a Docker host: a /29 for each network, out of one range, without a list of what is taken.

The lower half of the range is for what a stack declares: its places follow from names, so that they are known at
preview and stay as they are. The upper half is for runs, which come and go: a free place is found by trying.
"""

import hashlib
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from components.plans.image import SERVICE_UIDS

PREFIX = 29
"""Length of one network: its bridge, the gateway, the fence of the session, and room for a forwarder."""
_SIZE = 1 << (32 - PREFIX)


@dataclass(frozen=True)
class SessionNetwork:
    """One /29.

    Attributes:
        subnet: All of it.
        bridge: The host's own address in it.
        gateway: Where the environment's egress gateway listens.
        session: The session's own address, which its fence container holds.
        forwarder: Where a port of a limited service is relayed from.
    """

    subnet: IPv4Network

    @property
    def bridge(self) -> IPv4Address:
        """First address."""
        return self.subnet[1]

    @property
    def gateway(self) -> IPv4Address:
        """Second address."""
        return self.subnet[2]

    @property
    def session(self) -> IPv4Address:
        """Third address."""
        return self.subnet[3]

    @property
    def forwarder(self) -> IPv4Address:
        """Fourth address."""
        return self.subnet[4]


def declared_networks(range_: IPv4Network, deployment: str, names: Iterable[str]) -> dict[str, SessionNetwork]:
    """A network for each of these names, in the lower half of the range.

    Args:
        range_: `docker.range` of the stack file.
        deployment: Name of the Pulumi stack: two stacks of one team on one host get different networks.
        names: Everything that the stack declares a network for.

    Returns:
        Name -> network. A name keeps its network when others come and go, unless a name that sorts before it comes
        to the very same place.

    Raises:
        ValueError: there are more names than networks; with rule and fix.
    """
    places = _places(range_) // 2
    wanted = sorted(set(names))
    if len(wanted) > places:
        raise ValueError(
            f"holds {places} networks of declared sessions, and {len(wanted)} are needed. "
            "Fix: use a wider range, like 10.200.0.0/13"
        )
    return {name: _network(range_, place) for name, place in _spread(deployment, wanted, places).items()}


def run_networks(range_: IPv4Network) -> Iterator[SessionNetwork]:
    """Every network of the upper half, once each, in an order of its own at each call.

    Whoever starts a run takes the first that the engine takes; an engine refuses a pool that overlaps another.
    """
    places = _places(range_) // 2
    # An odd step through a power of two meets every place once, and needs no list of up to a million of them.
    start, step = random.randrange(places), 2 * random.randrange(places) + 1  # noqa: S311 - not a secret
    for count in range(places):
        yield _network(range_, places + (start + count * step) % places)


def service_uids(deployment: str, services: Iterable[str]) -> dict[str, int]:
    """A user for each service of a stack: name -> uid.

    Raises:
        ValueError: there are more services than users; with rule and fix.
    """
    wanted = sorted(set(services))
    if len(wanted) > len(SERVICE_UIDS):
        raise ValueError(
            f"a stack runs {len(SERVICE_UIDS)} services on a Docker host at most, and {len(wanted)} are declared. "
            "Fix: spread them over several stacks"
        )
    return {name: SERVICE_UIDS[place] for name, place in _spread(deployment, wanted, len(SERVICE_UIDS)).items()}


def _places(range_: IPv4Network) -> int:
    return range_.num_addresses // _SIZE


def _network(range_: IPv4Network, place: int) -> SessionNetwork:
    return SessionNetwork(IPv4Network((int(range_.network_address) + place * _SIZE, PREFIX)))


def _spread(deployment: str, names: Iterable[str], places: int) -> dict[str, int]:
    """A place of its own for each name: where its hash points, or the next free one behind it."""
    taken: dict[int, str] = {}
    for name in names:
        digest = hashlib.sha256(f"{deployment}\0{name}".encode()).digest()
        place = int.from_bytes(digest[:8], "big") % places
        while place in taken:
            place = (place + 1) % places
        taken[place] = name
    return {name: place for place, name in taken.items()}
