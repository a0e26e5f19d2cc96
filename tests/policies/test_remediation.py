"""Missing tags are added where their value is known, and nothing else changes."""

import json
from typing import Any

import pytest
from pulumi_policy import ResourceValidationArgs, ResourceValidationPolicy
from pulumi_policy.deserialize import SPECIAL_SECRET_SIG, SPECIAL_SIG_KEY, deserialize_properties, serialize_properties
from pulumi_policy.proxy import unknown_checking_proxy

from policies.aws import VPC
from tests.policies.judging import BY_NAME, OPTIONS, UNKNOWN, provider_with, urn

STACK, TEAM, CENTRE = "agentenv:stack", "agentenv:team", "agentenv:cost-centre"
CONFIG = {"team": "research", "costCentre": "4711"}


def _repaired(
    props: dict[str, Any],
    *,
    token: str = VPC,
    config: dict[str, Any] | None = None,
    default_tags: dict[str, str] | str | None = None,
    stack_tags: dict[str, str] | None = None,
) -> dict[str, Any] | None:
    """What the SDK would send back to the engine, read the way the SDK reads a request."""
    policy = BY_NAME["required-tags"].policy
    assert isinstance(policy, ResourceValidationPolicy)
    proxied = unknown_checking_proxy(deserialize_properties(props, True))
    provider = provider_with(default_tags) if default_tags is not None else None
    args = ResourceValidationArgs(token, proxied, urn(token, "it"), "it", OPTIONS, provider, config, stack_tags)
    changed: Any = policy.remediate(args)
    return None if changed is None else dict(serialize_properties(changed))


def test_adds_all_three_from_the_stack_and_the_configuration() -> None:
    assert _repaired({"cidrBlock": "10.0.0.0/16"}, config=CONFIG) == {
        "cidrBlock": "10.0.0.0/16",
        "tags": {STACK: "demo", TEAM: "research", CENTRE: "4711"},
    }


def test_keeps_the_tags_that_are_there() -> None:
    props = {"tags": {"Name": "sessions", TEAM: "platform"}}
    assert _repaired(props, config=CONFIG) == {
        "tags": {"Name": "sessions", TEAM: "platform", STACK: "demo", CENTRE: "4711"}
    }


def test_the_team_pays_unless_someone_else_is_named() -> None:
    assert _repaired({"tags": {TEAM: "platform"}}) == {"tags": {TEAM: "platform", STACK: "demo", CENTRE: "platform"}}
    assert _repaired({}, config={"team": "research"}) == {"tags": {TEAM: "research", STACK: "demo", CENTRE: "research"}}


def test_reads_the_tags_of_the_stack_itself() -> None:
    assert _repaired({}, stack_tags={TEAM: "research"}) == {
        "tags": {TEAM: "research", STACK: "demo", CENTRE: "research"}
    }


def test_adds_what_is_known_and_leaves_the_rest_to_be_judged() -> None:
    assert _repaired({}) == {"tags": {STACK: "demo"}}


def test_the_repaired_resource_is_compliant() -> None:
    policy = BY_NAME["required-tags"].policy
    assert isinstance(policy, ResourceValidationPolicy)
    found: list[str] = []
    repaired = unknown_checking_proxy(_repaired({}, config=CONFIG) or {})
    args = ResourceValidationArgs(VPC, repaired, urn(VPC, "it"), "it", OPTIONS, None)

    def report(message: str, blamed: str | None = None) -> None:
        found.append(message)

    policy.validate(args, report)
    assert found == []


@pytest.mark.parametrize(
    ("props", "default_tags"),
    [
        ({"tags": {STACK: "demo", TEAM: "research", CENTRE: "4711"}}, None),
        ({}, {STACK: "demo", TEAM: "research", CENTRE: "4711"}),
        ({"tags": UNKNOWN}, None),
        ({"tags": {STACK: UNKNOWN, TEAM: UNKNOWN, CENTRE: UNKNOWN}}, None),
        ({}, UNKNOWN),
    ],
    ids=["own", "provider's", "unknown tags", "unknown values", "unknown provider"],
)
def test_leaves_alone_what_needs_nothing_or_is_unknown(
    props: dict[str, Any], default_tags: dict[str, str] | str | None
) -> None:
    assert _repaired(props, config=CONFIG, default_tags=default_tags) is None


def test_leaves_alone_what_takes_no_tags() -> None:
    assert _repaired({}, token="aws:scheduler/schedule:Schedule", config=CONFIG) is None


def test_secrets_stay_secret() -> None:
    secret = {SPECIAL_SIG_KEY: SPECIAL_SECRET_SIG, "value": "hidden"}
    repaired = _repaired({"note": secret, "tags": {"secret": secret}}, config=CONFIG)
    assert repaired is not None
    assert json.dumps(repaired).count(SPECIAL_SECRET_SIG) == 2
    assert repaired["note"] == secret
    assert repaired["tags"]["secret"] == secret
    assert repaired["tags"][TEAM] == "research"


def test_a_secret_map_of_tags_stays_secret() -> None:
    repaired = _repaired({"tags": {SPECIAL_SIG_KEY: SPECIAL_SECRET_SIG, "value": {"a": "b"}}}, config=CONFIG)
    assert repaired is not None
    assert repaired["tags"][SPECIAL_SIG_KEY] == SPECIAL_SECRET_SIG
    assert repaired["tags"]["value"][TEAM] == "research"
