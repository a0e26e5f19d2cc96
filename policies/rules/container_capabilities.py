"""No container keeps or gains a Linux capability, but the supervisor of several agents SETUID and SETGID.

Fargate cannot add them after ALL was dropped, so it drops every other one by name: `policies.supervisor` says why.
"""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.aws import TASK_DEFINITION
from policies.containers import containers
from policies.reading import get, items, shown
from policies.supervisor import DROPPED, supervises_task
from policies.verdict import Findings, nist, resource_rule


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report each container that adds any, and each that does not drop all, beyond the exception."""
    for container in containers(args, findings):
        added = items(get(container.body, "linuxParameters", "capabilities", "add"))
        if added:
            findings.violation(f"{container.at}.linuxParameters.capabilities.add", f"is {shown(added)}")
        drop = f"{container.at}.linuxParameters.capabilities.drop"
        dropped = {str(name) for name in items(get(container.body, "linuxParameters", "capabilities", "drop"))}
        if "ALL" in dropped:
            continue
        with findings.deferring():
            if not supervises_task(args, container):
                findings.violation(drop, "does not hold ALL")
            elif missing := DROPPED - dropped:
                findings.violation(drop, f"does not hold {', '.join(sorted(missing))}")


RULE = resource_rule(
    "container-no-capabilities",
    "Every container drops all capabilities and adds none; the supervisor of several agents keeps SETUID, SETGID.",
    types=(TASK_DEFINITION,),
    check=check,
    severity=Severity.HIGH,
    controls=(
        nist("AC-6", "Least Privilege"),
        nist("CM-7", "Least Functionality"),
    ),
    fix='set linuxParameters.capabilities to {"drop": ["ALL"]}; for several agents name each but SETUID and SETGID',
)
