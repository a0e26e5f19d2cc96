"""Runs one rule on made-up resources the way the SDK does, and the notation of the tables of cases."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pulumi_policy import (
    PolicyCustomTimeouts,
    PolicyProviderResource,
    PolicyResource,
    PolicyResourceOptions,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.policy import _NotApplicableError
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, UnknownValueError, unknown_checking_proxy

from policies.catalogue import RULES
from policies.verdict import Rule

UNKNOWN = UNKNOWN_STRING_VALUE
"""A value that a preview does not know."""
BY_NAME = {rule.policy.name: rule for rule in RULES}
OPTIONS = PolicyResourceOptions(False, [], None, [], PolicyCustomTimeouts(0, 0, 0), [])

ROLE, NETWORKING = "agentenv:role", "agentenv:networking"
GATEWAY = {ROLE: "gateway"}
UNRESTRICTED = {ROLE: "session", NETWORKING: "unrestricted"}
LIMITED = {ROLE: "session", NETWORKING: "limited"}

State = Literal["compliant", "violating", "unknown"]


@dataclass(frozen=True)
class Outcome:
    """What a rule said.

    Attributes:
        violations: Messages.
        urns: For each message the URN it blames, None for the resource itself.
        unknown: What it could not judge, None when it judged everything.
        applicable: False when it declared itself not concerned.
    """

    violations: list[str]
    urns: list[str | None]
    unknown: str | None
    applicable: bool


@dataclass(frozen=True)
class Node:
    """A resource of a made-up stack; `deps` are the names of the resources that a property comes from."""

    type: str
    name: str
    props: dict[str, Any] = field(default_factory=dict)
    deps: dict[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One line of the tables: what `rule` says of a resource (`type`, `props`) or of a stack (`nodes`).

    Attributes:
        at: For each expected violation, in order, how its message begins. Unknown cases may have some too.
    """

    rule: str
    state: State
    label: str
    type: str = ""
    props: dict[str, Any] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()
    at: tuple[str, ...] = ()
    default_tags: dict[str, str] | None = None

    @property
    def id(self) -> str:
        return f"{self.rule}: {self.state}: {self.label}"

    def run(self) -> Outcome:
        rule = BY_NAME[self.rule]
        if self.nodes:
            return judge_stack(rule, self.nodes)
        provider = provider_with(self.default_tags) if self.default_tags is not None else None
        return judge(rule, self.type, self.props, provider=provider)


def urn(token: str, name: str) -> str:
    return f"urn:pulumi:demo::agent-environments::{token}::{name}"


def provider_with(default_tags: Mapping[str, str] | str) -> PolicyProviderResource:
    """An aws provider; a string stands for settings that are not known."""
    declared = default_tags if isinstance(default_tags, str) else json.dumps({"tags": default_tags})
    props = unknown_checking_proxy({"defaultTags": declared})
    return PolicyProviderResource("pulumi:providers:aws", props, urn("pulumi:providers:aws", "aws"), "aws")


def resource_args(
    token: str,
    props: dict[str, Any],
    provider: PolicyProviderResource | None = None,
    config: dict[str, Any] | None = None,
) -> ResourceValidationArgs:
    proxied = unknown_checking_proxy(props)
    return ResourceValidationArgs(token, proxied, urn(token, "it"), "it", OPTIONS, provider, config)


def judge(rule: Rule, token: str, props: dict[str, Any], *, provider: PolicyProviderResource | None = None) -> Outcome:
    policy = rule.policy
    assert isinstance(policy, ResourceValidationPolicy)
    return _outcome(lambda report: policy.validate(resource_args(token, props, provider), report))


def stack_args(nodes: Sequence[Node]) -> StackValidationArgs:
    made = {
        node.name: PolicyResource(
            node.type,
            unknown_checking_proxy(node.props),
            urn(node.type, node.name),
            node.name,
            OPTIONS,
            None,
            None,
            [],
            {},
        )
        for node in nodes
    }
    assert len(made) == len(nodes), "two nodes of one name"
    for node in nodes:
        made[node.name].property_dependencies = {
            prop: [made[name] for name in names] for prop, names in node.deps.items()
        }
    return StackValidationArgs(list(made.values()))


def judge_stack(rule: Rule, nodes: Sequence[Node]) -> Outcome:
    policy = rule.policy
    assert isinstance(policy, StackValidationPolicy)
    return _outcome(lambda report: policy.validate(stack_args(nodes), report))


def _outcome(run: Any) -> Outcome:
    violations: list[str] = []
    urns: list[str | None] = []

    def report(message: str, blamed: str | None = None) -> None:
        violations.append(message)
        urns.append(blamed)

    try:
        run(report)
    except UnknownValueError as error:
        return Outcome(violations, urns, error.message, applicable=True)
    except _NotApplicableError:
        return Outcome(violations, urns, None, applicable=False)
    return Outcome(violations, urns, None, applicable=True)
