"""EventBridge Scheduler: schedules and groups of them."""

from datetime import datetime
from typing import Any, ClassVar

from offline.aws.errors import missing_is_fine, missing_is_gone
from offline.aws.registry import Invoke
from offline.aws.resource import Aws, Props, Resource
from offline.aws.services._structure import Fields, from_api, to_api
from offline.aws.services._tags import tag_changes, tag_list, tag_map

_DEFAULT_GROUP = "default"
_WINDOW: Fields = {"mode": "Mode", "maximumWindowInMinutes": "MaximumWindowInMinutes"}
_TASK: Fields = {
    "taskDefinitionArn": "TaskDefinitionArn",
    "capacityProviderStrategies": (
        "CapacityProviderStrategy",
        {"capacityProvider": "capacityProvider", "weight": "weight", "base": "base"},
    ),
    "enableEcsManagedTags": "EnableECSManagedTags",
    "enableExecuteCommand": "EnableExecuteCommand",
    "group": "Group",
    "launchType": "LaunchType",
    "networkConfiguration": "NetworkConfiguration",
    "placementConstraints": ("PlacementConstraints", {"type": "type", "expression": "expression"}),
    "placementStrategies": ("PlacementStrategy", {"type": "type", "field": "field"}),
    "platformVersion": "PlatformVersion",
    "propagateTags": "PropagateTags",
    "referenceId": "ReferenceId",
    "tags": "Tags",
    "taskCount": "TaskCount",
}
_NETWORK: Fields = {"assignPublicIp": "AssignPublicIp", "securityGroups": "SecurityGroups", "subnets": "Subnets"}
_TARGET: Fields = {
    "arn": "Arn",
    "roleArn": "RoleArn",
    "deadLetterConfig": ("DeadLetterConfig", {"arn": "Arn"}),
    "ecsParameters": ("EcsParameters", _TASK),
    "eventbridgeParameters": ("EventBridgeParameters", {"detailType": "DetailType", "source": "Source"}),
    "input": "Input",
    "kinesisParameters": ("KinesisParameters", {"partitionKey": "PartitionKey"}),
    "retryPolicy": (
        "RetryPolicy",
        {
            "maximumEventAgeInSeconds": "MaximumEventAgeInSeconds",
            "maximumRetryAttempts": "MaximumRetryAttempts",
        },
    ),
    "sqsParameters": ("SqsParameters", {"messageGroupId": "MessageGroupId"}),
}


