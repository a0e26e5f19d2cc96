"""No container runs as root, but the supervisor of several agents: it gives each of them a user of its own.

What it can do as root is bounded: see `policies.supervisor`.
"""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.aws import TASK_DEFINITION
from policies.containers import containers, is_root
from policies.reading import shown
from policies.supervisor import supervises_task
from policies.verdict import Findings, fsbp, nist, resource_rule


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report each container whose user is root or is left to the image, which may say root."""
    for container in containers(args, findings):
        user = container.body.get("user")
        if not is_root(user):
            continue
        with findings.deferring():
            # A user that is left to the image is nobody's decision, a supervisor's neither.
            if user in (None, "") or not supervises_task(args, container):
                findings.violation(f"{container.at}.user", "is missing" if user is None else f"is {shown(user)}")


RULE = resource_rule(
    "container-not-root",
    "Every container names a user other than root; only the supervisor of several agents starts as root.",
    types=(TASK_DEFINITION,),
    check=check,
    severity=Severity.HIGH,
    controls=(
        fsbp("ECS.20", "ECS Task Definitions should configure non-root users in Linux container definitions"),
        nist("AC-6", "Least Privilege"),
    ),
    fix="set user to a number other than 0, e.g. 10001:10001",
)
