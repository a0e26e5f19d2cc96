"""Nothing opens a connection to a session."""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.aws import DEFAULT_SECURITY_GROUP, INGRESS_RULE, LEGACY_RULE, SECURITY_GROUP
from policies.reading import get, items
from policies.roles import is_session
from policies.verdict import Findings, nist, resource_rule

TYPES = (INGRESS_RULE, LEGACY_RULE, SECURITY_GROUP, DEFAULT_SECURITY_GROUP)


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report every ingress rule of a session's security group, whatever its source."""
    if not is_session(args):
        return
    if args.resource_type == INGRESS_RULE:
        findings.violation(args.name, "lets something in to a session's security group")
    elif args.resource_type == LEGACY_RULE:
        if get(args.props, "type") == "ingress":
            findings.violation("type", "is ingress on a rule that cannot say whose it is")
    elif items(get(args.props, "ingress")):
        findings.violation("ingress", "is not empty on a session's security group")


RULE = resource_rule(
    "session-no-ingress",
    "A session's security group has no ingress rule.",
    types=TYPES,
    check=check,
    severity=Severity.HIGH,
    controls=(nist("SC-7(5)", "Boundary Protection | Deny by Default — Allow by Exception"),),
    fix="remove it; on a gateway or an endpoint use a SecurityGroupIngressRule tagged with its agentenv:role",
)
