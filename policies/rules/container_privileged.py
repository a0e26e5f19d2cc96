"""No container is privileged."""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.aws import TASK_DEFINITION
from policies.containers import containers
from policies.verdict import Findings, fsbp, nist, resource_rule


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report each privileged container."""
    for container in containers(args, findings):
        if container.body.get("privileged"):
            findings.violation(f"{container.at}.privileged", "is true")


RULE = resource_rule(
    "container-not-privileged",
    "No container is privileged.",
    types=(TASK_DEFINITION,),
    check=check,
    severity=Severity.CRITICAL,
    controls=(
        fsbp("ECS.4", "ECS containers should run as non-privileged"),
        nist("AC-6", "Least Privilege"),
    ),
    fix="remove privileged",
)
