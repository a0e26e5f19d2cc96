"""VPC endpoints."""

import json
from typing import Any, ClassVar

from offline.aws.errors import missing_is_fine
from offline.aws.registry import Invoke
from offline.aws.resource import Aws, Gone, Props, Resource
from offline.aws.services._ec2 import arn, describe_one, retag, tag_specifications, tags_of
from offline.aws.services.ec2_prefix_list import ranges

_GATEWAY = "Gateway"
_FULL_ACCESS = json.dumps({"Statement": [{"Action": "*", "Effect": "Allow", "Principal": "*", "Resource": "*"}]})
# Input, and the name of the list in EC2's calls.
_MEMBERS = (("routeTableIds", "RouteTableIds"), ("subnetIds", "SubnetIds"), ("securityGroupIds", "SecurityGroupIds"))


class VpcEndpoint(Resource):
    """A gateway endpoint (S3, DynamoDB) or an interface endpoint."""

    token = "aws:ec2/vpcEndpoint:VpcEndpoint"
    backed_by = "moto: ec2.create_vpc_endpoint, modify_vpc_endpoint (privateDnsEnabled is not refreshed)"
    force_new = frozenset({"serviceName", "vpcEndpointType", "vpcId"})
    json_properties = frozenset({"policy"})
    drift_keys = frozenset({"routeTableIds", "securityGroupIds", "subnetIds"})
    defaults: ClassVar[Props] = {"vpcEndpointType": _GATEWAY}
    unsupported = frozenset(
        {
            "autoAccept",
            "dnsOptions",
            "ipAddressType",
            "resourceConfigurationArn",
            "serviceNetworkArn",
            "serviceRegion",
            "subnetConfigurations",
        }
    )

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Makes the endpoint."""
        optional = {"policy": "PolicyDocument", "privateDnsEnabled": "PrivateDnsEnabled", **dict(_MEMBERS)}
        endpoint_id = aws.client("ec2").create_vpc_endpoint(
            VpcId=inputs["vpcId"],
            ServiceName=inputs["serviceName"],
            VpcEndpointType=inputs["vpcEndpointType"],
            TagSpecifications=tag_specifications("vpc-endpoint", aws.tags_all(inputs)),
            **{name: inputs[key] for key, name in optional.items() if key in inputs},
        )["VpcEndpoint"]["VpcEndpointId"]
        return endpoint_id, self.read(aws, endpoint_id, inputs)

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the endpoint, the prefix list of a gateway's service, the names and interfaces of the others."""
        endpoint = describe_one(aws, "describe_vpc_endpoints", "VpcEndpoints", VpcEndpointIds=[physical_id])
        if endpoint["State"] in ("deleted", "deleting"):
            raise Gone
        return {
            "arn": arn(aws, "vpc-endpoint", physical_id),
            "dnsEntries": [
                {"dnsName": entry["DnsName"], "hostedZoneId": entry.get("HostedZoneId", "")}
                for entry in endpoint.get("DnsEntries") or []
            ],
            "networkInterfaceIds": endpoint.get("NetworkInterfaceIds") or [],
            "ownerId": aws.account_id,
            "policy": endpoint.get("PolicyDocument"),
            "requesterManaged": False,
            "routeTableIds": endpoint.get("RouteTableIds") or [],
            "securityGroupIds": [group["GroupId"] for group in endpoint.get("Groups") or []],
            "serviceName": endpoint["ServiceName"],
            "state": endpoint["State"],
            "subnetIds": endpoint.get("SubnetIds") or [],
            "tags": tags_of(endpoint),
            "vpcEndpointType": endpoint["VpcEndpointType"],
            "vpcId": endpoint["VpcId"],
            **self._ranges(aws, endpoint),
        }

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Changes the policy, adds and removes members, sets the tags."""
        # moto does not know ResetPolicy; AWS's default policy in full has the same effect.
        arguments: dict[str, Any] = {"PolicyDocument": inputs.get("policy") or _FULL_ACCESS}
        if "privateDnsEnabled" in inputs:
            arguments["PrivateDnsEnabled"] = inputs["privateDnsEnabled"]
        actual = self.read(aws, physical_id, state)
        for key, name in _MEMBERS:
            if key in inputs:
                held, wanted = set(actual[key]), set(inputs[key])
                arguments |= {f"Add{name}": sorted(wanted - held), f"Remove{name}": sorted(held - wanted)}
        arguments = {key: value for key, value in arguments.items() if value != []}
        aws.client("ec2").modify_vpc_endpoint(VpcEndpointId=physical_id, **arguments)
        if "prefixListId" in actual:
            added, removed = arguments.get("AddRouteTableIds", []), arguments.get("RemoveRouteTableIds", [])
            self._reroute(aws, physical_id, actual, added, removed)
        retag(aws, physical_id, state, inputs)
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Deletes the endpoint, and with a gateway endpoint its routes."""
        with missing_is_fine():
            aws.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[physical_id])

    def _ranges(self, aws: Aws, endpoint: Props) -> Props:
        if endpoint["VpcEndpointType"] != _GATEWAY:
            return {}
        found = aws.client("ec2").describe_prefix_lists(
            Filters=[{"Name": "prefix-list-name", "Values": [endpoint["ServiceName"]]}]
        )["PrefixLists"]
        if not found:
            return {}
        list_id = found[0]["PrefixListId"]
        return {"prefixListId": list_id, "cidrBlocks": ranges(aws, list_id)}

    def _reroute(self, aws: Aws, endpoint_id: str, state: Props, added: list[str], removed: list[str]) -> None:
        """Makes and removes the routes of a gateway endpoint, which AWS does itself and moto only at creation."""
        client = aws.client("ec2")
        for table_id in added:
            client.create_route(
                RouteTableId=table_id, DestinationPrefixListId=state["prefixListId"], GatewayId=endpoint_id
            )
        for table_id in removed:
            with missing_is_fine():
                client.delete_route(RouteTableId=table_id, DestinationPrefixListId=state["prefixListId"])


RESOURCES: list[Resource] = [VpcEndpoint()]
INVOKES: dict[str, Invoke] = {}