class Schedule(Resource):
    """When a target is called; its id is `<group>/<name>`."""

    token = "aws:scheduler/schedule:Schedule"
    backed_by = "moto: scheduler.create_schedule, update_schedule"
    force_new = frozenset({"groupName", "name"})
    name_property = "name"
    name_limit = 64
    defaults: ClassVar[dict[str, Any]] = {"scheduleExpressionTimezone": "UTC", "state": "ENABLED"}
    drift_keys = frozenset({"description", "endDate", "kmsKeyArn", "startDate"})
    unsupported = frozenset({"namePrefix"})
    taggable = False

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Makes the schedule in its group."""
        group = inputs.get("groupName", _DEFAULT_GROUP)
        client = aws.client("scheduler")
        # The emulator answers a group that does not exist with an internal error.
        client.get_schedule_group(Name=group)
        client.create_schedule(Name=inputs["name"], GroupName=group, **_settings(inputs))
        physical_id = f"{group}/{inputs['name']}"
        return physical_id, self.read(aws, physical_id, inputs)

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the schedule."""
        group, _, name = physical_id.partition("/")
        with missing_is_gone():
            schedule = aws.client("scheduler").get_schedule(GroupName=group, Name=name)
        return {
            "actionAfterCompletion": schedule.get("ActionAfterCompletion"),
            "arn": schedule["Arn"],
            "description": schedule.get("Description") or None,
            "endDate": _text(schedule.get("EndDate")),
            "flexibleTimeWindow": from_api(_WINDOW, schedule["FlexibleTimeWindow"]),
            "groupName": schedule["GroupName"],
            "kmsKeyArn": schedule.get("KmsKeyArn"),
            "name": schedule["Name"],
            "scheduleExpression": schedule["ScheduleExpression"],
            "scheduleExpressionTimezone": schedule["ScheduleExpressionTimezone"],
            "startDate": _text(schedule.get("StartDate")),
            "state": schedule["State"],
            "target": _target_from_api(schedule["Target"]),
        }

    def update(self, aws: Aws, physical_id: str, _state: Props, inputs: Props, /) -> Props:
        """Writes all settings anew, as the API demands."""
        group, _, name = physical_id.partition("/")
        aws.client("scheduler").update_schedule(GroupName=group, Name=name, **_settings(inputs))
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Deletes the schedule."""
        group, _, name = physical_id.partition("/")
        with missing_is_fine():
            aws.client("scheduler").delete_schedule(GroupName=group, Name=name)


class ScheduleGroup(Resource):
    """A group of schedules, which are deleted with it; its id is its name."""

    token = "aws:scheduler/scheduleGroup:ScheduleGroup"
    backed_by = "moto: scheduler.create_schedule_group"
    force_new = frozenset({"name"})
    name_property = "name"
    name_limit = 64
    unsupported = frozenset({"namePrefix"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Makes the group."""
        name = inputs["name"]
        aws.client("scheduler").create_schedule_group(Name=name, Tags=tag_list(aws.tags_all(inputs)))
        return name, self.read(aws, name, inputs)

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the group."""
        client = aws.client("scheduler")
        with missing_is_gone():
            group = client.get_schedule_group(Name=physical_id)
        return {
            "arn": group["Arn"],
            "creationDate": _text(group["CreationDate"]),
            "lastModificationDate": _text(group["LastModificationDate"]),
            "name": group["Name"],
            "state": group["State"],
            "tags": tag_map(client.list_tags_for_resource(ResourceArn=group["Arn"])["Tags"]),
        }

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Changes the tags."""
        client = aws.client("scheduler")
        removed, written = tag_changes(aws, state, inputs)
        if removed:
            client.untag_resource(ResourceArn=state["arn"], TagKeys=removed)
        if written:
            client.tag_resource(ResourceArn=state["arn"], Tags=tag_list(written))
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Deletes the group with its schedules."""
        client = aws.client("scheduler")
        with missing_is_fine():
            # The emulator answers the deletion of a group that does not exist with an internal error.
            client.get_schedule_group(Name=physical_id)
            client.delete_schedule_group(Name=physical_id)


def _settings(inputs: Props) -> dict[str, Any]:
    optional = {
        "ActionAfterCompletion": inputs.get("actionAfterCompletion"),
        "Description": inputs.get("description"),
        "EndDate": _date(inputs.get("endDate")),
        "KmsKeyArn": inputs.get("kmsKeyArn"),
        "ScheduleExpressionTimezone": inputs.get("scheduleExpressionTimezone"),
        "StartDate": _date(inputs.get("startDate")),
        "State": inputs.get("state"),
    }
    return {
        "FlexibleTimeWindow": to_api(_WINDOW, inputs["flexibleTimeWindow"]),
        "ScheduleExpression": inputs["scheduleExpression"],
        "Target": _target_to_api(inputs["target"]),
        **{key: value for key, value in optional.items() if value is not None},
    }


def _target_to_api(target: Props) -> Props:
    result = to_api(_TARGET, target)
    task = result.get("EcsParameters", {})
    if "NetworkConfiguration" in task:
        plugged = dict(task["NetworkConfiguration"])
        if plugged.get("assignPublicIp") is not None:
            plugged["assignPublicIp"] = "ENABLED" if plugged["assignPublicIp"] else "DISABLED"
        task["NetworkConfiguration"] = {"awsvpcConfiguration": to_api(_NETWORK, plugged)}
    if "Tags" in task:
        task["Tags"] = tag_list(task["Tags"], "key", "value")
    return result


def _target_from_api(target: Props) -> Props:
    result = from_api(_TARGET, target)
    task = result.get("ecsParameters", {})
    if "networkConfiguration" in task:
        plugged = from_api(_NETWORK, task["networkConfiguration"]["awsvpcConfiguration"])
        if "assignPublicIp" in plugged:
            plugged["assignPublicIp"] = plugged["assignPublicIp"] == "ENABLED"
        task["networkConfiguration"] = plugged
    if "tags" in task:
        task["tags"] = tag_map(task["tags"], "key", "value")
    return result


def _date(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _text(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


RESOURCES: list[Resource] = [Schedule(), ScheduleGroup()]
INVOKES: dict[str, Invoke] = {}
