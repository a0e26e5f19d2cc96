"""The project's own stack, as its program registers it, passes its own pack; less a part of its fence, it does not."""

from collections.abc import Sequence
from typing import Any

import pytest
from google.protobuf import json_format
from pulumi.runtime.mocks import MockMonitor
from pulumi_policy import EnforcementLevel, ResourceValidationPolicy
from pulumi_policy.deserialize import deserialize_properties

from policies.aws import EGRESS_RULE
from policies.catalogue import RULES
from policies.rules.dns_association import ASSOCIATION, FIREWALL_CONFIG
from policies.rules.dns_last_rule import FIREWALL_RULE
from policies.rules.rules_exclusive import EXCLUSIVE
from tests.components.conftest import Recorder, recorder, run
from tests.components.test_fargate import FULL
from tests.policies.judging import Node, judge, judge_stack, provider_with

__all__ = ["recorder"]

DEFAULT_TAGS = {"agentenv:stack": "test", "agentenv:team": "t", "agentenv:cost-centre": "t"}


@pytest.fixture
def nodes(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> list[Node]:
    """What the program tells the engine, with the dependencies of properties, which plain mocks leave out."""
    found: list[Node] = []
    register: Any = MockMonitor.RegisterResource

    def recording(self: MockMonitor, request: Any) -> Any:
        response = register(self, request)
        props = deserialize_properties(json_format.MessageToDict(request.object))
        deps: dict[str, Sequence[str]] = {
            prop: list(given.urns) for prop, given in request.propertyDependencies.items()
        }
        found.append(Node(request.type, response.urn, props, deps))
        return response

    monkeypatch.setattr(MockMonitor, "RegisterResource", recording)
    run(recorder, FULL)
    assert len(found) > 80
    return found


def _violations(nodes: Sequence[Node]) -> dict[str, list[str]]:
    """Messages by mandatory rule; dependencies on resources that are not among `nodes` are dropped."""
    names = {node.name for node in nodes}
    linked = [
        Node(node.type, node.name, node.props, {k: [d for d in deps if d in names] for k, deps in node.deps.items()})
        for node in nodes
    ]
    found: dict[str, list[str]] = {}
    for rule in RULES:
        if rule.policy.enforcement_level is EnforcementLevel.ADVISORY:
            continue
        if isinstance(rule.policy, ResourceValidationPolicy):
            provider = provider_with(DEFAULT_TAGS)
            outcomes = [judge(rule, node.type, node.props, provider=provider) for node in linked]
        else:
            outcomes = [judge_stack(rule, linked)]
        messages = [message for outcome in outcomes for message in outcome.violations]
        if messages:
            found[rule.policy.name] = messages
    return found


def test_violates_no_mandatory_rule(nodes: list[Node]) -> None:
    assert _violations(nodes) == {}
    # That says something only where there was something to judge.
    idle = {rule.policy.name for rule in RULES if not {node.type for node in nodes} & set(rule.applies_to)}
    assert idle <= {"no-secret-in-plain-text", "required-tags"}


@pytest.mark.parametrize(
    ("missing", "rule"),
    [
        (EXCLUSIVE, "session-security-group-exclusive"),
        (ASSOCIATION, "session-vpc-has-dns-firewall"),
        (FIREWALL_CONFIG, "session-vpc-has-dns-firewall"),
        (FIREWALL_RULE, "dns-firewall-ends-in-block"),
    ],
    ids=["exclusive rules", "DNS association", "fail-closed", "DNS rules"],
)
def test_is_stopped_without_a_part_of_its_fence(nodes: list[Node], missing: str, rule: str) -> None:
    assert set(_violations([node for node in nodes if node.type != missing])) == {rule}


def test_is_stopped_when_a_tag_lies(nodes: list[Node]) -> None:
    for node in nodes:
        if node.type == EGRESS_RULE and node.props["tags"].get("agentenv:networking") == "limited":
            node.props["tags"]["agentenv:networking"] = "unrestricted"
    assert set(_violations(nodes)) == {"security-group-rule-tags-agree"}
