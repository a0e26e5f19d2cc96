"""Flow logs."""

from typing import Any, ClassVar

from offline.aws.errors import aws_error, missing_is_fine
from offline.aws.registry import Invoke
from offline.aws.resource import Aws, Props, Resource
from offline.aws.services._ec2 import arn, describe_one, retag, tag_specifications, tags_of

_SUBJECTS = {"vpcId": "VPC", "subnetId": "Subnet", "eniId": "NetworkInterface"}
_OPTIONAL = {
    "iamRoleArn": "DeliverLogsPermissionArn",
    "logDestination": "LogDestination",
    "logFormat": "LogFormat",
    "maxAggregationInterval": "MaxAggregationInterval",
    "trafficType": "TrafficType",
}


class FlowLog(Resource):
    """A record of the traffic of a VPC, a subnet or an interface; everything but its tags is fixed."""

    token = "aws:ec2/flowLog:FlowLog"
    backed_by = "moto: ec2.create_flow_logs"
    force_new = frozenset({"logDestinationType", *_SUBJECTS, *_OPTIONAL})
    defaults: ClassVar[Props] = {"logDestinationType": "cloud-watch-logs", "maxAggregationInterval": 600}
    unsupported = frozenset(
        {
            "deliverCrossAccountRole",
            "destinationOptions",
            "regionalNatGatewayId",
            "tagFieldSpecifications",
            "transitGatewayAttachmentId",
            "transitGatewayId",
        }
    )

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Starts the log."""
        subject = next((key for key in _SUBJECTS if key in inputs), None)
        if subject is None:
            raise aws_error("CreateFlowLogs", "MissingParameter", f"one of {', '.join(_SUBJECTS)} is required")
        answer = aws.client("ec2").create_flow_logs(
            ResourceIds=[inputs[subject]],
            ResourceType=_SUBJECTS[subject],
            LogDestinationType=inputs["logDestinationType"],
            TagSpecifications=tag_specifications("vpc-flow-log", aws.tags_all(inputs)),
            **{name: inputs[key] for key, name in _OPTIONAL.items() if key in inputs},
        )
        for refused in answer.get("Unsuccessful") or []:
            raise aws_error("CreateFlowLogs", refused["Error"]["Code"], refused["Error"]["Message"])
        flow_log_id = answer["FlowLogIds"][0]
        return flow_log_id, self.read(aws, flow_log_id, inputs)

    def read(self, aws: Aws, physical_id: str, state: Props, /) -> Props:
        """Returns the log's settings."""
        log = describe_one(aws, "describe_flow_logs", "FlowLogs", FlowLogIds=[physical_id])
        read: dict[str, Any] = {key: log.get(name) for key, name in _OPTIONAL.items()}
        subject = next(key for key in _SUBJECTS if key in state)
        return {
            **read,
            subject: log["ResourceId"],
            "arn": arn(aws, "vpc-flow-log", physical_id),
            "logDestinationType": log["LogDestinationType"],
            "tags": tags_of(log),
        }

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Sets the tags."""
        retag(aws, physical_id, state, inputs)
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Ends the log."""
        with missing_is_fine():
            aws.client("ec2").delete_flow_logs(FlowLogIds=[physical_id])


RESOURCES: list[Resource] = [FlowLog()]
INVOKES: dict[str, Invoke] = {}
