"""No container gains privileges by running a setuid program, and none is without the engine's system call filter."""

from typing import Any

from pulumi_policy import ResourceValidationArgs, Severity

from policies.docker_host import CONTAINER, elements
from policies.reading import get, items, shown
from policies.verdict import Findings, cis, nist, resource_rule

NO_NEW_PRIVILEGES = ("no-new-privileges", "no-new-privileges=true")
LOOSE = ("no-new-privileges=false", "apparmor=unconfined", "systempaths=unconfined", "label=disable")
OWN_FILTER = "seccomp=builtin"


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report what is missing and what loosens; the engine takes `:` for `=`.

    A seccomp profile of one's own is refused along with `unconfined`: it travels as JSON that may allow everything.
    """
    for at, option in elements(args, "securityOpts", findings):
        text = _spelled(option)
        if text in LOOSE or (text.startswith("seccomp=") and text != OWN_FILTER):
            findings.violation(at, f"is {shown(option)}")
    with findings.deferring():
        if not any(_spelled(option) in NO_NEW_PRIVILEGES for option in items(get(args.props, "securityOpts"))):
            findings.violation("securityOpts", "does not hold no-new-privileges")


def _spelled(option: Any) -> str:
    return str(option).replace(":", "=", 1)


RULE = resource_rule(
    "docker-security-options",
    "Every container has no-new-privileges and keeps the engine's seccomp filter, AppArmor profile and masked paths.",
    types=(CONTAINER,),
    check=check,
    severity=Severity.HIGH,
    controls=(
        cis("5.26", "Ensure that the container is restricted from acquiring additional privileges"),
        cis("5.22", "Ensure the default seccomp profile is not Disabled"),
        cis("5.2", "Ensure that, if applicable, an AppArmor Profile is enabled"),
        nist("AC-6", "Least Privilege"),
    ),
    fix='set securityOpts to ["no-new-privileges"]',
)
