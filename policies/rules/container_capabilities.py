"""No container keeps or gains a Linux capability."""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.aws import TASK_DEFINITION
from policies.containers import containers
from policies.reading import get, items, shown
from policies.verdict import Findings, nist, resource_rule


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report each container that adds any, and each that does not drop all."""
    for container in containers(args, findings):
        added = items(get(container.body, "linuxParameters", "capabilities", "add"))
        if added:
            findings.violation(f"{container.at}.linuxParameters.capabilities.add", f"is {shown(added)}")
        if "ALL" not in items(get(container.body, "linuxParameters", "capabilities", "drop")):
            findings.violation(f"{container.at}.linuxParameters.capabilities.drop", "does not hold ALL")


RULE = resource_rule(
    "container-no-capabilities",
    "Every container drops all Linux capabilities and adds none.",
    types=(TASK_DEFINITION,),
    check=check,
    severity=Severity.HIGH,
    controls=(
        nist("AC-6", "Least Privilege"),
        nist("CM-7", "Least Functionality"),
    ),
    fix='set linuxParameters.capabilities to {"drop": ["ALL"]}',
)
