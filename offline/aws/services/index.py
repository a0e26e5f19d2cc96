"""Functions about the account and the region."""

from offline.aws.registry import Invoke
from offline.aws.resource import Aws, Props, Resource

# The AWS documentation's names of the regions; a region that is not listed is described by its own code.
_REGIONS = {
    "eu-central-1": "Europe (Frankfurt)",
    "eu-west-1": "Europe (Ireland)",
    "us-east-1": "US East (N. Virginia)",
    "us-west-2": "US West (Oregon)",
}
_DNS_SUFFIXES = {"aws-cn": "amazonaws.com.cn"}


def get_caller_identity(aws: Aws, _arguments: Props) -> Props:
    """Returns the account, user and ARN of the caller."""
    identity = aws.client("sts").get_caller_identity()
    return {
        "accountId": identity["Account"],
        "arn": identity["Arn"],
        "id": identity["Account"],
        "userId": identity["UserId"],
    }


def get_region(aws: Aws, arguments: Props) -> Props:
    """Returns the provider's region, or the one that is named."""
    region = arguments.get("name") or arguments.get("region") or aws.region
    return {
        "description": _REGIONS.get(region, region),
        "endpoint": f"ec2.{region}.{_DNS_SUFFIXES.get(aws.partition, 'amazonaws.com')}",
        "id": region,
        "name": region,
        "region": region,
    }


def get_partition(aws: Aws, _arguments: Props) -> Props:
    """Returns the partition of the provider's region."""
    suffix = _DNS_SUFFIXES.get(aws.partition, "amazonaws.com")
    return {
        "dnsSuffix": suffix,
        "id": aws.partition,
        "partition": aws.partition,
        "reverseDnsPrefix": ".".join(reversed(suffix.split("."))),
    }


def get_availability_zones(aws: Aws, arguments: Props) -> Props:
    """Returns the region's availability zones, in the order of their names."""
    filters = [{"Name": entry["name"], "Values": entry["values"]} for entry in arguments.get("filters") or []]
    if arguments.get("state"):
        filters.append({"Name": "state", "Values": [arguments["state"]]})
    excluded = {*(arguments.get("excludeNames") or ()), *(arguments.get("excludeZoneIds") or ())}
    zones = [
        zone
        for zone in aws.client("ec2").describe_availability_zones(Filters=filters)["AvailabilityZones"]
        if not excluded & {zone["ZoneName"], zone["ZoneId"]}
    ]
    zones.sort(key=lambda zone: str(zone["ZoneName"]))
    return {
        **arguments,
        "groupNames": sorted({zone.get("GroupName", aws.region) for zone in zones}),
        "id": aws.region,
        "names": [zone["ZoneName"] for zone in zones],
        "region": aws.region,
        "zoneIds": [zone["ZoneId"] for zone in zones],
    }


RESOURCES: list[Resource] = []
INVOKES: dict[str, Invoke] = {
    "aws:index/getAvailabilityZones:getAvailabilityZones": get_availability_zones,
    "aws:index/getCallerIdentity:getCallerIdentity": get_caller_identity,
    "aws:index/getPartition:getPartition": get_partition,
    "aws:index/getRegion:getRegion": get_region,
}
