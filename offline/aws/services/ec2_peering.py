"""Peering connections between two VPCs."""

from typing import Any

from offline.aws.errors import missing_is_fine
from offline.aws.registry import Invoke
from offline.aws.resource import Aws, Gone, Props, Resource
from offline.aws.services._ec2 import describe_one, retag, tag_specifications, tags_of

_ENDED = frozenset({"deleted", "deleting", "expired", "failed", "rejected"})


class VpcPeeringConnection(Resource):
    """A peering connection, accepted at once when both VPCs are the account's own."""

    token = "aws:ec2/vpcPeeringConnection:VpcPeeringConnection"
    backed_by = "moto: ec2.create_vpc_peering_connection, accept_vpc_peering_connection"
    force_new = frozenset({"peerOwnerId", "peerRegion", "peerVpcId", "vpcId"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Asks for the connection, accepts it and sets its options."""
        client = aws.client("ec2")
        optional = {"peerOwnerId": "PeerOwnerId", "peerRegion": "PeerRegion"}
        peering_id = client.create_vpc_peering_connection(
            VpcId=inputs["vpcId"],
            PeerVpcId=inputs["peerVpcId"],
            TagSpecifications=tag_specifications("vpc-peering-connection", aws.tags_all(inputs)),
            **{name: inputs[key] for key, name in optional.items() if key in inputs},
        )["VpcPeeringConnection"]["VpcPeeringConnectionId"]
        try:
            self._configure(aws, peering_id, inputs)
            return peering_id, self.read(aws, peering_id, inputs)
        except Exception:
            client.delete_vpc_peering_connection(VpcPeeringConnectionId=peering_id)
            raise

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the connection; a deleted or rejected one is gone."""
        peering = self._describe(aws, physical_id)
        if peering["Status"]["Code"] in _ENDED:
            raise Gone
        return {
            "acceptStatus": peering["Status"]["Code"],
            "accepter": _options(peering["AccepterVpcInfo"]),
            "peerOwnerId": peering["AccepterVpcInfo"]["OwnerId"],
            "peerRegion": peering["AccepterVpcInfo"]["Region"],
            "peerVpcId": peering["AccepterVpcInfo"]["VpcId"],
            "requester": _options(peering["RequesterVpcInfo"]),
            "tags": tags_of(peering),
            "vpcId": peering["RequesterVpcInfo"]["VpcId"],
        }

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Accepts the connection if that is new, sets options and tags."""
        self._configure(aws, physical_id, inputs)
        retag(aws, physical_id, state, inputs)
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Deletes the connection."""
        with missing_is_fine("InvalidStateTransition"):
            aws.client("ec2").delete_vpc_peering_connection(VpcPeeringConnectionId=physical_id)

    def _configure(self, aws: Aws, peering_id: str, inputs: Props) -> None:
        client = aws.client("ec2")
        if inputs.get("autoAccept") and self._describe(aws, peering_id)["Status"]["Code"] == "pending-acceptance":
            client.accept_vpc_peering_connection(VpcPeeringConnectionId=peering_id)
        sides = {"accepter": "AccepterPeeringConnectionOptions", "requester": "RequesterPeeringConnectionOptions"}
        options: dict[str, Any] = {
            name: {"AllowDnsResolutionFromRemoteVpc": bool(inputs[side].get("allowRemoteVpcDnsResolution"))}
            for side, name in sides.items()
            if side in inputs
        }
        if options:
            client.modify_vpc_peering_connection_options(VpcPeeringConnectionId=peering_id, **options)

    def _describe(self, aws: Aws, peering_id: str) -> Props:
        return describe_one(
            aws,
            "describe_vpc_peering_connections",
            "VpcPeeringConnections",
            VpcPeeringConnectionIds=[peering_id],
        )


def _options(side: Props) -> Props:
    options = side.get("PeeringOptions") or {}
    return {"allowRemoteVpcDnsResolution": bool(options.get("AllowDnsResolutionFromRemoteVpc"))}


RESOURCES: list[Resource] = [VpcPeeringConnection()]
INVOKES: dict[str, Invoke] = {}
