"""IAM documents: nothing is `*` that can be named."""

import json

import pytest

from components.plans import documents
from components.plans.account import Account

HERE = Account("123456789012", "eu-west-1")
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:crm-AbCdEf"
ALL = {
    "execution": documents.execution(HERE, ["r/session"], "g", [SECRET]),
    "gateway": documents.gateway_task([SECRET]),
    "run": documents.run_tasks(HERE, "c", "fam", "role", "g"),
    "flow": documents.flow_logs(HERE, "g"),
    "ecr": documents.registry_endpoint(HERE),
    "logs": documents.logs_endpoint(HERE),
    "s3": documents.storage_endpoint(HERE, "bucket"),
}
ONLY_STAR = {"ecr:GetAuthorizationToken"}


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
        s for s in documents.run_tasks(HERE, "c", "f", "role")["Statement"] if s["Action"] == ["iam:PassRole"]
    ]
    assert passing["Resource"] == ["arn:aws:iam::123456789012:role/role"]
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}


def test_run_task_is_bound_to_family_and_cluster() -> None:
    (run,) = [s for s in documents.run_tasks(HERE, "c", "f", "r")["Statement"] if s["Action"] == ["ecs:RunTask"]]
    assert run["Resource"] == ["arn:aws:ecs:eu-west-1:123456789012:task-definition/f_*:*"]
    assert run["Condition"] == {"ArnEquals": {"ecs:cluster": "arn:aws:ecs:eu-west-1:123456789012:cluster/c"}}


def test_a_gateway_without_secrets_may_do_nothing() -> None:
    assert documents.gateway_task([]) is None
    assert "secretsmanager" not in json.dumps(documents.execution(HERE, ["r"], "g"))


def test_the_token_never_has_a_vpc_condition() -> None:
    (token,) = [s for s in ALL["execution"]["Statement"] if s["Action"] == ["ecr:GetAuthorizationToken"]]  # type: ignore[index]
    assert "Condition" not in token


@pytest.mark.parametrize("reference", [SECRET, f"{SECRET}:password::"])
def test_a_secret_is_granted_without_its_key_whether_or_not_its_suffix_is_named(reference: str) -> None:
    assert documents.secret_arns(reference) == [SECRET, f"{SECRET}-??????"]


def test_saved_state_is_reachable_only_when_there_is_some() -> None:
    without = json.dumps(documents.storage_endpoint(HERE))
    assert "PutObject" not in without
    assert "starport-layer-bucket" in without


def test_other_partitions() -> None:
    gov = Account("123456789012", "us-gov-west-1", "aws-us-gov")
    assert gov.role("r") == "arn:aws-us-gov:iam::123456789012:role/r"
    assert gov.layer_bucket().startswith("arn:aws-us-gov:s3:::prod-us-gov-west-1-")
