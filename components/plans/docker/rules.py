"""nftables rules of the namespaces that fences hold: text for `nft -f -`, applied whole or not at all."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address

from components.plans.docker.addresses import SessionNetwork
from components.plans.network import GATEWAY_PORT, SAFETY_BLOCKLIST

EMBEDDED_DNS = "127.0.0.11"
"""Docker's resolver, in every container; engines before 26 answer on internal networks too (CVE-2024-29018)."""
SAFETY_BLOCKLIST_V6: tuple[tuple[str, str], ...] = (
    ("::/127", "unspecified and loopback"),
    ("::ffff:0:0/96", "IPv4-mapped"),
    ("64:ff9b::/96", "NAT64"),
    ("64:ff9b:1::/48", "NAT64, local use"),
    ("2002::/16", "6to4"),
    ("fc00::/7", "unique local"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
)
"""The safety blocklist for IPv6: (range, what it is). Source: IANA special-purpose registry."""
_DNS = 53
_REJECT = ("meta l4proto tcp reject with tcp reset", "reject with icmpx admin-prohibited")
_ANSWERS = ('iifname "lo" accept', "ct state established,related accept")


def fence_rules(
    networking: str,
    network: SessionNetwork,
    *,
    resolvers: Sequence[IPv4Address] = (),
    host_addresses: Sequence[IPv4Address | IPv6Address] = (),
    ports: Sequence[int] = (),
) -> str:
    """Rules round one session.

    Args:
        networking: `limited` or `unrestricted`.
        network: The session's own.
        resolvers: DNS servers that an unrestricted session may ask.
        host_addresses: Public addresses of the host, which no session may reach.
        ports: TCP ports that the session serves.

    Returns:
        A ruleset that replaces the one before it. Limited: to the gateway and nowhere else, not even to the engine's
        resolver. Unrestricted: everywhere but the safety blocklist. Into it: its ports alone, from where they are
        published.
    """
    gateway = f"ip daddr {network.gateway} tcp dport {GATEWAY_PORT} accept"
    limited = networking == "limited"
    if limited:
        output = [
            *(f"ip daddr {EMBEDDED_DNS} {verdict}" for verdict in _REJECT),
            'oifname "lo" accept',
            "ct state established accept",
            gateway,
            *_REJECT,
        ]
    else:
        output = [
            'oifname "lo" accept',
            "ct state established,related accept",
            gateway,
            *(f"ip daddr {_set(resolvers)} {protocol} dport {_DNS} accept" for protocol in ("udp", "tcp") if resolvers),
            *_blocked("ip", [text for text, _ in SAFETY_BLOCKLIST], _of(host_addresses, IPv4Address)),
            *_blocked("ip6", [text for text, _ in SAFETY_BLOCKLIST_V6], _of(host_addresses, IPv6Address)),
        ]
    came_from = network.forwarder if limited else network.bridge
    served = [f"ip saddr {came_from} tcp dport {_set(sorted(ports))} accept"] if ports else []
    return _ruleset(output, [*_ANSWERS, *served], "drop" if limited else "accept")


def gateway_rules(range_: IPv4Network, egress: SessionNetwork) -> str:
    """Rules round an egress gateway: its port for sessions, nothing for others on its way out, nothing through it.

    Args:
        range_: Where sessions are.
        egress: The network by which the gateway reaches the outside.
    """
    served = [f"ip saddr {egress.subnet} drop", f"ip saddr {range_} tcp dport {GATEWAY_PORT} accept"]
    return _ruleset([], [*_ANSWERS, *served], "accept")


def _ruleset(output: Iterable[str], input_: Iterable[str], otherwise: str) -> str:
    # The engine keeps rules of its own in the namespace, so only our own table is replaced.
    lines = [
        "add table inet agentenv",
        "delete table inet agentenv",
        "table inet agentenv {",
        *_chain("output", otherwise, output),
        *_chain("input", "drop", input_),
        *_chain("forward", "drop", ()),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _chain(hook: str, policy: str, rules: Iterable[str]) -> list[str]:
    head = f"    type filter hook {hook} priority filter; policy {policy};"
    return [f"  chain {hook} {{", head, *(f"    {rule}" for rule in rules), "  }"]


def _blocked(family: str, ranges: Sequence[str], addresses: Sequence[str]) -> list[str]:
    where = f"{family} daddr {_set((*ranges, *addresses))}"
    return [f"{where} {verdict}" for verdict in _REJECT]


def _of(addresses: Iterable[IPv4Address | IPv6Address], kind: type) -> list[str]:
    return [str(address) for address in addresses if isinstance(address, kind)]


def _set(members: Iterable[object]) -> str:
    return "{ " + ", ".join(str(member) for member in members) + " }"
