"""No IAM document allows `*` or a whole service."""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.documents import SLOTS, is_wild, statements
from policies.reading import shown
from policies.verdict import Findings, fsbp, nist, resource_rule


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report each action that is, or begins a whole service with, nothing but wildcards.

    The account's own `kms:*` in a key policy is let through: see `Statement.administers_own_key`.
    """
    for statement in statements(args, findings):
        if statement.allows and not statement.administers_own_key:
            for action in statement.actions:
                if is_wild(action.rpartition(":")[2]) or is_wild(action.partition(":")[0]):
                    findings.violation(f"{statement.at}, Action", f"allows {shown(action)}")


RULE = resource_rule(
    "iam-no-wildcard-action",
    "No IAM document allows the action `*` or `service:*`.",
    types=SLOTS,
    check=check,
    severity=Severity.HIGH,
    controls=(
        fsbp("IAM.21", "IAM customer managed policies that you create should not allow wildcard actions for services"),
        fsbp("IAM.1", 'IAM policies should not allow full "*" administrative privileges'),
        nist("AC-6", "Least Privilege"),
    ),
    fix="name the actions that are needed",
)
