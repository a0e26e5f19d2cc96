"""No IAM document allows an action on `*` where the action's resource can be named."""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.documents import Kind, is_wild, statements, types_with
from policies.reading import shown
from policies.verdict import Findings, nist, resource_rule

KINDS = (Kind.IDENTITY, Kind.BOUNDARY)

WITHOUT_RESOURCE = frozenset(
    {
        "cloudwatch:putmetricdata",
        "ec2:describenetworkinterfaces",
        "ec2:describesecuritygroups",
        "ec2:describesubnets",
        "ecr:getauthorizationtoken",
        "ecs:describetaskdefinition",
        "ecs:listtaskdefinitions",
        "ecs:listtasks",
        "sts:getcalleridentity",
        "xray:puttelemetryrecords",
        "xray:puttracesegments",
    }
)
"""Actions for which `*` is the only resource there is, in lower case: AWS documents no resource type, or, of a list of
tasks, judges a call that names no container instance without one.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""
ARN_PARTS = 6


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report each resource that names nothing, unless every action of its statement has none to name."""
    for statement in statements(args, findings, KINDS):
        if not statement.allows or all(action.lower() in WITHOUT_RESOURCE for action in statement.actions):
            continue
        for resource in statement.resources:
            if _names_nothing(resource):
                findings.violation(f"{statement.at}, Resource", f"is {shown(resource)}")


def _names_nothing(resource: str) -> bool:
    if is_wild(resource):
        return True
    parts = resource.split(":", ARN_PARTS - 1)
    # arn:partition:service:region:account:name; a shorter one with a wildcard reaches into the parts that are missing.
    if len(parts) < ARN_PARTS:
        return "*" in resource
    return "*" in parts[2] or is_wild(parts[-1])


RULE = resource_rule(
    "iam-no-wildcard-resource",
    "No IAM document allows an action on `*` whose resource can be named.",
    types=types_with(*KINDS),
    check=check,
    severity=Severity.HIGH,
    controls=(nist("AC-6", "Least Privilege"),),
    fix="name the ARN; an action that has no resource type stands in a statement of its own",
)
