"""Which addresses a name may lead to."""

import errno
import ipaddress
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Refused whatever a policy says: link-local, the clouds' metadata and host services, "this network", multicast.
_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "224.0.0.0/4",
        "255.255.255.255/32",
        "::/128",
        "fd00:ec2::/32",
        "fe80::/10",
        "ff00::/8",
    )
)
_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
# Not reachable from everywhere (IANA's special-purpose registries), which `is_global` of some Pythons does not know.
_SPECIAL = tuple(
    ipaddress.ip_network(text)
    for text in ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2002::/16", "3fff::/20", "2001:db8::/32")
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_NAT64 = IPv6Network("64:ff9b::/96")


def may_connect(address: Address, private_range: Network | None) -> bool:
    """Whether the gateway may connect to an address that an allowed name resolves to.

    Args:
        address: The address.
        private_range: Where the policy says that the host lies; None for a host of the Internet.

    Returns:
        Without a range, whether the address is globally reachable; with one, whether it is in it. Link-local and
        metadata addresses never are, nor the gateway's own; loopback only if the range itself lies in it.
    """
    if _in(address, _NEVER) or _in(_inner(address), _NEVER):
        return False
    if private_range is None:
        return _is_global(address) and not is_own(address)
    if address not in private_range:
        return False
    if _in(address, _LOOPBACK):
        return _within(private_range, _LOOPBACK)
    return not is_own(address)


def is_own(address: Address) -> bool:
    """Whether the address is one of this machine's (of this network namespace's)."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # Only a local address can be bound to; nothing is sent.
            probe.bind((str(address), 0))
    except OSError as error:
        # Anything else, such as no file left to open, says nothing about the address.
        return error.errno not in _NOT_HERE
    return True


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, if it does."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address
    return address


def _is_global(address: Address) -> bool:
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return _is_global(IPv4Address(int(address) & 0xFFFFFFFF))
        # Mapped, compatible and translated forms of IPv4 addresses lie outside, 6to4 and Teredo are special.
        if address not in _GLOBAL_UNICAST:
            return False
    return address.is_global and not address.is_multicast and not _in(address, (*_NEVER, *_SPECIAL))


def _in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def span(network: Network) -> tuple[int, int]:
    """Sorts networks of one version by their first address, wider ones before those inside them."""
    return int(network.network_address), network.prefixlen


def overlap(one: Network, other: Network) -> bool:
    """Whether two networks, of either version, share an address."""
    return (
        one.version == other.version
        and int(one.network_address) <= int(other.broadcast_address)
        and int(other.network_address) <= int(one.broadcast_address)
    )


def _within(network: Network, outer: Sequence[Network]) -> bool:
    return any(overlap(network, one) and network.prefixlen >= one.prefixlen for one in outer)
