"""Ways out of a VPC: internet gateways, elastic addresses, NAT gateways."""

from offline.aws.errors import missing_is_fine
from offline.aws.registry import Invoke
from offline.aws.resource import Aws, Gone, Props, Resource
from offline.aws.services._ec2 import arn, describe_one, retag, tag_specifications, tags_of


class InternetGateway(Resource):
    """An internet gateway, attached to a VPC if one is named."""

    token = "aws:ec2/internetGateway:InternetGateway"
    backed_by = "moto: ec2.create_internet_gateway, attach_internet_gateway"
    drift_keys = frozenset({"vpcId"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Makes the gateway and attaches it."""
        client = aws.client("ec2")
        gateway_id = client.create_internet_gateway(
            TagSpecifications=tag_specifications("internet-gateway", aws.tags_all(inputs))
        )["InternetGateway"]["InternetGatewayId"]
        try:
            self._attach(aws, gateway_id, None, inputs.get("vpcId"))
            return gateway_id, self.read(aws, gateway_id, inputs)
        except Exception:
            client.delete_internet_gateway(InternetGatewayId=gateway_id)
            raise

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the gateway and the VPC that it is attached to."""
        gateway = describe_one(aws, "describe_internet_gateways", "InternetGateways", InternetGatewayIds=[physical_id])
        attachments = gateway.get("Attachments") or []
        return {
            "arn": arn(aws, "internet-gateway", physical_id),
            "ownerId": aws.account_id,
            "tags": tags_of(gateway),
            "vpcId": attachments[0]["VpcId"] if attachments else None,
        }

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Moves the gateway to another VPC, and sets the tags."""
        self._attach(aws, physical_id, state.get("vpcId"), inputs.get("vpcId"))
        retag(aws, physical_id, state, inputs)
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, state: Props, /) -> None:
        """Detaches and deletes the gateway."""
        client = aws.client("ec2")
        with missing_is_fine("Gateway.NotAttached"):
            if state.get("vpcId"):
                client.detach_internet_gateway(InternetGatewayId=physical_id, VpcId=state["vpcId"])
        with missing_is_fine():
            client.delete_internet_gateway(InternetGatewayId=physical_id)

    def _attach(self, aws: Aws, gateway_id: str, old: str | None, new: str | None) -> None:
        client = aws.client("ec2")
        if old and old != new:
            with missing_is_fine("Gateway.NotAttached"):
                client.detach_internet_gateway(InternetGatewayId=gateway_id, VpcId=old)
        if new and old != new:
            client.attach_internet_gateway(InternetGatewayId=gateway_id, VpcId=new)


class Eip(Resource):
    """An elastic IPv4 address of a VPC."""

    token = "aws:ec2/eip:Eip"
    backed_by = "moto: ec2.allocate_address"
    force_new = frozenset({"domain"})
    unsupported = frozenset(
        {
            "address",
            "associateWithPrivateIp",
            "customerOwnedIpv4Pool",
            "instance",
            "ipamPoolId",
            "networkBorderGroup",
            "networkInterface",
            "publicIpv4Pool",
        }
    )

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Allocates the address."""
        allocation_id = aws.client("ec2").allocate_address(
            Domain=inputs.get("domain", "vpc"),
            TagSpecifications=tag_specifications("elastic-ip", aws.tags_all(inputs)),
        )["AllocationId"]
        return allocation_id, self.read(aws, allocation_id, inputs)

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the address."""
        address = describe_one(aws, "describe_addresses", "Addresses", AllocationIds=[physical_id])
        public_name = address["PublicIp"].replace(".", "-")
        return {
            "allocationId": physical_id,
            "arn": arn(aws, "elastic-ip", physical_id),
            "associationId": address.get("AssociationId", ""),
            "domain": address["Domain"],
            "publicDns": f"ec2-{public_name}.{aws.region}.compute.amazonaws.com",
            "publicIp": address["PublicIp"],
            "tags": tags_of(address),
        }

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Sets the tags."""
        retag(aws, physical_id, state, inputs)
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Releases the address."""
        with missing_is_fine():
            aws.client("ec2").release_address(AllocationId=physical_id)


class NatGateway(Resource):
    """A zonal NAT gateway in one subnet."""

    token = "aws:ec2/natGateway:NatGateway"
    backed_by = "moto: ec2.create_nat_gateway"
    force_new = frozenset({"allocationId", "connectivityType", "subnetId"})
    unsupported = frozenset(
        {
            "availabilityMode",
            "availabilityZoneAddresses",
            "privateIp",
            "secondaryAllocationIds",
            "secondaryPrivateIpAddressCount",
            "secondaryPrivateIpAddresses",
            "vpcId",
        }
    )

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Makes the gateway; the emulator has it available at once."""
        allocation = {"AllocationId": inputs["allocationId"]} if "allocationId" in inputs else {}
        gateway_id = aws.client("ec2").create_nat_gateway(
            SubnetId=inputs["subnetId"],
            ConnectivityType=inputs.get("connectivityType", "public"),
            TagSpecifications=tag_specifications("natgateway", aws.tags_all(inputs)),
            **allocation,
        )["NatGateway"]["NatGatewayId"]
        return gateway_id, self.read(aws, gateway_id, inputs)

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the gateway and its addresses."""
        gateway = describe_one(aws, "describe_nat_gateways", "NatGateways", NatGatewayIds=[physical_id])
        if gateway["State"] in ("deleting", "deleted"):
            raise Gone
        address: Props = next(iter(gateway.get("NatGatewayAddresses") or []), {})
        return {
            "allocationId": address.get("AllocationId"),
            "associationId": address.get("AssociationId", ""),
            "connectivityType": gateway.get("ConnectivityType", "public"),
            "networkInterfaceId": address.get("NetworkInterfaceId", ""),
            "privateIp": address.get("PrivateIp", ""),
            "publicIp": address.get("PublicIp", ""),
            "subnetId": gateway["SubnetId"],
            "tags": tags_of(gateway),
        }

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Sets the tags."""
        retag(aws, physical_id, state, inputs)
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Deletes the gateway."""
        with missing_is_fine():
            aws.client("ec2").delete_nat_gateway(NatGatewayId=physical_id)


RESOURCES: list[Resource] = [InternetGateway(), Eip(), NatGateway()]
INVOKES: dict[str, Invoke] = {}
