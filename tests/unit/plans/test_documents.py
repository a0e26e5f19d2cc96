"""IAM documents: nothing is `*` that can be named."""

import json
from typing import Any

import pytest

from components.fargate.environment import FAMILY_KEY_ROOM
from components.plans import documents
from components.plans.account import Account
from components.plans.names import physical_name

HERE = Account("123456789012", "eu-west-1")
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:crm-AbCdEf"
ALL = {
    "execution": documents.execution(HERE, ["r/session"], "g", [SECRET]),
    "gateway": documents.gateway_task(HERE, "c", "policies", "egress-policies/e.json", [SECRET]),
    "run": documents.run_tasks(HERE, "c", "fam", "role", "env"),
    "operate": documents.operate(HERE, "c", "fam", "role", "env", log_group="g", bucket="bucket"),
    "flow": documents.flow_logs(HERE, "g"),
    "ecr": documents.registry_endpoint(HERE),
    "logs": documents.logs_endpoint(HERE),
    "s3": documents.storage_endpoint(HERE, "bucket"),
}
ONLY_STAR = {"ecr:GetAuthorizationToken", "ecs:ListTasks"}


@pytest.mark.parametrize("name", ALL)
def test_no_star_that_can_be_named(name: str) -> None:
    document = ALL[name]
    assert document
    for statement in document["Statement"]:
        assert all("*" not in action for action in statement["Action"]), statement
        if "*" in statement["Resource"]:
            assert set(statement["Action"]) <= ONLY_STAR, statement
    assert len({s["Sid"] for s in document["Statement"]}) == len(document["Statement"])


def test_roles_are_lent_to_this_account_only() -> None:
    condition = documents.trust(HERE, "ecs-tasks", "arn:x")["Statement"][0]["Condition"]
    assert condition == {
        "StringEquals": {"aws:SourceAccount": "123456789012"},
        "ArnLike": {"aws:SourceArn": "arn:x"},
    }


def test_pass_role_names_the_role_and_the_service() -> None:
    (passing,) = [
        s for s in documents.run_tasks(HERE, "c", "f", "role", "e")["Statement"] if s["Action"] == ["iam:PassRole"]
    ]
    assert passing["Resource"] == ["arn:aws:iam::123456789012:role/role"]
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}


def test_run_task_is_bound_to_family_and_cluster() -> None:
    (run,) = [s for s in documents.run_tasks(HERE, "c", "f", "r", "e")["Statement"] if s["Action"] == ["ecs:RunTask"]]
    assert run["Resource"] == ["arn:aws:ecs:eu-west-1:123456789012:task-definition/f_*:*"]
    assert run["Condition"] == {
        "ArnEquals": {"ecs:cluster": "arn:aws:ecs:eu-west-1:123456789012:cluster/c"},
        "StringEqualsIfExists": {"ecs:enable-execute-command": "false"},
    }


def granted(document: documents.Document, action: str) -> tuple[list[str], dict[str, Any]]:
    """Resources and condition of the one statement that allows `action` alone."""
    (statement,) = [s for s in document["Statement"] if s["Action"] == [action]]
    return statement["Resource"], statement.get("Condition", {})


def test_a_run_is_tagged_when_it_starts_and_with_no_other_environment() -> None:
    runs = documents.run_tasks(HERE, "c", "f", "r", "api client")
    assert granted(runs, "ecs:TagResource") == (
        ["arn:aws:ecs:eu-west-1:123456789012:task/c/*"],
        {
            "StringEquals": {
                "ecs:CreateAction": "RunTask",
                "aws:RequestTag/agentenv:environment": "api client",
                "aws:RequestTag/agentenv:role": "session",
            }
        },
    )


def test_a_schedule_starts_runs_and_does_nothing_else() -> None:
    actions = {action for s in documents.run_tasks(HERE, "c", "f", "r", "e")["Statement"] for action in s["Action"]}
    assert actions == {"ecs:RunTask", "ecs:TagResource", "iam:PassRole"}


