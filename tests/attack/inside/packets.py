"""A log of packets in the kernel: what arrives somewhere is seen there whether or not anybody listens.

Packets of a connection that is known already are left out: one that an earlier case opened may be closed at any time.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

Nft = Callable[..., str]
"""Runs `nft` somewhere with these arguments and, as `given`, its input; its output."""


@dataclass(frozen=True, order=True)
class Packet:
    """What is kept of a packet; the port is 0 where the protocol has none."""

    source: str
    destination: str
    protocol: str
    port: int


class PacketLog:
    """Keeps note of IPv4 packets as they come in, before any rule but the raw ones, and of IPv6 ones but multicast.

    Args:
        nft: See `Nft`.
        table: Name of a table of its own.
        interface: Those that come in by this one alone; the first part of a name with `*`.
    """

    def __init__(self, nft: Nft, table: str, interface: str) -> None:
        self._nft, self._table = nft, table
        here = f'iifname "{interface}" ct state != {{ established, related }}'
        family = {"ip": "ipv4_addr", "ip6": "ipv6_addr"}
        sets = [
            f"set {name}_{kind} {{ type {address} . {address} . inet_proto{port}; flags dynamic; size 65535; }}"
            for name, address in family.items()
            for kind, port in (("ports", " . inet_service"), ("plain", ""))
        ]
        rules = [
            f"{here} {which} {match} add @{name}_{kind} {{ {name} saddr . {name} daddr . meta l4proto{port} }}"
            for name, which in (("ip", "meta nfproto ipv4"), ("ip6", "ip6 daddr != ff00::/8"))
            for kind, match, port in (
                ("ports", "meta l4proto { tcp, udp }", " . th dport"),
                ("plain", "meta l4proto != { tcp, udp }", ""),
            )
        ]
        self._sets = [f"{name}_{kind}" for name in family for kind in ("ports", "plain")]
        body = "\n".join(["type filter hook prerouting priority -190;", *rules])
        nft("-f", "-", given=f"table inet {table} {{\n" + "\n".join(sets) + f"\nchain arriving {{\n{body}\n}}\n}}\n")

    def clear(self) -> None:
        """Forget all."""
        self._nft("-f", "-", given="".join(f"flush set inet {self._table} {name}\n" for name in self._sets))

    def packets(self) -> set[Packet]:
        """All that came in since the log was cleared."""
        found = set()
        for name in self._sets:
            listed = json.loads(self._nft("-j", "list", "set", "inet", self._table, name))
            (entry,) = [item["set"] for item in listed["nftables"] if "set" in item]
            for element in entry.get("elem", []):
                source, destination, protocol, *port = element["concat"]
                found.add(Packet(source, destination, str(protocol), int(port[0]) if port else 0))
        return found

    def remove(self) -> None:
        """Take the table away."""
        self._nft("delete", "table", "inet", self._table)
