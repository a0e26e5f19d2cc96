"""Route tables, routes, and which table a subnet uses."""

import zlib
from typing import Any

from offline.aws.errors import missing_is_fine
from offline.aws.registry import Invoke
from offline.aws.resource import Aws, Gone, Props, Resource
from offline.aws.services._ec2 import arn, describe_one, retag, tag_specifications, tags_of

_TARGETS = {
    "gatewayId": "GatewayId",
    "natGatewayId": "NatGatewayId",
    "networkInterfaceId": "NetworkInterfaceId",
    "transitGatewayId": "TransitGatewayId",
    "vpcPeeringConnectionId": "VpcPeeringConnectionId",
}
_DESTINATIONS = {
    "destinationCidrBlock": "DestinationCidrBlock",
    "destinationIpv6CidrBlock": "DestinationIpv6CidrBlock",
    "destinationPrefixListId": "DestinationPrefixListId",
}
# What a route of a route table calls its destination.
_INLINE_DESTINATIONS = {
    "cidrBlock": "DestinationCidrBlock",
    "ipv6CidrBlock": "DestinationIpv6CidrBlock",
    "destinationPrefixListId": "DestinationPrefixListId",
}
_UNSUPPORTED_TARGETS = frozenset(
    {"carrierGatewayId", "coreNetworkArn", "egressOnlyGatewayId", "localGatewayId", "odbNetworkArn", "vpcEndpointId"}
)


