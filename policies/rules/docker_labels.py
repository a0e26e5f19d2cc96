"""Everything on a Docker host says whose it is and what it is in the fence: the other rules decide by these labels."""

from pulumi_policy import ResourceValidationArgs, Severity

from components.models.tags import Role, Tag
from components.models.tags import label as label_of
from policies.docker_host import OBJECTS
from policies.reading import shown
from policies.roles import LIMITED, UNRESTRICTED, tag
from policies.verdict import Findings, nist, resource_rule

ALWAYS = (Tag.STACK, Tag.TEAM, Tag.ROLE)
OF_ONE_ENVIRONMENT = (Role.SESSION, Role.GATEWAY, Role.FENCE)
ROLES = (*OF_ONE_ENVIRONMENT, Role.SHARED)


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report each label that is missing; what belongs to one environment names it, a session's itself as well."""
    for key in ALWAYS:
        _demand(args, key, findings)
    with findings.deferring():
        role = tag(args, Tag.ROLE)
        if role is not None and role not in ROLES:
            findings.violation(f"labels[{label_of(Tag.ROLE)}]", f"is {shown(role)}, not one of {', '.join(ROLES)}")
        if role in OF_ONE_ENVIRONMENT:
            _demand(args, Tag.ENVIRONMENT, findings)
        if role == Role.SESSION:
            _demand(args, Tag.SESSION, findings)
    with findings.deferring():
        networking = tag(args, Tag.NETWORKING)
        if networking not in (None, LIMITED, UNRESTRICTED):
            findings.violation(f"labels[{label_of(Tag.NETWORKING)}]", f"is {shown(networking)}")


def _demand(args: ResourceValidationArgs, key: Tag, findings: Findings) -> None:
    with findings.deferring():
        if not tag(args, key):
            findings.violation(f"labels[{label_of(key)}]", "is missing, or there twice")


RULE = resource_rule(
    "docker-labels",
    "Every container, network and volume carries agentenv.stack, agentenv.team, agentenv.role and what it belongs to.",
    types=OBJECTS,
    check=check,
    severity=Severity.MEDIUM,
    controls=(
        nist("AC-16", "Security and Privacy Attributes"),
        nist("CM-8", "System Component Inventory"),
    ),
    fix="label it: agentenv.environment unless its role is shared, agentenv.session if its role is session",
)
