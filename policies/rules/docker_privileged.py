"""No container on a Docker host is privileged: it would be the host."""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.docker_host import CONTAINER
from policies.reading import get
from policies.verdict import Findings, cis, nist, resource_rule


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """No role is an exception: a fence needs three capabilities, not all of them and the host's devices."""
    if get(args.props, "privileged"):
        findings.violation("privileged", "is true")


RULE = resource_rule(
    "docker-not-privileged",
    "No container on a Docker host is privileged.",
    types=(CONTAINER,),
    check=check,
    severity=Severity.CRITICAL,
    controls=(
        cis("5.5", "Ensure that privileged containers are not used"),
        nist("AC-6", "Least Privilege"),
    ),
    fix="remove privileged",
)
