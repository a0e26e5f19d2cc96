"""Advice: an allowed host is a name, not a wildcard, which lets through names that nobody has seen yet."""

from pulumi_policy import EnforcementLevel, ResourceValidationArgs, Severity

from policies.aws import ENVIRONMENT
from policies.reading import get, shown
from policies.sessions import networking_of
from policies.verdict import Findings, nist, resource_rule


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Remark on each wildcard among the allowed hosts."""
    hosts = get(networking_of(args), "allowed_hosts") or []
    for index in range(len(hosts)):
        with findings.deferring():
            if "*" in str(hosts[index]):
                at = f"environment.config.networking.allowed_hosts[{index}]"
                findings.violation(at, f"is {shown(hosts[index])}")


RULE = resource_rule(
    "advise-no-wildcard-hosts",
    "Allowed hosts are named one by one.",
    types=(ENVIRONMENT,),
    check=check,
    severity=Severity.LOW,
    controls=(nist("AC-4", "Information Flow Enforcement"),),
    fix="list the hosts that are used; the gateway's log shows them",
    level=EnforcementLevel.ADVISORY,
)
