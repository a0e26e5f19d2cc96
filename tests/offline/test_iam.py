"""The stand-in's IAM roles and policies against a moto server."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from offline.aws.resource import Aws
from tests.offline.aws_driver import CallError, Deployed, Driver
from tests.offline.outputs import assert_complete

ROLE = "aws:iam/role:Role"
ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
POLICY = "aws:iam/policy:Policy"
ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"


def _document(action: str, **more: Any) -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": "*", **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _trust(service: str) -> str:
    statement = {"Effect": "Allow", "Principal": {"Service": f"{service}.amazonaws.com"}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


INPUTS = {
    "name": "execution",
    "path": "/agents/",
    "description": "Starts sessions",
    "assumeRolePolicy": _trust("ecs-tasks"),
    "permissionsBoundary": "arn:aws:iam::aws:policy/ReadOnlyAccess",
    "maxSessionDuration": 7200,
    "tags": {"team": "research"},
}


@pytest.fixture
def role(driver: Driver) -> Iterator[Deployed]:
    deployed = driver.create(ROLE, "holder", {"assumeRolePolicy": _trust("ecs-tasks"), "forceDetachPolicies": True})
    yield deployed
    driver.delete(deployed)


def test_role_lives_and_dies(driver: Driver, aws: Aws) -> None:
    changed = {
        "name": "execution",
        "path": "/agents/",
        "assumeRolePolicy": _trust("scheduler"),
        "tags": {"team": "support", "owner": "x"},
    }
    deployed = driver.lifecycle(ROLE, INPUTS, changed)
    assert deployed.id == "execution"
    assert_complete(deployed)
    assert deployed.state["arn"] == f"arn:aws:iam::{aws.account_id}:role/agents/execution"
    assert deployed.state["uniqueId"].startswith("AROA")
    held = aws.client("iam").get_role(RoleName="execution")["Role"]
    assert held["AssumeRolePolicyDocument"] == json.loads(_trust("scheduler"))
    assert held["MaxSessionDuration"] == 3600
    assert "PermissionsBoundary" not in held
    assert {tag["Key"]: tag["Value"] for tag in held["Tags"]} == changed["tags"]
    driver.assert_deletes(deployed)


def test_role_drift_is_seen(driver: Driver, aws: Aws, role: Deployed) -> None:
    client = aws.client("iam")
    client.update_assume_role_policy(RoleName=role.id, PolicyDocument=_trust("lambda"))
    client.update_role(RoleName=role.id, Description="by hand", MaxSessionDuration=43200)
    client.put_role_permissions_boundary(
        RoleName=role.id, PermissionsBoundary="arn:aws:iam::aws:policy/AdministratorAccess"
    )
    client.tag_role(RoleName=role.id, Tags=[{"Key": "by", "Value": "hand"}])
    wrong = ["assumeRolePolicy", "description", "maxSessionDuration", "permissionsBoundary", "tags"]
    assert driver.drift(role) == wrong
    refreshed = driver.refresh(role)
    assert refreshed is not None
    mended = driver.update(refreshed, {"assumeRolePolicy": _trust("ecs-tasks"), "forceDetachPolicies": True})
    assert driver.drift(mended) == []
    held = client.get_role(RoleName=role.id)["Role"]
    assert held["MaxSessionDuration"] == 3600
    assert not held.get("Description")


def test_role_replaces_and_deletes_first_only_under_its_own_name(driver: Driver, role: Deployed) -> None:
    assert role.inputs["name"].startswith("holder-")
    automatic = driver.diff(role, {"assumeRolePolicy": _trust("ecs-tasks"), "path": "/x/"})
    assert (automatic.replaces, automatic.delete_first) == (["path"], False)
    named = driver.create(ROLE, "named", {"name": "named", "assumeRolePolicy": _trust("ecs-tasks")})
    moved = driver.diff(named, {"name": "named", "assumeRolePolicy": _trust("ecs-tasks"), "path": "/x/"})
    assert (moved.replaces, moved.delete_first) == (["path"], True)
    driver.delete(named)


def test_role_with_policies_is_deleted_only_by_force(driver: Driver, aws: Aws, role: Deployed) -> None:
    aws.client("iam").put_role_policy(RoleName=role.id, PolicyName="by-hand", PolicyDocument=_document("s3:GetObject"))
    kept = driver.update(role, {"assumeRolePolicy": _trust("ecs-tasks")})
    with pytest.raises(CallError, match=r"aws:iam/role:Role 'holder'.*DeleteConflict"):
        driver.delete(kept)
    forced = driver.update(kept, {"assumeRolePolicy": _trust("ecs-tasks"), "forceDetachPolicies": True})
    driver.assert_deletes(forced)


def test_role_policy(driver: Driver, aws: Aws, role: Deployed) -> None:
    inputs = {"role": role.id, "policy": _document("s3:GetObject")}
    deployed = driver.lifecycle(ROLE_POLICY, inputs, {**inputs, "policy": _document("s3:PutObject")})
    assert deployed.id == f"{role.id}:{deployed.inputs['name']}"
    aws.client("iam").put_role_policy(
        RoleName=role.id, PolicyName=deployed.inputs["name"], PolicyDocument=_document("*")
    )
    assert driver.drift(deployed) == ["policy"]
    assert driver.diff(deployed, {**inputs, "role": "other"}).replaces == ["role"]
    driver.assert_deletes(deployed)


def test_equal_documents_spelt_differently_are_no_change(driver: Driver, role: Deployed) -> None:
    respelt = json.dumps(
        {"Statement": {"Resource": ["*"], "Action": ["s3:GetObject"], "Effect": "Allow"}, "Version": "2012-10-17"}
    )
    inside = driver.create(ROLE_POLICY, "same", {"role": role.id, "policy": _document("s3:GetObject")})
    assert driver.diff(inside, {"role": role.id, "policy": respelt}).changed == []
    managed = driver.create(POLICY, "same", {"policy": _document("s3:GetObject")})
    assert driver.diff(managed, {"policy": respelt}).changed == []
    driver.delete(managed)


def test_policy_keeps_at_most_five_versions(driver: Driver, aws: Aws) -> None:
    inputs: dict[str, Any] = {"name": "start", "policy": _document("ecs:RunTask"), "tags": {"a": "1"}}
    deployed = driver.lifecycle(POLICY, inputs, {**inputs, "tags": {"b": "2"}})
    assert deployed.id == deployed.state["arn"] == f"arn:aws:iam::{aws.account_id}:policy/start"
    assert_complete(deployed)
    for count in range(6):
        deployed = driver.update(deployed, {**inputs, "policy": _document(f"ecs:Action{count}")})
    assert len(aws.client("iam").list_policy_versions(PolicyArn=deployed.id)["Versions"]) == 5
    assert driver.drift(deployed) == []
    assert json.loads(deployed.state["policy"])["Statement"][0]["Action"] == "ecs:Action5"
    assert driver.diff(deployed, {**inputs, "description": "other"}).replaces == ["description"]
    driver.assert_deletes(deployed)


def test_policy_version_made_by_hand_is_drift(driver: Driver, aws: Aws) -> None:
    deployed = driver.create(POLICY, "drifting", {"policy": _document("ecs:RunTask")})
    aws.client("iam").create_policy_version(PolicyArn=deployed.id, PolicyDocument=_document("*"), SetAsDefault=True)
    assert driver.drift(deployed) == ["policy"]
    driver.delete(deployed)


def test_attachment(driver: Driver, aws: Aws, role: Deployed) -> None:
    policy = driver.create(POLICY, "attached", {"policy": _document("ecs:RunTask")})
    inputs = {"role": role.id, "policyArn": policy.id}
    deployed = driver.lifecycle(ATTACHMENT, inputs)
    assert deployed.id == f"{role.id}/{policy.id}"
    assert driver.diff(deployed, {**inputs, "policyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}).replaces == [
        "policyArn"
    ]
    driver.assert_deletes(deployed)
    driver.delete(policy)


@pytest.mark.parametrize(
    ("token", "inputs", "refused"),
    [
        (ROLE, {"assumeRolePolicy": _trust("ecs-tasks")}, {"managedPolicyArns": ["arn"], "namePrefix": "a"}),
        (ROLE_POLICY, {"role": "r", "policy": _document("s3:GetObject")}, {"namePrefix": "a"}),
        (POLICY, {"policy": _document("s3:GetObject")}, {"namePrefix": "a"}),
    ],
)
def test_inputs_without_effect_here_are_refused(
    driver: Driver, token: str, inputs: dict[str, Any], refused: dict[str, Any]
) -> None:
    _, failures = driver.check(token, "x", inputs | refused)
    assert set(failures) == set(refused)
