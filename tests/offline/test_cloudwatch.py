"""The stand-in's log groups against a moto server."""

import json

import pytest

from offline.aws.resource import Aws
from tests.offline.aws_driver import CallError, Driver
from tests.offline.outputs import assert_complete

GROUP = "aws:cloudwatch/logGroup:LogGroup"
POLICY = "aws:cloudwatch/logResourcePolicy:LogResourcePolicy"
KEYS = [f"arn:aws:kms:eu-west-1:123456789012:key/0000000{n}-0000-0000-0000-000000000000" for n in range(2)]


def _policy(service: str) -> str:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "logs:PutLogEvents", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_log_group_lives_and_dies(driver: Driver, aws: Aws) -> None:
    inputs = {"name": "/agents/one", "retentionInDays": 30, "kmsKeyId": KEYS[0], "tags": {"team": "research"}}
    changed = {"name": "/agents/one", "retentionInDays": 7, "kmsKeyId": KEYS[1], "tags": {"owner": "x"}}
    deployed = driver.lifecycle(GROUP, inputs, changed)
    assert deployed.id == "/agents/one"
    assert_complete(deployed)
    assert deployed.state["arn"] == f"arn:aws:logs:eu-west-1:{aws.account_id}:log-group:/agents/one"
    assert deployed.state["kmsKeyId"] == KEYS[1]
    client = aws.client("logs")
    assert client.describe_log_groups(logGroupNamePrefix="/agents/one")["logGroups"][0]["retentionInDays"] == 7
    assert client.list_tags_for_resource(resourceArn=deployed.state["arn"])["tags"] == {"owner": "x"}
    driver.assert_deletes(deployed)


def test_log_group_drift_is_seen(driver: Driver, aws: Aws) -> None:
    deployed = driver.create(GROUP, "drifting", {"retentionInDays": 30})
    # A group whose name only begins alike must not be taken for this one.
    aws.client("logs").create_log_group(logGroupName=f"{deployed.id}-more")
    aws.client("logs").put_retention_policy(logGroupName=deployed.id, retentionInDays=1)
    assert driver.drift(deployed) == ["retentionInDays"]
    aws.client("logs").delete_retention_policy(logGroupName=deployed.id)
    assert driver.drift(deployed) == ["retentionInDays"]
    mended = driver.update(deployed, {"retentionInDays": 30})
    assert driver.drift(mended) == []
    driver.delete(deployed)


def test_retention_can_be_given_up(driver: Driver, aws: Aws) -> None:
    deployed = driver.create(GROUP, "for-ever", {"retentionInDays": 30})
    deployed = driver.update(deployed, {})
    assert driver.drift(deployed) == []
    held = aws.client("logs").describe_log_groups(logGroupNamePrefix=deployed.id)["logGroups"][0]
    assert "retentionInDays" not in held
    driver.delete(deployed)


def test_key_of_a_deleted_group_is_forgotten(driver: Driver) -> None:
    inputs = {"name": "again", "kmsKeyId": KEYS[0]}
    driver.delete(driver.update(driver.create(GROUP, "again", inputs), {**inputs, "kmsKeyId": KEYS[1]}))
    deployed = driver.create(GROUP, "again", inputs)
    assert driver.drift(deployed) == []
    assert deployed.state["kmsKeyId"] == KEYS[0]
    driver.delete(deployed)


def test_group_that_is_to_stay_stays(driver: Driver, aws: Aws) -> None:
    deployed = driver.create(GROUP, "kept", {"skipDestroy": True})
    driver.delete(deployed)
    assert driver.refresh(deployed) is not None
    aws.client("logs").delete_log_group(logGroupName=deployed.id)


def test_refused_retention_leaves_nothing_behind(driver: Driver, aws: Aws) -> None:
    def fails(**_: object) -> None:
        raise ValueError("retention")

    client = aws.client("logs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "put_retention_policy", fails)
        with pytest.raises(CallError, match="retention"):
            driver.create(GROUP, "half", {"name": "half", "retentionInDays": 30})
    assert client.describe_log_groups(logGroupNamePrefix="half")["logGroups"] == []


def test_name_and_class_replace(driver: Driver) -> None:
    deployed = driver.create(GROUP, "replaced", {})
    change = driver.diff(deployed, {"name": "other", "logGroupClass": "INFREQUENT_ACCESS"})
    assert change.replaces == ["logGroupClass", "name"]
    driver.delete(deployed)


def test_inputs_without_effect_here_are_refused(driver: Driver) -> None:
    _, failures = driver.check(GROUP, "g", {"deletionProtectionEnabled": True, "namePrefix": "g-"})
    assert sorted(failures) == ["deletionProtectionEnabled", "namePrefix"]


def test_resource_policy(driver: Driver, aws: Aws) -> None:
    inputs = {"policyName": "dns", "policyDocument": _policy("route53.amazonaws.com")}
    deployed = driver.lifecycle(POLICY, inputs, {**inputs, "policyDocument": _policy("es.amazonaws.com")})
    # `revisionId` belongs to policies of one log group.
    assert_complete(deployed, "revisionId")
    aws.client("logs").put_resource_policy(policyName="dns", policyDocument=inputs["policyDocument"])
    assert driver.drift(deployed) == ["policyDocument"]
    assert driver.diff(deployed, {**inputs, "policyName": "other"}).replaces == ["policyName"]
    driver.assert_deletes(deployed)
