"""The address plan, the DNS walled garden and the safety blocklist: single sources of truth for both VPCs."""

from dataclasses import dataclass
from ipaddress import IPv4Network

from components.models.stack import Network
from components.plans.account import Account

GATEWAY_PORT = 3128
"""The one port on which a session reaches its environment's gateway."""
HTTPS = 443
ICMP = "1"
"""IANA protocol number, as EC2 writes it."""

SAFETY_BLOCKLIST: tuple[tuple[str, str], ...] = (
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "carrier-grade NAT"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local and metadata"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "protocol assignments"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmarking"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("168.63.129.16/32", "host service of a cloud, which answers from any network"),
)
"""What even an unrestricted session never reaches: (range, what it is). Source: IANA special-purpose registry; the
last one is Azure's."""


@dataclass(frozen=True)
class AddressPlan:
    """Subnets by zone.

    Attributes:
        sessions: Isolated subnets of the session VPC, for limited sessions.
        private: Subnets of the egress VPC behind the NAT gateway, for unrestricted sessions.
        public: Subnets of the egress VPC with a way to the Internet, for gateways.
    """

    sessions: tuple[IPv4Network, ...]
    private: tuple[IPv4Network, ...]
    public: tuple[IPv4Network, ...]


def address_plan(network: Network) -> AddressPlan:
    """Split both ranges by zone; the egress range is halved between private and public first."""
    private, public = network.egress_range.subnets(prefixlen_diff=1)
    return AddressPlan(
        sessions=_by_zone(network.session_range, network.zones),
        private=_by_zone(private, network.zones),
        public=_by_zone(public, network.zones),
    )


def walled_garden(account: Account, namespace: str, state_bucket: str | None = None) -> tuple[str, ...]:
    """Names that the session VPC's resolver answers; every other name is blocked.

    Only what starts a task (ECR, its layer bucket, logs) and the gateway's own name: a session resolves nothing else,
    since the gateway resolves for it. With `state_bucket`, also the host of its presigned URLs. Source of the names:
    https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html
    """
    region, suffix = account.region, account.dns_suffix
    names = {
        f"api.ecr.{region}.{suffix}",
        f"*.dkr.ecr.{region}.{suffix}",
        f"logs.{region}.{suffix}",
        f"prod-{region}-starport-layer-bucket.s3.{region}.{suffix}",
        f"*.{namespace}",
    }
    if state_bucket:
        names.add(f"{state_bucket}.s3.{region}.{suffix}")
    return tuple(sorted(names))


@dataclass(frozen=True)
class AclEntry:
    """One entry of a network ACL, as EC2 takes it; `protocol` `-1` is all."""

    rule_no: int
    action: str
    cidr_block: str
    protocol: str = "-1"
    from_port: int = 0
    to_port: int = 0


def unrestricted_acl(plan: AddressPlan) -> tuple[tuple[AclEntry, ...], tuple[AclEntry, ...]]:
    """(egress, ingress) entries round unrestricted sessions: the gateway, then no blocklisted range, then anything.

    A network ACL has no memory, so the way back is spelled out: ephemeral ports, and ICMP for path MTU discovery.
    """
    tcp, udp = "6", "17"
    ephemeral = (1024, 65535)
    egress = [
        AclEntry(100 + i, "allow", str(subnet), tcp, GATEWAY_PORT, GATEWAY_PORT) for i, subnet in enumerate(plan.public)
    ]
    ingress = [AclEntry(100 + i, "allow", str(subnet), tcp, *ephemeral) for i, subnet in enumerate(plan.public)]
    for index, (blocked, _) in enumerate(SAFETY_BLOCKLIST):
        egress.append(AclEntry(200 + index, "deny", blocked))
        ingress.append(AclEntry(200 + index, "deny", blocked))
    egress.append(AclEntry(1000, "allow", "0.0.0.0/0"))
    ingress.append(AclEntry(1000, "allow", "0.0.0.0/0", tcp, *ephemeral))
    ingress.append(AclEntry(1001, "allow", "0.0.0.0/0", udp, *ephemeral))
    ingress.append(AclEntry(1002, "allow", "0.0.0.0/0", ICMP))
    return tuple(egress), tuple(ingress)


def _by_zone(network: IPv4Network, zones: int) -> tuple[IPv4Network, ...]:
    # Always room for four: a stack that gets another zone must not move the subnets it has.
    return tuple(network.subnets(prefixlen_diff=2))[:zones]