class RouteTable(Resource):
    """A route table, with or without routes of its own."""

    token = "aws:ec2/routeTable:RouteTable"
    backed_by = "moto: ec2.create_route_table, create_route"
    force_new = frozenset({"vpcId"})
    unsupported = frozenset({"propagatingVgws"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Makes the table and its inline routes."""
        client = aws.client("ec2")
        table_id = client.create_route_table(
            VpcId=inputs["vpcId"], TagSpecifications=tag_specifications("route-table", aws.tags_all(inputs))
        )["RouteTable"]["RouteTableId"]
        try:
            for route in inputs.get("routes") or []:
                client.create_route(RouteTableId=table_id, **_arguments(route, _INLINE_DESTINATIONS))
            return table_id, self.read(aws, table_id, inputs)
        except Exception:
            client.delete_route_table(RouteTableId=table_id)
            raise

    def read(self, aws: Aws, physical_id: str, state: Props, /) -> Props:
        """Returns the table; its routes only where the program states them here, as `Route`s may add others."""
        table = describe_one(aws, "describe_route_tables", "RouteTables", RouteTableIds=[physical_id])
        inline = {"routes": [_inline(route) for route in _own_routes(table)]} if "routes" in state else {}
        return {
            **inline,
            "arn": arn(aws, "route-table", physical_id),
            "ownerId": aws.account_id,
            "tags": tags_of(table),
            "vpcId": table["VpcId"],
        }

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Removes the inline routes that are no longer wanted, makes the new ones, sets the tags."""
        client = aws.client("ec2")
        if "routes" in inputs or state.get("routes"):
            wanted = [_arguments(route, _INLINE_DESTINATIONS) for route in inputs.get("routes") or []]
            table = describe_one(aws, "describe_route_tables", "RouteTables", RouteTableIds=[physical_id])
            actual = [_arguments(_inline(route), _INLINE_DESTINATIONS) for route in _own_routes(table)]
            for route in actual:
                if route not in wanted:
                    destination = {k: v for k, v in route.items() if k in _INLINE_DESTINATIONS.values()}
                    client.delete_route(RouteTableId=physical_id, **destination)
            for route in wanted:
                if route not in actual:
                    client.create_route(RouteTableId=physical_id, **route)
        retag(aws, physical_id, state, inputs)
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Deletes the table."""
        with missing_is_fine():
            aws.client("ec2").delete_route_table(RouteTableId=physical_id)


class Route(Resource):
    """One route of a route table."""

    token = "aws:ec2/route:Route"
    backed_by = "moto: ec2.create_route, replace_route"
    taggable = False
    force_new = frozenset({"routeTableId", *_DESTINATIONS})
    unsupported = _UNSUPPORTED_TARGETS

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Makes the route."""
        arguments = _arguments(inputs, _DESTINATIONS)
        aws.client("ec2").create_route(RouteTableId=inputs["routeTableId"], **arguments)
        destination = next(arguments[name] for name in _DESTINATIONS.values() if name in arguments)
        # The real provider's id: the table, and the CRC-32 of the destination.
        route_id = f"r-{inputs['routeTableId']}{zlib.crc32(destination.encode())}"
        return route_id, self.read(aws, route_id, inputs)

    def read(self, aws: Aws, _physical_id: str, state: Props, /) -> Props:
        """Returns the route with the state's destination."""
        table = describe_one(aws, "describe_route_tables", "RouteTables", RouteTableIds=[state["routeTableId"]])
        destination = {name: state[key] for key, name in _DESTINATIONS.items() if state.get(key)}
        for route in table["Routes"]:
            if all(route.get(name) == value for name, value in destination.items()):
                targets = {key: route.get(name) or None for key, name in _TARGETS.items()}
                return {**targets, "origin": route.get("Origin", "CreateRoute"), "state": route.get("State", "active")}
        raise Gone

    def update(self, aws: Aws, physical_id: str, _state: Props, inputs: Props, /) -> Props:
        """Points the route elsewhere."""
        aws.client("ec2").replace_route(RouteTableId=inputs["routeTableId"], **_arguments(inputs, _DESTINATIONS))
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, _physical_id: str, state: Props, /) -> None:
        """Deletes the route."""
        destination = {name: state[key] for key, name in _DESTINATIONS.items() if state.get(key)}
        with missing_is_fine():
            aws.client("ec2").delete_route(RouteTableId=state["routeTableId"], **destination)


class RouteTableAssociation(Resource):
    """Which route table a subnet uses."""

    token = "aws:ec2/routeTableAssociation:RouteTableAssociation"
    backed_by = "moto: ec2.associate_route_table, replace_route_table_association"
    taggable = False
    force_new = frozenset({"subnetId"})
    unsupported = frozenset({"gatewayId"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Associates the subnet."""
        association_id = aws.client("ec2").associate_route_table(
            RouteTableId=inputs["routeTableId"], SubnetId=inputs["subnetId"]
        )["AssociationId"]
        return association_id, {}

    def read(self, aws: Aws, _physical_id: str, state: Props, /) -> Props:
        """Returns the table that the subnet uses now; the association's own id changes when it is replaced."""
        association = self._association(aws, state["subnetId"])
        return {"routeTableId": association["RouteTableId"], "subnetId": association["SubnetId"]}

    def update(self, aws: Aws, _physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Moves the subnet to another table."""
        aws.client("ec2").replace_route_table_association(
            AssociationId=self._association(aws, state["subnetId"])["RouteTableAssociationId"],
            RouteTableId=inputs["routeTableId"],
        )
        return {}

    def delete(self, aws: Aws, _physical_id: str, state: Props, /) -> None:
        """Leaves the subnet to the VPC's main table."""
        association = self._association(aws, state["subnetId"])
        with missing_is_fine():
            aws.client("ec2").disassociate_route_table(AssociationId=association["RouteTableAssociationId"])

    def _association(self, aws: Aws, subnet_id: str) -> Props:
        table = describe_one(
            aws,
            "describe_route_tables",
            "RouteTables",
            Filters=[{"Name": "association.subnet-id", "Values": [subnet_id]}],
        )
        association: Props = next(entry for entry in table["Associations"] if entry.get("SubnetId") == subnet_id)
        return association


def _arguments(route: Props, destinations: dict[str, str]) -> dict[str, Any]:
    return {name: route[key] for key, name in {**destinations, **_TARGETS}.items() if route.get(key)}


def _inline(route: Props) -> Props:
    return {key: route[name] for key, name in {**_INLINE_DESTINATIONS, **_TARGETS}.items() if route.get(name)}


def _own_routes(table: Props) -> list[Props]:
    """Returns the routes that the real provider counts as the table's own: not `local`, not a gateway endpoint's."""
    return [
        route
        for route in table["Routes"]
        if route.get("GatewayId") != "local" and not str(route.get("GatewayId", "")).startswith("vpce-")
    ]


RESOURCES: list[Resource] = [RouteTable(), Route(), RouteTableAssociation()]
INVOKES: dict[str, Invoke] = {}
