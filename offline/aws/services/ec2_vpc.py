"""VPCs and subnets."""

from offline.aws.errors import missing_is_fine
from offline.aws.registry import Invoke
from offline.aws.resource import Aws, Props, Resource
from offline.aws.services._ec2 import arn, describe_one, retag, tag_specifications, tags_of

# Input, AWS's name for it, and the value that a new VPC has.
_VPC_ATTRIBUTES = (
    ("enableDnsSupport", "EnableDnsSupport", True),
    ("enableDnsHostnames", "EnableDnsHostnames", False),
    ("enableNetworkAddressUsageMetrics", "EnableNetworkAddressUsageMetrics", False),
)


class Vpc(Resource):
    """A VPC with an IPv4 range; AWS makes its main route table, default network ACL and default security group."""

    token = "aws:ec2/vpc:Vpc"
    backed_by = "moto: ec2.create_vpc, modify_vpc_attribute"
    force_new = frozenset({"cidrBlock", "instanceTenancy"})
    drift_keys = frozenset({"enableDnsHostnames", "enableNetworkAddressUsageMetrics"})
    unsupported = frozenset(
        {
            "assignGeneratedIpv6CidrBlock",
            "ipv4IpamPoolId",
            "ipv4NetmaskLength",
            "ipv6CidrBlock",
            "ipv6CidrBlockNetworkBorderGroup",
            "ipv6IpamPoolId",
            "ipv6NetmaskLength",
        }
    )

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Makes the VPC, then sets its attributes one by one, as AWS demands."""
        client = aws.client("ec2")
        vpc_id = client.create_vpc(
            CidrBlock=inputs["cidrBlock"],
            InstanceTenancy=inputs.get("instanceTenancy", "default"),
            TagSpecifications=tag_specifications("vpc", aws.tags_all(inputs)),
        )["Vpc"]["VpcId"]
        try:
            self._set_attributes(aws, vpc_id, {}, inputs)
            return vpc_id, self.read(aws, vpc_id, inputs)
        except Exception:
            client.delete_vpc(VpcId=vpc_id)
            raise

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the VPC and the ids of what AWS made with it."""
        client = aws.client("ec2")
        vpc = describe_one(aws, "describe_vpcs", "Vpcs", VpcIds=[physical_id])
        in_vpc = {"Name": "vpc-id", "Values": [physical_id]}
        main = describe_one(
            aws,
            "describe_route_tables",
            "RouteTables",
            Filters=[in_vpc, {"Name": "association.main", "Values": ["true"]}],
        )
        acl = describe_one(
            aws, "describe_network_acls", "NetworkAcls", Filters=[in_vpc, {"Name": "default", "Values": ["true"]}]
        )
        group = describe_one(
            aws,
            "describe_security_groups",
            "SecurityGroups",
            Filters=[in_vpc, {"Name": "group-name", "Values": ["default"]}],
        )
        attributes = {
            key: client.describe_vpc_attribute(VpcId=physical_id, Attribute=key)[name]["Value"]
            for key, name, _ in _VPC_ATTRIBUTES
        }
        return {
            **attributes,
            "arn": arn(aws, "vpc", physical_id),
            "cidrBlock": vpc["CidrBlock"],
            "defaultNetworkAclId": acl["NetworkAclId"],
            "defaultRouteTableId": main["RouteTableId"],
            "defaultSecurityGroupId": group["GroupId"],
            "dhcpOptionsId": vpc.get("DhcpOptionsId", ""),
            "instanceTenancy": vpc["InstanceTenancy"],
            "mainRouteTableId": main["RouteTableId"],
            "ownerId": aws.account_id,
            "tags": tags_of(vpc),
        }

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Sets attributes and tags."""
        self._set_attributes(aws, physical_id, state, inputs)
        retag(aws, physical_id, state, inputs)
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Deletes the VPC."""
        with missing_is_fine():
            aws.client("ec2").delete_vpc(VpcId=physical_id)

    def _set_attributes(self, aws: Aws, vpc_id: str, state: Props, inputs: Props) -> None:
        for key, name, default in _VPC_ATTRIBUTES:
            wanted = inputs.get(key, default)
            if wanted != state.get(key, default):
                aws.client("ec2").modify_vpc_attribute(VpcId=vpc_id, **{name: {"Value": wanted}})


class Subnet(Resource):
    """An IPv4 subnet."""

    token = "aws:ec2/subnet:Subnet"
    backed_by = "moto: ec2.create_subnet, modify_subnet_attribute"
    force_new = frozenset({"vpcId", "cidrBlock", "availabilityZone", "availabilityZoneId"})
    drift_keys = frozenset({"mapPublicIpOnLaunch"})
    unsupported = frozenset(
        {
            "assignIpv6AddressOnCreation",
            "customerOwnedIpv4Pool",
            "enableDns64",
            "enableLniAtDeviceIndex",
            "enableResourceNameDnsARecordOnLaunch",
            "enableResourceNameDnsAaaaRecordOnLaunch",
            "ipv4IpamPoolId",
            "ipv4NetmaskLength",
            "ipv6CidrBlock",
            "ipv6IpamPoolId",
            "ipv6Native",
            "ipv6NetmaskLength",
            "mapCustomerOwnedIpOnLaunch",
            "outpostArn",
            "privateDnsHostnameTypeOnLaunch",
        }
    )

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Makes the subnet and says whether what starts in it gets a public address."""
        client = aws.client("ec2")
        place = {"availabilityZone": "AvailabilityZone", "availabilityZoneId": "AvailabilityZoneId"}
        subnet_id = client.create_subnet(
            VpcId=inputs["vpcId"],
            CidrBlock=inputs["cidrBlock"],
            TagSpecifications=tag_specifications("subnet", aws.tags_all(inputs)),
            **{name: inputs[key] for key, name in place.items() if key in inputs},
        )["Subnet"]["SubnetId"]
        try:
            self._set_public(aws, subnet_id, {}, inputs)
            return subnet_id, self.read(aws, subnet_id, inputs)
        except Exception:
            client.delete_subnet(SubnetId=subnet_id)
            raise

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the subnet."""
        subnet = describe_one(aws, "describe_subnets", "Subnets", SubnetIds=[physical_id])
        return {
            "arn": arn(aws, "subnet", physical_id),
            "availabilityZone": subnet["AvailabilityZone"],
            "availabilityZoneId": subnet["AvailabilityZoneId"],
            "cidrBlock": subnet["CidrBlock"],
            "mapPublicIpOnLaunch": subnet["MapPublicIpOnLaunch"],
            "ownerId": aws.account_id,
            "tags": tags_of(subnet),
            "vpcId": subnet["VpcId"],
        }

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Sets the public address rule and the tags."""
        self._set_public(aws, physical_id, state, inputs)
        retag(aws, physical_id, state, inputs)
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Deletes the subnet."""
        with missing_is_fine():
            aws.client("ec2").delete_subnet(SubnetId=physical_id)

    def _set_public(self, aws: Aws, subnet_id: str, state: Props, inputs: Props) -> None:
        wanted = bool(inputs.get("mapPublicIpOnLaunch"))
        if wanted != bool(state.get("mapPublicIpOnLaunch")):
            aws.client("ec2").modify_subnet_attribute(SubnetId=subnet_id, MapPublicIpOnLaunch={"Value": wanted})


RESOURCES: list[Resource] = [Vpc(), Subnet()]
INVOKES: dict[str, Invoke] = {}
