"""What runs cost an hour: list prices of one region, for previews and not for bills.

Prices are those of us-east-1 in US dollars, without tax, discounts or free tier; other regions cost up to about a third
more. Sources, read 2026-08: https://aws.amazon.com/fargate/pricing/, https://aws.amazon.com/privatelink/pricing/,
https://aws.amazon.com/vpc/pricing/, https://aws.amazon.com/route53/pricing/.
"""

from dataclasses import dataclass

from components.models.session import Architecture
from components.plans.size import INCLUDED_DISK_GIB, FargateSize

REGION = "us-east-1"
"""Where these prices hold; say so wherever one is shown."""
HOURS_PER_MONTH = 730

_VCPU_HOUR = {Architecture.X86_64: 0.04048, Architecture.ARM64: 0.03238}
_GIB_HOUR = {Architecture.X86_64: 0.004445, Architecture.ARM64: 0.00356}
_DISK_GIB_HOUR = 0.000111
SPOT_SHARE = 0.3
"""Part of the price that spot costs at its cheapest ("up to 70 % off"); it moves with demand and never covers disk."""

ENDPOINT_HOUR = 0.01
"""One interface endpoint in one zone."""
NAT_HOUR = 0.045
NAT_GB = 0.045
"""A gigabyte through a NAT gateway."""
PUBLIC_IPV4_HOUR = 0.005
DNS_FIREWALL_MILLION_QUERIES = 0.60


def hourly_price(size: FargateSize, *, architecture: Architecture, spot: bool = False) -> float:
    """Dollars an hour of one running task, to a hundredth of a cent.

    Args:
        size: The task.
        architecture: Its processor.
        spot: Whether it runs on spare capacity; then this is the lowest price, not a promise.
    """
    compute = size.vcpu * _VCPU_HOUR[architecture] + size.memory_gib * _GIB_HOUR[architecture]
    disk = (size.total_disk_gib - INCLUDED_DISK_GIB) * _DISK_GIB_HOUR
    return round(compute * (SPOT_SHARE if spot else 1) + disk, 4)


@dataclass(frozen=True)
class SharedCost:
    """Dollars an hour for what stands whether or not a session runs.

    Attributes:
        endpoints: Interface endpoints of the session VPC.
        nat: NAT gateways with their public addresses, without the traffic through them.
        gateways: Egress gateways: their tasks and public addresses.
    """

    endpoints: float
    nat: float
    gateways: float

    @property
    def hour(self) -> float:
        """All of it, in dollars an hour."""
        return round(self.endpoints + self.nat + self.gateways, 4)

    @property
    def month(self) -> float:
        """All of it, in dollars a month of 730 hours."""
        return round((self.endpoints + self.nat + self.gateways) * HOURS_PER_MONTH, 2)


def shared_cost(
    *,
    endpoints: int,
    zones: int,
    nat_gateways: int,
    gateways: int,
    gateway_size: FargateSize,
    gateway_architecture: Architecture = Architecture.X86_64,
) -> SharedCost:
    """What a stack costs idle.

    Args:
        endpoints: Interface endpoints, each standing in every zone.
        zones: Availability zones of the session VPC.
        nat_gateways: NAT gateways.
        gateways: Egress gateways, one task with one public address each.
        gateway_size: Size of one gateway's task.
        gateway_architecture: Its processor.

    The S3 gateway endpoint and the peering cost nothing; queries at the DNS firewall and traffic cost by use.
    """
    each = hourly_price(gateway_size, architecture=gateway_architecture) + PUBLIC_IPV4_HOUR
    return SharedCost(
        endpoints=round(endpoints * zones * ENDPOINT_HOUR, 4),
        nat=round(nat_gateways * (NAT_HOUR + PUBLIC_IPV4_HOUR), 4),
        gateways=round(gateways * each, 4),
    )
