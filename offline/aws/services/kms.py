"""KMS: keys and their aliases."""

from typing import Any, ClassVar

from offline.aws.errors import missing_is_fine, missing_is_gone
from offline.aws.registry import Invoke
from offline.aws.resource import Aws, Gone, Props, Resource
from offline.aws.services._tags import tag_changes, tag_list, tag_map

_POLICY_NAME = "default"
_ALIAS_PREFIX = "alias/"
_LONGEST_DELETION_WINDOW = 30
# What AWS says of a key that is waiting for its deletion.
_DELETED_STATES = frozenset({"PendingDeletion", "PendingReplicaDeletion", "Unavailable"})


class Key(Resource):
    """A key; its id is its key id (a UUID)."""

    token = "aws:kms/key:Key"
    backed_by = "moto: kms.create_key, put_key_policy, enable_key_rotation, schedule_key_deletion"
    force_new = frozenset({"customerMasterKeySpec", "keyUsage", "multiRegion"})
    defaults: ClassVar[dict[str, Any]] = {
        "bypassPolicyLockoutSafetyCheck": False,
        "customerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "enableKeyRotation": False,
        "isEnabled": True,
        "keyUsage": "ENCRYPT_DECRYPT",
    }
    json_properties = frozenset({"policy"})
    unsupported = frozenset({"customKeyStoreId", "rotationPeriodInDays", "xksKeyId"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Makes the key, then switches rotation and use."""
        client = aws.client("kms")
        policy = inputs.get("policy")
        key_id: str = client.create_key(
            Description=inputs.get("description", ""),
            KeySpec=inputs.get("customerMasterKeySpec", "SYMMETRIC_DEFAULT"),
            KeyUsage=inputs.get("keyUsage", "ENCRYPT_DECRYPT"),
            MultiRegion=bool(inputs.get("multiRegion")),
            BypassPolicyLockoutSafetyCheck=bool(inputs.get("bypassPolicyLockoutSafetyCheck")),
            Tags=tag_list(aws.tags_all(inputs), "TagKey", "TagValue"),
            **({"Policy": policy} if policy else {}),
        )["KeyMetadata"]["KeyId"]
        try:
            self._switch(aws, key_id, {"enableKeyRotation": False, "isEnabled": True}, inputs)
            return key_id, self.read(aws, key_id, inputs)
        except Exception:
            self.delete(aws, key_id, inputs)
            raise

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the key, its policy and whether it rotates; a key that waits for its deletion counts as gone."""
        client = aws.client("kms")
        with missing_is_gone():
            key = client.describe_key(KeyId=physical_id)["KeyMetadata"]
        if key["KeyState"] in _DELETED_STATES:
            raise Gone
        return {
            "arn": key["Arn"],
            "customerMasterKeySpec": key["KeySpec"],
            "description": key.get("Description", ""),
            "enableKeyRotation": client.get_key_rotation_status(KeyId=physical_id)["KeyRotationEnabled"],
            "isEnabled": key["Enabled"],
            "keyId": key["KeyId"],
            "keyUsage": key["KeyUsage"],
            "multiRegion": key["MultiRegion"],
            "policy": client.get_key_policy(KeyId=physical_id, PolicyName=_POLICY_NAME)["Policy"],
            "tags": tag_map(client.list_resource_tags(KeyId=physical_id)["Tags"], "TagKey", "TagValue"),
        }

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Changes description, policy, rotation, use and tags."""
        client = aws.client("kms")
        if inputs.get("description", "") != state.get("description", ""):
            client.update_key_description(KeyId=physical_id, Description=inputs.get("description", ""))
        if inputs.get("policy"):
            client.put_key_policy(KeyId=physical_id, PolicyName=_POLICY_NAME, Policy=inputs["policy"])
        self._switch(aws, physical_id, state, inputs)
        removed, written = tag_changes(aws, state, inputs)
        if removed:
            client.untag_resource(KeyId=physical_id, TagKeys=removed)
        if written:
            client.tag_resource(KeyId=physical_id, Tags=tag_list(written, "TagKey", "TagValue"))
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, state: Props, /) -> None:
        """Schedules the deletion of the key."""
        days = state.get("deletionWindowInDays") or _LONGEST_DELETION_WINDOW
        client = aws.client("kms")
        with missing_is_fine():
            if client.describe_key(KeyId=physical_id)["KeyMetadata"]["KeyState"] not in _DELETED_STATES:
                client.schedule_key_deletion(KeyId=physical_id, PendingWindowInDays=days)

    @staticmethod
    def _switch(aws: Aws, key_id: str, state: Props, inputs: Props) -> None:
        client = aws.client("kms")
        enabled, rotating = inputs.get("isEnabled", True), inputs.get("enableKeyRotation", False)
        # Rotation can only be switched while the key is enabled.
        if enabled and not state.get("isEnabled", True):
            client.enable_key(KeyId=key_id)
        if rotating != state.get("enableKeyRotation", False):
            (client.enable_key_rotation if rotating else client.disable_key_rotation)(KeyId=key_id)
        if not enabled and state.get("isEnabled", True):
            client.disable_key(KeyId=key_id)


class Alias(Resource):
    """A name of a key; its id is the name."""

    token = "aws:kms/alias:Alias"
    backed_by = "moto: kms.create_alias"
    force_new = frozenset({"name"})
    unsupported = frozenset({"namePrefix"})
    taggable = False

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Names the key.

        Raises:
            ValueError: no name, or one that does not begin with `alias/`.
        """
        name = inputs.get("name") or ""
        if not name.startswith(_ALIAS_PREFIX):
            raise ValueError(f"name: {name!r} does not begin with {_ALIAS_PREFIX!r}: set it to {_ALIAS_PREFIX}<name>")
        aws.client("kms").create_alias(AliasName=name, TargetKeyId=inputs["targetKeyId"])
        return name, self.read(aws, name, inputs)

    def read(self, aws: Aws, physical_id: str, state: Props, /) -> Props:
        """Returns the key that bears the name, as key id or ARN, as the program gave it."""
        pages = aws.client("kms").get_paginator("list_aliases").paginate()
        found = next((a for page in pages for a in page["Aliases"] if a["AliasName"] == physical_id), None)
        if found is None:
            raise Gone
        key_arn = f"arn:{aws.partition}:kms:{aws.region}:{aws.account_id}:key/{found['TargetKeyId']}"
        return {
            "arn": found["AliasArn"],
            "name": found["AliasName"],
            "targetKeyArn": key_arn,
            "targetKeyId": key_arn if state.get("targetKeyId", "").startswith("arn:") else found["TargetKeyId"],
        }

    def update(self, aws: Aws, physical_id: str, _state: Props, inputs: Props, /) -> Props:
        """Gives the name to another key."""
        aws.client("kms").update_alias(AliasName=physical_id, TargetKeyId=inputs["targetKeyId"])
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Deletes the name, not the key."""
        with missing_is_fine():
            aws.client("kms").delete_alias(AliasName=physical_id)


RESOURCES: list[Resource] = [Key(), Alias()]
INVOKES: dict[str, Invoke] = {}
