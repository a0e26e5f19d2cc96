"""ECS Exec is off: it opens a root shell in the task and needs a role and an endpoint that a session must not have."""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.aws import EVENT_TARGET, SCHEDULE, SERVICE
from policies.reading import get
from policies.verdict import Findings, nist, resource_rule

PATHS: dict[str, tuple[str, ...]] = {
    SERVICE: ("enableExecuteCommand",),
    SCHEDULE: ("target", "ecsParameters", "enableExecuteCommand"),
    EVENT_TARGET: ("ecsTarget", "enableExecuteCommand"),
}


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report whatever turns ECS Exec on."""
    path = PATHS[args.resource_type]
    if get(args.props, *path):
        findings.violation(".".join(path), "is true")


RULE = resource_rule(
    "ecs-exec-off",
    "ECS Exec is off for every service and scheduled task.",
    types=PATHS,
    check=check,
    severity=Severity.HIGH,
    controls=(
        nist("CM-7", "Least Functionality"),
        nist("AC-17", "Remote Access"),
    ),
    fix="remove enableExecuteCommand",
)
