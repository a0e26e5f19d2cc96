"""Every rule on compliant, violating, unknown and foreign resources; the tables are in cases_*.py."""

from dataclasses import replace

import pytest
from pulumi_policy import StackValidationPolicy

from policies.aws import EGRESS_RULE, SECURITY_GROUP
from tests.policies import (
    cases_docker,
    cases_docker_fence,
    cases_docker_stack,
    cases_iam,
    cases_network,
    cases_sessions,
    cases_tasks,
)
from tests.policies.judging import BY_NAME, Case, Node, judge, judge_stack, urn

CASES: list[Case] = [
    *cases_network.CASES,
    *cases_iam.CASES,
    *cases_tasks.CASES,
    *cases_sessions.CASES,
    *cases_docker.CASES,
    *cases_docker_fence.CASES,
    *cases_docker_stack.CASES,
]
FOREIGN = "random:index/randomId:RandomId"
REFUSES = {"docker-no-service-no-plugin"}
"""Rules that refuse all of their types, whatever their inputs."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_says_what_the_table_says(case: Case) -> None:
    outcome = case.run()
    assert outcome.applicable
    assert (outcome.unknown is not None) == (case.state == "unknown"), outcome
    assert len(outcome.violations) == len(case.at), outcome.violations
    for message, beginning in zip(outcome.violations, case.at, strict=True):
        assert message.startswith(beginning), message
        assert f"Fix: {BY_NAME[case.rule].policy.remediation_steps}" in message
    if case.state == "compliant":
        assert not case.at


@pytest.mark.parametrize("case", [case for case in CASES if "runtime" in case.props], ids=lambda case: case.id)
def test_judges_a_declaration_alike_on_every_runtime(case: Case) -> None:
    assert case.props["runtime"] == "fargate"
    assert replace(case, props=case.props | {"runtime": "docker"}).run() == case.run()


@pytest.mark.parametrize("state", ["compliant", "violating", "unknown"])
@pytest.mark.parametrize("rule", BY_NAME)
def test_the_tables_cover_every_rule(rule: str, state: str) -> None:
    found = [case for case in CASES if (case.rule, case.state) == (rule, state)]
    assert bool(found) == (state == "violating" or rule not in REFUSES)
    if state == "violating":
        assert all(case.at for case in found)


@pytest.mark.parametrize("name", BY_NAME)
def test_is_not_applicable_to_other_resources(name: str) -> None:
    rule = BY_NAME[name]
    if isinstance(rule.policy, StackValidationPolicy):
        outcome = judge_stack(rule, [Node(FOREIGN, "it")])
    else:
        outcome = judge(rule, FOREIGN, {"policy": "*"})
    assert not outcome.applicable
    assert not outcome.violations


def test_a_message_never_repeats_the_secret() -> None:
    secrets = [*cases_sessions.CREDENTIALS.values(), "hunter2"]
    messages = [message for case in CASES if "secret" in case.rule for message in case.run().violations]
    assert messages
    assert not [message for message in messages for secret in secrets if secret in message]


def test_a_stack_rule_blames_the_resource_that_is_wrong() -> None:
    rule = Node(EGRESS_RULE, "rule", {"tags": {"agentenv:role": "gateway"}}, {"securityGroupId": ["group"]})
    outcome = judge_stack(BY_NAME["security-group-rule-tags-agree"], [Node(SECURITY_GROUP, "group"), rule])
    assert outcome.urns == [urn(EGRESS_RULE, "rule")]


def test_an_unknown_is_named_in_the_notice() -> None:
    outcome = next(case for case in CASES if case.id == "session-no-task-role: unknown: ARN").run()
    assert outcome.unknown == "string value at .taskRoleArn can't be known during preview"
