"""Every VPC that carries limited sessions has a DNS firewall.

Security groups do not filter the VPC's own resolver: without the firewall a session tunnels out through DNS.
"""

from pulumi_policy import PolicyResource, Severity, StackValidationArgs

from components.models.tags import Role, Tag
from policies.aws import SECURITY_GROUP, VPC
from policies.graph import of_type, referrers, sources
from policies.roles import LIMITED, UNRESTRICTED, is_session, networking, tag
from policies.verdict import Findings, nist, stack_rule

ASSOCIATION = "aws:route53/resolverFirewallRuleGroupAssociation:ResolverFirewallRuleGroupAssociation"
FIREWALL_CONFIG = "aws:route53/resolverFirewallConfig:ResolverFirewallConfig"


def check(args: StackValidationArgs, findings: Findings) -> None:
    """Judge each VPC that says it is for limited sessions, says nothing, or holds a limited session's group."""
    for vpc in of_type(args, VPC):
        with findings.deferring():
            if not _carries_limited_sessions(args, vpc, findings):
                continue
            if not referrers(args, ASSOCIATION, "vpcId", vpc):
                findings.violation(vpc.name, "has no DNS firewall rule group associated", vpc.urn)
            if not referrers(args, FIREWALL_CONFIG, "resourceId", vpc):
                findings.violation(vpc.name, "has no ResolverFirewallConfig that closes it on failure", vpc.urn)


def _carries_limited_sessions(args: StackValidationArgs, vpc: PolicyResource, findings: Findings) -> bool:
    carries = networking(vpc) != UNRESTRICTED and tag(vpc, Tag.ROLE) != Role.GATEWAY
    for group in of_type(args, SECURITY_GROUP):
        with findings.deferring():
            inside = any(source.urn == vpc.urn for source in sources(group, "vpcId", (VPC,)))
            carries = carries or (inside and is_session(group) and networking(group) == LIMITED)
    return carries


RULE = stack_rule(
    "session-vpc-has-dns-firewall",
    "Every VPC that carries limited sessions has a DNS firewall rule group and a fail-closed configuration.",
    types=(VPC,),
    check=check,
    severity=Severity.CRITICAL,
    controls=(
        nist("SC-7(10)", "Boundary Protection | Prevent Exfiltration"),
        nist("SC-7", "Boundary Protection"),
    ),
    fix=(
        "add a ResolverFirewallRuleGroupAssociation and a ResolverFirewallConfig for it; a VPC without limited "
        "sessions is tagged agentenv:networking=unrestricted or agentenv:role=gateway"
    ),
)
