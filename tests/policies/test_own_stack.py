"""The project's own stack, as its program registers it, passes its own pack; less a part of its fence, it does not."""

import pytest

from policies.aws import EGRESS_RULE
from policies.rules.dns_association import ASSOCIATION, FIREWALL_CONFIG
from policies.rules.dns_last_rule import FIREWALL_RULE
from policies.rules.rules_exclusive import EXCLUSIVE
from tests.components.conftest import Recorder, recorder, run
from tests.components.test_fargate import FULL, PAIRS
from tests.policies.judging import Node
from tests.policies.own_stack import idle, recorded, violations

__all__ = ["recorder"]


@pytest.fixture
def nodes(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> list[Node]:
    found = recorded(monkeypatch, lambda: run(recorder, FULL))
    assert len(found) > 80
    return found


def test_violates_no_mandatory_rule(nodes: list[Node]) -> None:
    assert violations(nodes) == {}
    # That says something only where there was something to judge.
    assert idle(nodes, "docker:") <= {"required-tags"}


def test_several_agents_in_one_container_violate_none_either(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = recorded(monkeypatch, lambda: run(recorder, PAIRS))
    roots = [node.name for node in nodes if '"user": "0:0"' in str(node.props.get("containerDefinitions"))]
    assert len(roots) == 2
    assert violations(nodes) == {}


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
    assert set(violations([node for node in nodes if node.type != missing])) == {rule}


def test_is_stopped_when_a_tag_lies(nodes: list[Node]) -> None:
    for node in nodes:
        if node.type == EGRESS_RULE and node.props["tags"].get("agentenv:networking") == "limited":
            node.props["tags"]["agentenv:networking"] = "unrestricted"
    assert set(violations(nodes)) == {"security-group-rule-tags-agree"}
