"""What a container says is kept, and does not fill the host's disk."""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.docker_host import CONTAINER
from policies.reading import get
from policies.verdict import Findings, nist, resource_rule

UNBOUNDED = ("", "json-file")
"""Drivers that write to the host's disk without end unless told otherwise; silence means json-file on most engines.

Source: https://docs.docker.com/engine/logging/drivers/json-file/ (`max-size` defaults to -1).
"""


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report a driver that keeps nothing, and one that keeps everything."""
    driver = str(get(args.props, "logDriver") or "")
    if driver == "none":
        findings.violation("logDriver", "is 'none'")
    elif driver in UNBOUNDED and not get(args.props, "logOpts", "max-size"):
        findings.violation("logOpts[max-size]", "is missing, so the log may fill the host's disk")


RULE = resource_rule(
    "docker-logs-kept",
    "Every container's log is kept, up to a stated size.",
    types=(CONTAINER,),
    check=check,
    severity=Severity.MEDIUM,
    controls=(
        nist("AU-12", "Audit Record Generation"),
        nist("AU-4", "Audit Log Storage Capacity"),
    ),
    fix='set logDriver to local, or logOpts to {"max-size": "10m", "max-file": "3"}',
)