def test_a_gateway_reads_its_own_policy_and_sees_the_tasks_of_its_cluster() -> None:
    own = documents.gateway_task(HERE, "c", "policies", "egress-policies/e.json", [])
    cluster = {"ArnEquals": {"ecs:cluster": "arn:aws:ecs:eu-west-1:123456789012:cluster/c"}}
    assert granted(own, "s3:GetObject") == (["arn:aws:s3:::policies/egress-policies/e.json"], {})
    assert granted(own, "ecs:ListTasks") == (["*"], cluster)
    assert granted(own, "ecs:DescribeTasks") == (["arn:aws:ecs:eu-west-1:123456789012:task/c/*"], cluster)
    assert len(own["Statement"]) == 3


def test_no_secret_is_granted_that_is_not_named() -> None:
    assert "secretsmanager" not in json.dumps(documents.gateway_task(HERE, "c", "b", "k", []))
    assert "secretsmanager" not in json.dumps(documents.execution(HERE, ["r"], "g"))
    with_one = documents.gateway_task(HERE, "c", "b", "k", [SECRET])
    assert granted(with_one, "secretsmanager:GetSecretValue")[0] == documents.secret_arns(SECRET)


def test_a_private_bucket_refuses_what_is_not_tls() -> None:
    (statement,) = documents.private_bucket(HERE, "b")["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Resource"] == ["arn:aws:s3:::b", "arn:aws:s3:::b/*"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


ENDPOINT, NAT = "vpce-1", "203.0.113.9"
SIGNED = {"s3:authType": "REST-QUERY-STRING"}


@pytest.mark.parametrize(
    ("request_", "refused"),
    [
        (SIGNED | {"aws:SourceVpce": ENDPOINT}, False),
        (SIGNED | {"aws:SourceIp": NAT}, False),
        (SIGNED | {"aws:SourceVpce": "vpce-2"}, True),
        (SIGNED | {"aws:SourceIp": "198.51.100.7"}, True),
        ({"s3:authType": "REST-HEADER", "aws:SourceIp": "198.51.100.7"}, False),
    ],
    ids=["limited session", "unrestricted session", "another network", "elsewhere", "credentials of one's own"],
)
@pytest.mark.parametrize("ways", [(ENDPOINT, NAT), (ENDPOINT, None), (None, NAT), (None, None)])
def test_an_address_that_was_signed_is_good_from_the_networks_of_the_sessions_alone(
    request_: dict[str, str], refused: bool, ways: tuple[str | None, str | None]
) -> None:
    tls, signed = documents.sessions_bucket(HERE, "b", *ways)["Statement"]
    assert tls == documents.private_bucket(HERE, "b")["Statement"][0]
    assert (signed["Effect"], signed["Principal"], signed["Action"]) == ("Deny", "*", "s3:*")
    assert signed["Resource"] == ["arn:aws:s3:::b", "arn:aws:s3:::b/*"]
    comes_by = {request_.get("aws:SourceVpce"), request_.get("aws:SourceIp")}
    nobody_comes_by_it = request_["s3:authType"] == "REST-QUERY-STRING" and not comes_by & {*filter(None, ways)}
    assert holds(signed["Condition"], request_) is (refused or nobody_comes_by_it)


def holds(condition: dict[str, dict[str, str]], request: dict[str, str]) -> bool:
    """Whether a condition is true of a request, as IAM has it: one that negates is true of what is not there."""
    results = []
    for operator, keys in condition.items():
        for key, value in keys.items():
            equal = request.get(key) == value.removesuffix("/32")
            results.append({"StringEquals": equal, "StringNotEquals": not equal, "NotIpAddress": not equal}[operator])
    return all(results)


def test_the_token_never_has_a_vpc_condition() -> None:
    (token,) = [s for s in ALL["execution"]["Statement"] if s["Action"] == ["ecr:GetAuthorizationToken"]]
    assert "Condition" not in token


@pytest.mark.parametrize("reference", [SECRET, f"{SECRET}:password::"])
def test_a_secret_is_granted_without_its_key_whether_or_not_its_suffix_is_named(reference: str) -> None:
    assert documents.secret_arns(reference) == [SECRET, f"{SECRET}-??????"]


def test_saved_state_is_reachable_only_when_there_is_some() -> None:
    without = json.dumps(documents.storage_endpoint(HERE))
    assert "PutObject" not in without
    assert "starport-layer-bucket" in without


def test_the_storage_endpoint_lets_state_through_and_tasks_one_way_for_this_account_alone() -> None:
    _, *ways = documents.storage_endpoint(HERE, "bucket")["Statement"]
    assert [(way["Action"], way["Resource"]) for way in ways] == [
        (["s3:GetObject", "s3:PutObject"], ["arn:aws:s3:::bucket/state/*"]),
        (["s3:GetObject"], ["arn:aws:s3:::bucket/tasks/*"]),
    ]
    own = {"aws:PrincipalAccount": "123456789012", "aws:ResourceAccount": "123456789012"}
    assert all(way["Condition"] == {"StringEquals": own} for way in ways)


def test_whoever_operates_an_environment_reaches_its_own_tasks_state_and_services_alone() -> None:
    statements = {s["Sid"]: s for s in ALL["operate"]["Statement"]}
    assert statements["KeepState"]["Resource"] == ["arn:aws:s3:::bucket/state/env/*"]
    assert statements["FindState"]["Condition"] == {"StringLike": {"s3:prefix": "state/env/*"}}
    assert statements["HandOverTasks"]["Resource"] == ["arn:aws:s3:::bucket/tasks/env/*"]
    for sid, kind in (("StopAndWatch", "task"), ("StopAndResumeServices", "service")):
        assert statements[sid]["Resource"] == [f"arn:aws:ecs:eu-west-1:123456789012:{kind}/c/*"]
        condition = statements[sid]["Condition"]
        assert condition["StringEquals"] == {
            "aws:ResourceTag/agentenv:environment": "env",
            "aws:ResourceTag/agentenv:role": "session",
        }
        assert condition["ArnEquals"] == {"ecs:cluster": "arn:aws:ecs:eu-west-1:123456789012:cluster/c"}
    watched = [s["Sid"] for s in ALL["operate"]["Statement"] if {"ecs:DescribeTasks", "ecs:StopTask"} & {*s["Action"]}]
    assert watched == ["StopAndWatch"]


def test_a_service_is_stopped_and_resumed_and_not_changed() -> None:
    (services,) = [s for s in ALL["operate"]["Statement"] if "ecs:UpdateService" in s["Action"]]
    condition = services["Condition"]
    assert condition["Null"] == {"ecs:subnet": "true"}
    assert condition["ArnLikeIfExists"] == {
        "ecs:task-definition": "arn:aws:ecs:eu-west-1:123456789012:task-definition/fam_*:*"
    }
    assert condition["StringEqualsIfExists"] == {"ecs:enable-execute-command": "false"}


def test_a_conversation_is_forgotten_with_its_versions_below_the_prefix_alone() -> None:
    by_action = {action: s for s in ALL["operate"]["Statement"] for action in s["Action"]}
    assert by_action["s3:DeleteObjectVersion"]["Resource"] == ["arn:aws:s3:::bucket/state/env/*"]
    assert by_action["s3:ListBucketVersions"]["Condition"] == {"StringLike": {"s3:prefix": "state/env/*"}}


def test_the_policy_of_an_operator_fits_into_what_iam_takes() -> None:
    # The longest stack name that is left in a name, and the longest name of an environment.
    stack, environment = "s" * 63, "e" * 256

    def name(kind: str, *parts: str, room: int = 0) -> str:
        return physical_name(kind, "agentenv", stack, *parts, suffix_room=room)

    longest = documents.operate(
        Account("0" * 12, "ap-southeast-1", "aws-us-gov"),
        name("ecs-cluster"),
        name("ecs-family", environment, "session", room=FAMILY_KEY_ROOM),
        name("iam-role", environment, "execution"),
        environment,
        log_group=name("log-group", "environment", environment),
        bucket=name("s3-bucket", "state", "0" * 12),
    )
    # Managed policies: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    assert len("".join(json.dumps(longest).split())) <= 6144


def test_other_partitions() -> None:
    gov = Account("123456789012", "us-gov-west-1", "aws-us-gov")
    assert gov.role("r") == "arn:aws-us-gov:iam::123456789012:role/r"
    assert gov.layer_bucket().startswith("arn:aws-us-gov:s3:::prod-us-gov-west-1-")
