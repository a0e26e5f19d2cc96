"""No container is given a device of the host."""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.docker_host import CONTAINER
from policies.reading import get
from policies.verdict import Findings, cis, nist, resource_rule

PROPS = ("devices", "deviceRequests", "deviceCgroupRules", "gpus")


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report each way to a device that is used."""
    for prop in PROPS:
        with findings.deferring():
            if get(args.props, prop):
                findings.violation(prop, "gives a container a device of the host")


RULE = resource_rule(
    "docker-no-devices",
    "No container is given a device of the host, a GPU, or a rule that opens a class of devices.",
    types=(CONTAINER,),
    check=check,
    severity=Severity.HIGH,
    controls=(
        cis("5.18", "Ensure that host devices are not directly exposed to containers"),
        nist("CM-7", "Least Functionality"),
    ),
    fix="remove it",
)
