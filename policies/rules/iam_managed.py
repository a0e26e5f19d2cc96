"""No policy managed by AWS is attached: its text is not in the stack, AWS changes it, and most hold wildcards."""

import re

from pulumi_policy import ResourceValidationArgs, Severity

from policies.reading import get, items
from policies.verdict import Findings, nist, resource_rule

PROPS = {
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": "policyArn",
    "aws:iam/userPolicyAttachment:UserPolicyAttachment": "policyArn",
    "aws:iam/groupPolicyAttachment:GroupPolicyAttachment": "policyArn",
    "aws:iam/policyAttachment:PolicyAttachment": "policyArn",
    "aws:iam/role:Role": "managedPolicyArns",
}
AWS_MANAGED = re.compile(r"arn:aws[a-z-]*:iam::aws:policy/")


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report each attached policy that belongs to AWS."""
    prop = PROPS[args.resource_type]
    for arn in items(get(args.props, prop)):
        if AWS_MANAGED.match(str(arn)):
            findings.violation(prop, f"attaches {arn}")


RULE = resource_rule(
    "iam-no-aws-managed-policy",
    "No policy managed by AWS is attached: what a role may do is written in the stack.",
    types=PROPS,
    check=check,
    severity=Severity.MEDIUM,
    controls=(nist("AC-6", "Least Privilege"),),
    fix="write a policy with the statements that are needed and named resources",
)
