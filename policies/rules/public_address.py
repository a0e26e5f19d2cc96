"""No session task has a public address: it would be a way in, and a way out past the gateway."""

from pulumi_policy import ResourceValidationArgs, Severity

from components.models.tags import Role
from policies.aws import EVENT_TARGET, SCHEDULE, SERVICE, TASK_SET
from policies.reading import get
from policies.roles import role
from policies.verdict import Findings, fsbp, nist, resource_rule

PATHS: dict[str, tuple[str, ...]] = {
    SERVICE: ("networkConfiguration", "assignPublicIp"),
    TASK_SET: ("networkConfiguration", "assignPublicIp"),
    SCHEDULE: ("target", "ecsParameters", "networkConfiguration", "assignPublicIp"),
    EVENT_TARGET: ("ecsTarget", "networkConfiguration", "assignPublicIp"),
    "aws:ec2/subnet:Subnet": ("mapPublicIpOnLaunch",),
}


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Only what is tagged as a gateway's may be given a public address; a schedule cannot be tagged, so never."""
    path = PATHS[args.resource_type]
    if get(args.props, *path) and role(args) != Role.GATEWAY:
        findings.violation(".".join(path), "is true on what is not tagged as a gateway")


RULE = resource_rule(
    "no-public-address",
    "Only the egress gateway has a public address, never a session's task or subnet.",
    types=PATHS,
    check=check,
    severity=Severity.CRITICAL,
    controls=(
        fsbp("ECS.2", "ECS services should not have public IP addresses assigned to them automatically"),
        fsbp("EC2.15", "Amazon EC2 subnets should not automatically assign public IP addresses"),
        nist("SC-7", "Boundary Protection"),
    ),
    fix="leave it off; if this is the gateway's own, tag it agentenv:role=gateway",
)
