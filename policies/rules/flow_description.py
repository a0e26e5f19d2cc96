"""Every network rule says what it is for, so that a reviewer can tell a needed flow from a forgotten one."""

from typing import Any

from pulumi_policy import ResourceValidationArgs, Severity

from policies.aws import DEFAULT_SECURITY_GROUP, EGRESS_RULE, INGRESS_RULE, LEGACY_RULE, SECURITY_GROUP
from policies.reading import get, items
from policies.verdict import Findings, nist, resource_rule

RESOURCES = (EGRESS_RULE, INGRESS_RULE, LEGACY_RULE)
GROUPS = (SECURITY_GROUP, DEFAULT_SECURITY_GROUP)


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report every rule, a resource or inline, without a description."""
    if args.resource_type in RESOURCES:
        _described(args.props, "", findings)
        return
    for side in ("ingress", "egress"):
        with findings.deferring():
            for index, rule in enumerate(items(get(args.props, side))):
                _described(rule, f"{side}[{index}].", findings)


def _described(rule: Any, at: str, findings: Findings) -> None:
    with findings.deferring():
        if not str(get(rule, "description") or "").strip():
            findings.violation(f"{at}description", "is missing or empty")


RULE = resource_rule(
    "security-group-rule-described",
    "Every security group rule carries a description of the flow that it is for.",
    types=RESOURCES + GROUPS,
    check=check,
    severity=Severity.LOW,
    controls=(nist("SC-7(4)", "Boundary Protection | External Telecommunications Services"),),
    fix="say in description who talks to whom and why",
)
