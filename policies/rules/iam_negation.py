"""No IAM document allows "everything but": what AWS adds tomorrow would be allowed with it."""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.documents import SLOTS, statements
from policies.verdict import Findings, nist, resource_rule

NEGATIONS = ("NotAction", "NotResource", "NotPrincipal")


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report negated elements of Allow statements; in a Deny they narrow, and are how AWS writes a perimeter."""
    for statement in statements(args, findings):
        for element in NEGATIONS:
            if statement.allows and element in statement.body:
                findings.violation(f"{statement.at}, {element}", "allows everything but what it names")


RULE = resource_rule(
    "iam-no-negation",
    "No IAM document allows by NotAction, NotResource or NotPrincipal.",
    types=SLOTS,
    check=check,
    severity=Severity.HIGH,
    controls=(
        nist("AC-6", "Least Privilege"),
        nist("SC-7(5)", "Boundary Protection | Deny by Default — Allow by Exception"),
    ),
    fix="write what is allowed as Action, Resource and Principal",
)
