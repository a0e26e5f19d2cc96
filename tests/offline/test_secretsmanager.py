"""The stand-in's secrets against a moto server."""

import json

from offline.aws.resource import Aws
from tests.offline.aws_driver import Driver
from tests.offline.outputs import assert_complete

SECRET = "aws:secretsmanager/secret:Secret"


def _policy(account: str) -> str:
    principal = {"AWS": f"arn:aws:iam::{account}:root"}
    statement = {"Effect": "Allow", "Principal": principal, "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_secret_lives_and_dies(driver: Driver, aws: Aws) -> None:
    inputs = {
        "name": "team/key",
        "description": "The gateway's",
        "policy": _policy("111122223333"),
        "tags": {"team": "research"},
        "recoveryWindowInDays": 0,
    }
    changed = {
        "name": "team/key",
        "description": "The gateway's key",
        "kmsKeyId": "alias/secrets",
        "tags": {"owner": "x"},
        "recoveryWindowInDays": 0,
    }
    deployed = driver.lifecycle(SECRET, inputs, changed)
    assert deployed.id == deployed.state["arn"]
    assert_complete(deployed)
    assert deployed.id.startswith(f"arn:aws:secretsmanager:eu-west-1:{aws.account_id}:secret:team/key-")
    held = aws.client("secretsmanager").describe_secret(SecretId="team/key")
    assert held["Description"] == "The gateway's key"
    assert held["Tags"] == [{"Key": "owner", "Value": "x"}]
    driver.assert_deletes(deployed)


def test_secret_drift_is_seen(driver: Driver, aws: Aws) -> None:
    deployed = driver.create(SECRET, "drifting", {"policy": _policy("111122223333"), "recoveryWindowInDays": 0})
    client = aws.client("secretsmanager")
    client.put_resource_policy(SecretId=deployed.id, ResourcePolicy=_policy("444455556666"))
    client.tag_resource(SecretId=deployed.id, Tags=[{"Key": "by", "Value": "hand"}])
    assert driver.drift(deployed) == ["policy", "tags"]
    client.delete_resource_policy(SecretId=deployed.id)
    client.update_secret(SecretId=deployed.id, KmsKeyId="alias/other")
    assert driver.drift(deployed) == ["kmsKeyId", "policy", "tags"]
    driver.delete(deployed)


def test_policy_is_compared_by_meaning_and_changed_in_place(driver: Driver, aws: Aws) -> None:
    deployed = driver.create(SECRET, "policed", {"policy": _policy("111122223333"), "recoveryWindowInDays": 0})
    respelt = json.dumps(json.loads(_policy("111122223333")), indent=2)
    assert driver.diff(deployed, {"policy": respelt, "recoveryWindowInDays": 0}).changed == []
    changed = {"policy": _policy("444455556666"), "recoveryWindowInDays": 0}
    assert driver.drift(driver.update(deployed, changed)) == []
    held = aws.client("secretsmanager").get_resource_policy(SecretId=deployed.id)["ResourcePolicy"]
    assert json.loads(held) == json.loads(_policy("444455556666"))
    driver.delete(deployed)


def test_secret_in_its_recovery_window_counts_as_gone(driver: Driver, aws: Aws) -> None:
    deployed = driver.create(SECRET, "recoverable", {})
    driver.assert_deletes(deployed)
    assert aws.client("secretsmanager").describe_secret(SecretId=deployed.id)["DeletedDate"]


def test_name_replaces(driver: Driver) -> None:
    deployed = driver.create(SECRET, "named", {"recoveryWindowInDays": 0})
    assert driver.diff(deployed, {"name": "other", "recoveryWindowInDays": 0}).replaces == ["name"]
    driver.delete(deployed)
