"""A session's security group holds only the rules of this stack: one opened by hand is closed by the next `up`."""

from pulumi_policy import Severity, StackValidationArgs

from policies.aws import SECURITY_GROUP
from policies.graph import of_type, referrers
from policies.roles import is_session
from policies.verdict import Findings, nist, stack_rule

EXCLUSIVE = "aws:ec2/vpcSecurityGroupRulesExclusive:VpcSecurityGroupRulesExclusive"


def check(args: StackValidationArgs, findings: Findings) -> None:
    """Every session's security group is the securityGroupId of an exclusive rule set."""
    for group in of_type(args, SECURITY_GROUP):
        with findings.deferring():
            if is_session(group) and not referrers(args, EXCLUSIVE, "securityGroupId", group):
                findings.violation(group.name, "has no VpcSecurityGroupRulesExclusive", group.urn)


RULE = stack_rule(
    "session-security-group-exclusive",
    "Every session's security group is held to its declared rules by a VpcSecurityGroupRulesExclusive.",
    types=(SECURITY_GROUP,),
    check=check,
    severity=Severity.HIGH,
    controls=(
        nist("CM-2", "Baseline Configuration"),
        nist("SC-7(5)", "Boundary Protection | Deny by Default — Allow by Exception"),
    ),
    fix="add a VpcSecurityGroupRulesExclusive with this securityGroupId and the ids of its rules",
)
