"""Secrets Manager: secrets without their values, which this project never holds."""

from typing import Any, ClassVar

from offline.aws.errors import missing_is_fine, missing_is_gone
from offline.aws.registry import Invoke
from offline.aws.resource import Aws, Gone, Props, Resource
from offline.aws.services._tags import tag_changes, tag_list, tag_map

_RECOVERY_DAYS = 30


class Secret(Resource):
    """A secret; its id is its ARN."""

    token = "aws:secretsmanager/secret:Secret"
    backed_by = "moto: secretsmanager.create_secret, update_secret, put_resource_policy"
    force_new = frozenset({"name"})
    name_property = "name"
    name_limit = 512
    defaults: ClassVar[dict[str, Any]] = {"recoveryWindowInDays": _RECOVERY_DAYS}
    json_properties = frozenset({"policy"})
    drift_keys = frozenset({"kmsKeyId"})
    unsupported = frozenset({"forceOverwriteReplicaSecret", "namePrefix", "replicas", "type"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Makes the secret, then sets who may read it."""
        client = aws.client("secretsmanager")
        key = inputs.get("kmsKeyId")
        arn: str = client.create_secret(
            Name=inputs["name"],
            Description=inputs.get("description", ""),
            Tags=tag_list(aws.tags_all(inputs)),
            **({"KmsKeyId": key} if key else {}),
        )["ARN"]
        try:
            if inputs.get("policy"):
                client.put_resource_policy(SecretId=arn, ResourcePolicy=inputs["policy"])
            return arn, self.read(aws, arn, inputs)
        except Exception:
            client.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
            raise

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the secret without its value; one that waits for its deletion counts as gone."""
        client = aws.client("secretsmanager")
        with missing_is_gone():
            secret = client.describe_secret(SecretId=physical_id)
            if secret.get("DeletedDate"):
                raise Gone
            policy = client.get_resource_policy(SecretId=physical_id).get("ResourcePolicy")
        return {
            "arn": secret["ARN"],
            "description": secret.get("Description") or None,
            "kmsKeyId": secret.get("KmsKeyId"),
            "name": secret["Name"],
            "policy": policy,
            "tags": tag_map(secret.get("Tags")),
        }

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Changes description, key, policy and tags."""
        client = aws.client("secretsmanager")
        changes = {
            field: inputs.get(key, "")
            for key, field in {"description": "Description", "kmsKeyId": "KmsKeyId"}.items()
            if inputs.get(key) != state.get(key)
        }
        if changes:
            client.update_secret(SecretId=physical_id, **changes)
        if inputs.get("policy"):
            client.put_resource_policy(SecretId=physical_id, ResourcePolicy=inputs["policy"])
        elif state.get("policy"):
            client.delete_resource_policy(SecretId=physical_id)
        removed, written = tag_changes(aws, state, inputs)
        if removed:
            client.untag_resource(SecretId=physical_id, TagKeys=removed)
        if written:
            client.tag_resource(SecretId=physical_id, Tags=tag_list(written))
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, state: Props, /) -> None:
        """Deletes the secret after its recovery window, at once when that is 0."""
        days = state.get("recoveryWindowInDays", _RECOVERY_DAYS)
        client = aws.client("secretsmanager")
        with missing_is_fine():
            if client.describe_secret(SecretId=physical_id).get("DeletedDate"):
                return
            if days:
                client.delete_secret(SecretId=physical_id, RecoveryWindowInDays=days)
            else:
                client.delete_secret(SecretId=physical_id, ForceDeleteWithoutRecovery=True)


RESOURCES: list[Resource] = [Secret()]
INVOKES: dict[str, Invoke] = {}
