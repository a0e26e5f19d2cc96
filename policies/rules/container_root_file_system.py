"""Every container's root file system is read-only: what writes there outlives the agent's own folders."""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.aws import TASK_DEFINITION
from policies.containers import containers
from policies.verdict import Findings, fsbp, nist, resource_rule


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report each container that does not say true; the default is writable."""
    for container in containers(args, findings):
        if container.body.get("readonlyRootFilesystem") is not True:
            findings.violation(f"{container.at}.readonlyRootFilesystem", "is not true")


RULE = resource_rule(
    "container-read-only-root",
    "Every container's root file system is read-only.",
    types=(TASK_DEFINITION,),
    check=check,
    severity=Severity.HIGH,
    controls=(
        fsbp("ECS.5", "ECS containers should be limited to read-only access to root filesystems"),
        nist("CM-7", "Least Functionality"),
    ),
    fix="set readonlyRootFilesystem to true and mount a volume where the program writes",
)
