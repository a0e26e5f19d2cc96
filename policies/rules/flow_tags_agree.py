"""A security group rule says the same of itself as the group that it belongs to.

Other rules judge a rule by its tags; a tag that lies would open a limited session's group to an address range.
"""

from pulumi_policy import Severity, StackValidationArgs

from policies.aws import DEFAULT_SECURITY_GROUP, EGRESS_RULE, INGRESS_RULE, SECURITY_GROUP
from policies.graph import of_type, sources
from policies.roles import compare, is_session, may_reach_ranges
from policies.verdict import Findings, nist, stack_rule


def check(args: StackValidationArgs, findings: Findings) -> None:
    """Compare role and networking; a looser role than limited session needs a group in this stack that bears it out."""
    for rule in of_type(args, EGRESS_RULE, INGRESS_RULE):
        groups = sources(rule, "securityGroupId", (SECURITY_GROUP, DEFAULT_SECURITY_GROUP))
        for group in groups:
            compare(rule, group, findings)
        with findings.deferring():
            if not groups and (may_reach_ranges(rule) or not is_session(rule)):
                findings.violation(
                    f"securityGroupId of {rule.name}", "names a group whose tags this stack does not hold", rule.urn
                )


RULE = stack_rule(
    "security-group-rule-tags-agree",
    "A security group rule carries the same agentenv:role and agentenv:networking tags as its security group.",
    types=(EGRESS_RULE, INGRESS_RULE),
    check=check,
    severity=Severity.HIGH,
    controls=(
        nist("AC-16", "Security and Privacy Attributes"),
        nist("AC-4", "Information Flow Enforcement"),
    ),
    fix="take securityGroupId from a security group of this stack and give both the same tags",
)
