"""Which VPCs see a private hosted zone."""

from offline.aws.errors import missing_is_fine, missing_is_gone
from offline.aws.registry import Invoke
from offline.aws.resource import Aws, Gone, Props, Resource


class ZoneAssociation(Resource):
    """That a VPC sees a private hosted zone."""

    token = "aws:route53/zoneAssociation:ZoneAssociation"
    backed_by = "moto: route53.associate_vpc_with_hosted_zone"
    taggable = False
    force_new = frozenset({"vpcId", "vpcRegion", "zoneId"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Associates the VPC."""
        region = inputs.get("vpcRegion", aws.region)
        aws.client("route53").associate_vpc_with_hosted_zone(
            HostedZoneId=inputs["zoneId"], VPC={"VPCRegion": region, "VPCId": inputs["vpcId"]}
        )
        association_id = f"{inputs['zoneId']}:{inputs['vpcId']}"
        return association_id, self.read(aws, association_id, inputs)

    def read(self, aws: Aws, _physical_id: str, state: Props, /) -> Props:
        """Returns the association."""
        with missing_is_gone():
            zone = aws.client("route53").get_hosted_zone(Id=state["zoneId"])
        for vpc in zone.get("VPCs") or []:
            if vpc["VPCId"] == state["vpcId"]:
                return {"owningAccount": aws.account_id, "vpcRegion": vpc["VPCRegion"]}
        raise Gone

    def update(self, _aws: Aws, _physical_id: str, _state: Props, _inputs: Props, /) -> Props:
        """Has nothing to change: every input replaces the association."""
        return {}

    def delete(self, aws: Aws, physical_id: str, state: Props, /) -> None:
        """Ends the association; asked before, as AWS refuses to end a zone's last one whichever VPC is named."""
        self.read(aws, physical_id, state)
        with missing_is_fine("VPCAssociationNotFound"):
            aws.client("route53").disassociate_vpc_from_hosted_zone(
                HostedZoneId=state["zoneId"], VPC={"VPCRegion": state["vpcRegion"], "VPCId": state["vpcId"]}
            )


RESOURCES: list[Resource] = [ZoneAssociation()]
INVOKES: dict[str, Invoke] = {}
