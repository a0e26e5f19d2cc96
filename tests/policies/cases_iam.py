"""Cases of the IAM rules."""

import json
from typing import Any

from policies.aws import VPC_ENDPOINT
from tests.policies.judging import UNKNOWN, Case

ROLE, ROLE_POLICY, KEY = "aws:iam/role:Role", "aws:iam/rolePolicy:RolePolicy", "aws:kms/key:Key"
BUCKET = "aws:s3/bucketPolicy:BucketPolicy"
ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
ACTION, RESOURCE, PASS = "iam-no-wildcard-action", "iam-no-wildcard-resource", "iam-pass-role-conditioned"
NEGATION, MANAGED = "iam-no-negation", "iam-no-aws-managed-policy"

READ = {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::bucket/*"}
TO_ECS = {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
HAND_ON = {
    "Effect": "Allow",
    "Action": "iam:PassRole",
    "Resource": "arn:aws:iam::111122223333:role/execution",
    "Condition": TO_ECS,
}
ROOT = {"AWS": "arn:aws:iam::111122223333:root"}
KEY_ADMIN = {"Sid": "Admin", "Effect": "Allow", "Principal": ROOT, "Action": "kms:*", "Resource": "*"}


def _policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"policy": json.dumps({"Version": "2012-10-17", "Statement": list(statements)})}


UNREADABLE = "policy is not a policy document"

CASES = [
    Case(ACTION, "compliant", "named", ROLE_POLICY, _policy(READ)),
    Case(ACTION, "compliant", "some of a service", ROLE_POLICY, _policy(READ | {"Action": "s3:Get*"})),
    Case(ACTION, "compliant", "denial", BUCKET, _policy(READ | {"Effect": "Deny", "Action": "s3:*"})),
    Case(ACTION, "compliant", "account administers its key", KEY, _policy(KEY_ADMIN)),
    Case(ACTION, "compliant", "no document", ROLE, {}),
    Case(ACTION, "violating", "all", ROLE_POLICY, _policy(READ | {"Action": "*"}), at=("policy, statement 0, Action",)),
    Case(
        ACTION,
        "violating",
        "service",
        ROLE_POLICY,
        _policy(READ, READ | {"Action": ["s3:*"]}),
        at=("policy, statement 1",),
    ),
    Case(
        ACTION,
        "violating",
        "service, spelt otherwise",
        ROLE_POLICY,
        _policy(READ | {"Action": "s3:?*"}),
        at=("policy",),
    ),
    Case(ACTION, "violating", "any service", ROLE_POLICY, _policy(READ | {"Action": "*:Get"}), at=("policy",)),
    Case(
        ACTION,
        "violating",
        "someone else administers the key",
        KEY,
        _policy(KEY_ADMIN | {"Principal": "*"}),
        at=("policy",),
    ),
    Case(
        ACTION,
        "violating",
        "root and someone else",
        KEY,
        _policy(KEY_ADMIN | {"Principal": {"AWS": [ROOT["AWS"], "arn:aws:iam::111122223333:role/x"]}}),
        at=("policy",),
    ),
    Case(
        ACTION,
        "violating",
        "root and a service",
        KEY,
        _policy(KEY_ADMIN | {"Principal": ROOT | {"Service": "s"}}),
        at=("p",),
    ),
    Case(ACTION, "violating", "in an identity policy", ROLE_POLICY, _policy(KEY_ADMIN), at=("policy",)),
    Case(
        ACTION,
        "violating",
        "trust",
        ROLE,
        {"assumeRolePolicy": {"Statement": {"Effect": "Allow", "Action": "sts:*"}}},
        at=("assumeRolePolicy",),
    ),
    Case(
        ACTION,
        "violating",
        "inline",
        ROLE,
        {"inlinePolicies": [_policy(READ), _policy(READ | {"Action": "ecs:*"})]},
        at=("inlinePolicies[1].policy",),
    ),
    Case(ACTION, "violating", "not JSON", ROLE_POLICY, {"policy": "not json"}, at=(UNREADABLE,)),
    Case(ACTION, "violating", "no statements", ROLE_POLICY, {"policy": "[]"}, at=(UNREADABLE,)),
    Case(ACTION, "unknown", "document", ROLE_POLICY, {"policy": UNKNOWN}),
    Case(ACTION, "unknown", "inside", ROLE_POLICY, {"policy": {"Statement": [READ | {"Resource": UNKNOWN}]}}),
    Case(
        ACTION,
        "unknown",
        "one of two documents",
        ROLE,
        {"assumeRolePolicy": UNKNOWN, "inlinePolicies": [{"policy": UNKNOWN}, _policy(READ | {"Action": "*"})]},
        at=("inlinePolicies[1].policy",),
    ),
    Case(RESOURCE, "compliant", "named", ROLE_POLICY, _policy(READ)),
    Case(
        RESOURCE,
        "compliant",
        "nothing to name",
        ROLE_POLICY,
        _policy(READ | {"Action": "ecr:GetAuthorizationToken", "Resource": "*"}),
    ),
    Case(RESOURCE, "compliant", "denial", ROLE_POLICY, _policy(READ | {"Effect": "Deny", "Resource": "*"})),
    Case(
        RESOURCE,
        "violating",
        "all",
        ROLE_POLICY,
        _policy(READ | {"Resource": ["*"]}),
        at=("policy, statement 0, Resource",),
    ),
    Case(
        RESOURCE,
        "violating",
        "all buckets",
        ROLE_POLICY,
        _policy(READ | {"Resource": "arn:aws:s3:::*"}),
        at=("policy",),
    ),
    Case(
        RESOURCE,
        "violating",
        "any service",
        ROLE_POLICY,
        _policy(READ | {"Resource": "arn:aws:*:*:*:role/a"}),
        at=("p",),
    ),
    Case(RESOURCE, "violating", "cut short", ROLE_POLICY, _policy(READ | {"Resource": "arn:aws:s3*"}), at=("policy",)),
    Case(
        RESOURCE,
        "violating",
        "one action has a name",
        ROLE_POLICY,
        _policy(READ | {"Action": ["ecr:GetAuthorizationToken", "ecr:BatchGetImage"], "Resource": "*"}),
        at=("policy",),
    ),
    Case(
        RESOURCE,
        "violating",
        "endpoint",
        VPC_ENDPOINT,
        _policy(READ | {"Principal": "*", "Resource": "*"}),
        at=("policy",),
    ),
    Case(RESOURCE, "unknown", "document", ROLE_POLICY, {"policy": UNKNOWN}),
    Case(PASS, "compliant", "named", ROLE_POLICY, _policy(HAND_ON)),
    Case(PASS, "compliant", "none passed", ROLE_POLICY, _policy(READ)),
    Case(
        PASS,
        "compliant",
        "IAM's own spelling",
        ROLE_POLICY,
        _policy(HAND_ON | {"Condition": {"stringEquals": {"IAM:passedtoservice": ["ecs-tasks.amazonaws.com"]}}}),
    ),
    Case(
        PASS,
        "violating",
        "no condition",
        ROLE_POLICY,
        _policy({key: value for key, value in HAND_ON.items() if key != "Condition"}),
        at=("policy, statement 0, Condition",),
    ),
    Case(
        PASS,
        "violating",
        "if exists",
        ROLE_POLICY,
        _policy(HAND_ON | {"Condition": {"StringEqualsIfExists": TO_ECS["StringEquals"]}}),
        at=("policy, statement 0, Condition",),
    ),
    Case(
        PASS,
        "violating",
        "any service",
        ROLE_POLICY,
        _policy(HAND_ON | {"Condition": {"StringLike": {"iam:PassedToService": "*.amazonaws.com"}}}),
        at=("policy, statement 0, Condition",),
    ),
    Case(
        PASS,
        "violating",
        "any role",
        ROLE_POLICY,
        _policy(HAND_ON | {"Resource": "arn:aws:iam::111122223333:role/*"}),
        at=("policy, statement 0, Resource",),
    ),
    Case(
        PASS,
        "violating",
        "hidden in a pattern",
        ROLE_POLICY,
        _policy(READ | {"Action": "IAM:Pass*"}),
        at=("policy, statement 0, Resource", "policy, statement 0, Condition"),
    ),
    Case(PASS, "unknown", "document", ROLE_POLICY, {"policy": UNKNOWN}),
    Case(NEGATION, "compliant", "positive", ROLE_POLICY, _policy(READ)),
    Case(
        NEGATION,
        "compliant",
        "denial",
        BUCKET,
        _policy({"Effect": "Deny", "NotAction": "s3:GetObject", "Resource": "a"}),
    ),
    Case(
        NEGATION,
        "violating",
        "action",
        ROLE_POLICY,
        _policy(READ | {"NotAction": "iam:*"}),
        at=("policy, statement 0, NotA",),
    ),
    Case(
        NEGATION,
        "violating",
        "the others",
        BUCKET,
        _policy({"Effect": "Allow", "Action": "s3:GetObject", "NotResource": "a", "NotPrincipal": "b"}),
        at=("policy, statement 0, NotResource", "policy, statement 0, NotPrincipal"),
    ),
    Case(NEGATION, "unknown", "document", ROLE_POLICY, {"policy": UNKNOWN}),
    Case(MANAGED, "compliant", "own", ATTACHMENT, {"policyArn": "arn:aws:iam::111122223333:policy/pull"}),
    Case(
        MANAGED,
        "violating",
        "AWS's",
        ATTACHMENT,
        {"policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"},
        at=("policyArn attaches",),
    ),
    Case(
        MANAGED,
        "violating",
        "on the role, China",
        ROLE,
        {"managedPolicyArns": ["arn:aws-cn:iam::aws:policy/ReadOnlyAccess"]},
        at=("managedPolicyArns",),
    ),
    Case(MANAGED, "unknown", "ARN", ATTACHMENT, {"policyArn": UNKNOWN}),
]
