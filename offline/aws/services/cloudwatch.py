"""CloudWatch Logs: log groups and the policies of the log service."""

from typing import Any, ClassVar

from offline.aws.errors import missing_is_fine, missing_is_gone
from offline.aws.registry import Invoke
from offline.aws.resource import Aws, Gone, Props, Resource
from offline.aws.services._tags import tag_changes

# The emulator takes a key only when it makes a log group; a key that was changed later is kept here.
_KEYS = "log-group-key"


class LogGroup(Resource):
    """A log group; its id is its name."""

    token = "aws:cloudwatch/logGroup:LogGroup"
    backed_by = "moto: logs.create_log_group, put_retention_policy; a later change of the key: kept by the stand-in"
    force_new = frozenset({"name", "logGroupClass"})
    name_property = "name"
    name_limit = 512
    defaults: ClassVar[dict[str, Any]] = {"retentionInDays": 0, "skipDestroy": False}
    drift_keys = frozenset({"kmsKeyId"})
    unsupported = frozenset({"deletionProtectionEnabled", "namePrefix"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Makes the log group, then sets how long it keeps its events."""
        client, name = aws.client("logs"), inputs["name"]
        optional = {"kmsKeyId": inputs.get("kmsKeyId"), "logGroupClass": inputs.get("logGroupClass")}
        aws.store.delete(_KEYS, name)
        client.create_log_group(
            logGroupName=name,
            tags=aws.tags_all(inputs),
            **{key: value for key, value in optional.items() if value},
        )
        try:
            self._retain(aws, name, inputs)
            return name, self.read(aws, name, inputs)
        except Exception:
            client.delete_log_group(logGroupName=name)
            raise

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the log group; the ARN is that of the group, without the `:*` of its streams."""
        client = aws.client("logs")
        pages = client.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=physical_id)
        group = next((g for page in pages for g in page["logGroups"] if g["logGroupName"] == physical_id), None)
        if group is None:
            raise Gone
        arn = group["arn"].removesuffix(":*")
        changed_key = aws.store.get(_KEYS, physical_id)
        with missing_is_gone():
            tags = client.list_tags_for_resource(resourceArn=arn)["tags"]
        return {
            "arn": arn,
            "kmsKeyId": (changed_key["kmsKeyId"] if changed_key else group.get("kmsKeyId")) or None,
            "name": group["logGroupName"],
            "retentionInDays": group.get("retentionInDays", 0),
            "tags": tags,
        }

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Changes retention, key and tags."""
        client = aws.client("logs")
        self._retain(aws, physical_id, inputs)
        if inputs.get("kmsKeyId") != state.get("kmsKeyId"):
            aws.store.put(_KEYS, physical_id, {"kmsKeyId": inputs.get("kmsKeyId")})
        removed, written = tag_changes(aws, state, inputs)
        if removed:
            client.untag_resource(resourceArn=state["arn"], tagKeys=removed)
        if written:
            client.tag_resource(resourceArn=state["arn"], tags=written)
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, state: Props, /) -> None:
        """Deletes the log group and its events, unless it is to be left behind."""
        if state.get("skipDestroy"):
            return
        aws.store.delete(_KEYS, physical_id)
        with missing_is_fine():
            aws.client("logs").delete_log_group(logGroupName=physical_id)

    @staticmethod
    def _retain(aws: Aws, name: str, inputs: Props) -> None:
        days = inputs.get("retentionInDays") or 0
        if days:
            aws.client("logs").put_retention_policy(logGroupName=name, retentionInDays=days)
        else:
            aws.client("logs").delete_retention_policy(logGroupName=name)


class LogResourcePolicy(Resource):
    """Which services of AWS may write to the log groups of the account; its id is its name."""

    token = "aws:cloudwatch/logResourcePolicy:LogResourcePolicy"
    backed_by = "moto: logs.put_resource_policy"
    force_new = frozenset({"policyName"})
    json_properties = frozenset({"policyDocument"})
    unsupported = frozenset({"resourceArn"})
    taggable = False

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Puts the policy.

        Raises:
            ValueError: no name.
        """
        if not inputs.get("policyName"):
            raise ValueError("policyName: not set: a policy of the account needs a name: set it")
        return inputs["policyName"], self._put(aws, inputs["policyName"], inputs)

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the policy document."""
        pages = aws.client("logs").get_paginator("describe_resource_policies").paginate()
        found = next((p for page in pages for p in page["resourcePolicies"] if p["policyName"] == physical_id), None)
        if found is None:
            raise Gone
        return {"policyDocument": found["policyDocument"], "policyName": physical_id, "policyScope": "ACCOUNT"}

    def update(self, aws: Aws, physical_id: str, _state: Props, inputs: Props, /) -> Props:
        """Puts the policy anew."""
        return self._put(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Deletes the policy."""
        with missing_is_fine():
            aws.client("logs").delete_resource_policy(policyName=physical_id)

    def _put(self, aws: Aws, name: str, inputs: Props) -> Props:
        aws.client("logs").put_resource_policy(policyName=name, policyDocument=inputs["policyDocument"])
        return self.read(aws, name, inputs)


RESOURCES: list[Resource] = [LogGroup(), LogResourcePolicy()]
INVOKES: dict[str, Invoke] = {}
