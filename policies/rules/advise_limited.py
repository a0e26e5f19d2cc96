"""Advice: in production an environment's networking is limited, with the hosts that it needs."""

from pulumi_policy import EnforcementLevel, ResourceValidationArgs, Severity

from policies.aws import ENVIRONMENT
from policies.reading import get
from policies.roles import UNRESTRICTED
from policies.sessions import networking_of
from policies.verdict import Findings, nist, resource_rule


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Remark on unrestricted networking, stated or by default."""
    if get(networking_of(args), "type") == UNRESTRICTED:
        findings.violation("environment.config.networking.type", "is unrestricted")


RULE = resource_rule(
    "advise-limited-networking",
    "In production an environment is limited to the hosts that it needs.",
    types=(ENVIRONMENT,),
    check=check,
    severity=Severity.LOW,
    controls=(nist("SC-7(5)", "Boundary Protection | Deny by Default — Allow by Exception"),),
    fix="set networking to {type: limited, allowed_hosts: [...]}",
    level=EnforcementLevel.ADVISORY,
)
