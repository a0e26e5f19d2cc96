"""What the project's own programs tell the engine, and what the pack says of it."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from google.protobuf import json_format
from pulumi.runtime.mocks import MockMonitor
from pulumi_policy import EnforcementLevel, ResourceValidationPolicy
from pulumi_policy.deserialize import deserialize_properties

from policies.catalogue import RULES
from tests.policies.judging import Node, Outcome, judge, judge_stack, provider_with

DEFAULT_TAGS = {"agentenv:stack": "test", "agentenv:team": "t", "agentenv:cost-centre": "t"}


def recorded(monkeypatch: pytest.MonkeyPatch, program: Callable[[], object]) -> list[Node]:
    """What `program` registers, with the dependencies of properties, which plain mocks leave out."""
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
    program()
    return found


def violations(nodes: Sequence[Node]) -> dict[str, list[str]]:
    """Messages by mandatory rule; dependencies on resources that are not among `nodes` are dropped."""
    judged = _judged(nodes)
    return {name: messages for name, found in judged.items() if (messages := [m for o in found for m in o.violations])}


def unknowns(nodes: Sequence[Node]) -> dict[str, list[str]]:
    """What mandatory rules left open, by rule."""
    judged = _judged(nodes)
    return {name: left for name, found in judged.items() if (left := [o.unknown for o in found if o.unknown])}


def _judged(nodes: Sequence[Node]) -> dict[str, list[Outcome]]:
    names = {node.name for node in nodes}
    linked = [
        Node(node.type, node.name, node.props, {k: [d for d in deps if d in names] for k, deps in node.deps.items()})
        for node in nodes
    ]
    provider = provider_with(DEFAULT_TAGS)
    return {
        rule.policy.name: [judge(rule, node.type, node.props, provider=provider) for node in linked]
        if isinstance(rule.policy, ResourceValidationPolicy)
        else [judge_stack(rule, linked)]
        for rule in RULES
        if rule.policy.enforcement_level is not EnforcementLevel.ADVISORY
    }


def idle(nodes: Sequence[Node], foreign: str) -> set[str]:
    """Rules that find none of their types among `nodes`, but those about `foreign` types alone."""
    types = {node.type for node in nodes}
    about = [rule for rule in RULES if not all(token.startswith(foreign) for token in rule.applies_to)]
    return {rule.policy.name for rule in about if not types & set(rule.applies_to)}
