"""A service or schedule runs in security groups of its own kind: a session in a gateway's group has no fence."""

from pulumi_policy import PolicyResource, Severity, StackValidationArgs

from components.models.tags import Role
from policies.aws import EVENT_TARGET, SCHEDULE, SECURITY_GROUP, SERVICE, TASK_SET
from policies.graph import of_type, sources
from policies.reading import shown
from policies.roles import compare, role
from policies.verdict import Findings, nist, stack_rule

TAGGED = {SERVICE: "networkConfiguration", TASK_SET: "networkConfiguration"}
UNTAGGED = {SCHEDULE: "target", EVENT_TARGET: "ecsTarget"}


def check(args: StackValidationArgs, findings: Findings) -> None:
    """A service is compared tag by tag; what cannot be tagged starts sessions, so its groups must be sessions'."""
    for resource in of_type(args, *TAGGED):
        for group in sources(resource, TAGGED[resource.resource_type], (SECURITY_GROUP,)):
            compare(resource, group, findings)
    for resource in of_type(args, *UNTAGGED):
        for group in sources(resource, UNTAGGED[resource.resource_type], (SECURITY_GROUP,)):
            with findings.deferring():
                _of_session(resource, group, findings)


def _of_session(resource: PolicyResource, group: PolicyResource, findings: Findings) -> None:
    held = role(group)
    if held != Role.SESSION:
        findings.violation(
            f"security group {group.name} of {resource.name}", f"is tagged {shown(held)}, not session", resource.urn
        )


RULE = stack_rule(
    "task-security-groups-agree",
    "A service or schedule runs only in security groups that carry its own role and networking.",
    types=(*TAGGED, *UNTAGGED),
    check=check,
    severity=Severity.CRITICAL,
    controls=(
        nist("AC-4", "Information Flow Enforcement"),
        nist("AC-16", "Security and Privacy Attributes"),
    ),
    fix="run it in the security group of its own environment, and tag both alike",
)
