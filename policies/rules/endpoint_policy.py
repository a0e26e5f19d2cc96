"""A VPC endpoint carries a policy of its own: the default lets anyone do anything to anyone's resources."""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.aws import VPC_ENDPOINT
from policies.documents import Statement, statements
from policies.reading import get
from policies.verdict import Findings, nist, resource_rule


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report a missing policy and one that says what the default says."""
    if get(args.props, "policy") in (None, ""):
        findings.violation("policy", "is missing, so the default holds, which allows everything")
        return
    for statement in statements(args, findings):
        if _is_default(statement):
            findings.violation(statement.at, "allows everyone every action on everything, as the default does")


def _is_default(statement: Statement) -> bool:
    return (
        statement.allows
        and "*" in statement.actions
        and "*" in statement.resources
        and statement.is_for_everyone
        and not statement.condition
    )


RULE = resource_rule(
    "endpoint-policy-not-default",
    "Every VPC endpoint has a policy narrower than the default.",
    types=(VPC_ENDPOINT,),
    check=check,
    severity=Severity.HIGH,
    controls=(
        nist("SC-7(10)", "Boundary Protection | Prevent Exfiltration"),
        nist("AC-4", "Information Flow Enforcement"),
    ),
    fix="give it a policy that names the actions and resources which starting a task needs",
)
