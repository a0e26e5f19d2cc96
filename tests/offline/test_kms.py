"""The stand-in's KMS keys and aliases against a moto server."""

import json

import pytest

from offline.aws.resource import Aws
from tests.offline.aws_driver import CallError, Deployed, Driver
from tests.offline.outputs import assert_complete

KEY = "aws:kms/key:Key"
ALIAS = "aws:kms/alias:Alias"


def _policy(account: str, action: str) -> str:
    statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": action}
    return json.dumps({"Version": "2012-10-17", "Statement": [{**statement, "Resource": "*"}]})


@pytest.fixture
def key(driver: Driver) -> Deployed:
    return driver.create(KEY, "holder", {"enableKeyRotation": True})


def test_key_lives_and_dies(driver: Driver, aws: Aws) -> None:
    inputs = {
        "description": "Logs",
        "enableKeyRotation": True,
        "deletionWindowInDays": 7,
        "policy": _policy(aws.account_id, "kms:*"),
        "tags": {"team": "research"},
    }
    changed = {
        "description": "Logs of sessions",
        "enableKeyRotation": False,
        "isEnabled": False,
        "deletionWindowInDays": 7,
        "policy": _policy(aws.account_id, "kms:Decrypt"),
        "tags": {"owner": "x"},
    }
    deployed = driver.lifecycle(KEY, inputs, changed)
    assert deployed.id == deployed.state["keyId"]
    assert_complete(deployed)
    assert deployed.state["arn"] == f"arn:aws:kms:eu-west-1:{aws.account_id}:key/{deployed.id}"
    client = aws.client("kms")
    assert client.describe_key(KeyId=deployed.id)["KeyMetadata"]["Enabled"] is False
    assert client.get_key_rotation_status(KeyId=deployed.id)["KeyRotationEnabled"] is False
    driver.assert_deletes(deployed)
    assert client.describe_key(KeyId=deployed.id)["KeyMetadata"]["KeyState"] == "PendingDeletion"


def test_key_drift_is_seen(driver: Driver, aws: Aws, key: Deployed) -> None:
    client = aws.client("kms")
    client.disable_key_rotation(KeyId=key.id)
    client.tag_resource(KeyId=key.id, Tags=[{"TagKey": "by", "TagValue": "hand"}])
    assert driver.drift(key) == ["enableKeyRotation", "tags"]
    refreshed = driver.refresh(key)
    assert refreshed is not None
    assert driver.drift(driver.update(refreshed, {"enableKeyRotation": True})) == []
    assert client.get_key_rotation_status(KeyId=key.id)["KeyRotationEnabled"] is True


def test_key_policy_changed_by_hand_is_drift(driver: Driver, aws: Aws) -> None:
    deployed = driver.create(KEY, "policed", {"policy": _policy(aws.account_id, "kms:*")})
    aws.client("kms").put_key_policy(
        KeyId=deployed.id, PolicyName="default", Policy=_policy("111122223333", "kms:Decrypt")
    )
    assert driver.drift(deployed) == ["policy"]


def test_rotation_and_description_are_followed_also_when_not_given(driver: Driver, aws: Aws) -> None:
    deployed = driver.create(KEY, "plain", {"description": "Logs"})
    aws.client("kms").enable_key_rotation(KeyId=deployed.id)
    aws.client("kms").update_key_description(KeyId=deployed.id, Description="by hand")
    assert driver.drift(deployed) == ["description", "enableKeyRotation"]


def test_inputs_without_effect_here_are_refused(driver: Driver) -> None:
    _, failures = driver.check(KEY, "k", {"rotationPeriodInDays": 90, "customKeyStoreId": "cks-1"})
    assert sorted(failures) == ["customKeyStoreId", "rotationPeriodInDays"]


def test_key_that_is_spent_otherwise_is_replaced(driver: Driver, key: Deployed) -> None:
    assert driver.diff(key, {"enableKeyRotation": True, "keyUsage": "SIGN_VERIFY"}).replaces == ["keyUsage"]


def test_alias_follows_its_key(driver: Driver, aws: Aws, key: Deployed) -> None:
    other = driver.create(KEY, "other", {})
    inputs = {"name": "alias/logs", "targetKeyId": key.id}
    deployed = driver.lifecycle(ALIAS, inputs, {**inputs, "targetKeyId": other.id})
    assert deployed.id == "alias/logs"
    assert_complete(deployed)
    assert deployed.state["targetKeyArn"] == other.state["arn"]
    aws.client("kms").update_alias(AliasName="alias/logs", TargetKeyId=key.id)
    assert driver.drift(deployed) == ["targetKeyId"]
    assert driver.diff(deployed, {**inputs, "name": "alias/x"}).replaces == ["name"]
    driver.assert_deletes(deployed)


def test_alias_to_an_arn_is_no_drift(driver: Driver, key: Deployed) -> None:
    deployed = driver.create(ALIAS, "arn", {"name": "alias/by-arn", "targetKeyId": key.state["arn"]})
    assert driver.drift(deployed) == []
    driver.delete(deployed)


def test_alias_without_its_prefix_is_refused(driver: Driver, key: Deployed) -> None:
    with pytest.raises(CallError, match="name: 'logs' does not begin with 'alias/'"):
        driver.create(ALIAS, "bad", {"name": "logs", "targetKeyId": key.id})
