"""A limited session's security group sends to security groups and prefix lists, never to an address range.

An address range is a way round the gateway, which is the one place where names are checked.
"""

from typing import Any

from pulumi_policy import ResourceValidationArgs, Severity

from policies.aws import DEFAULT_SECURITY_GROUP, EGRESS_RULE, LEGACY_RULE, SECURITY_GROUP
from policies.reading import get, items
from policies.roles import may_reach_ranges
from policies.verdict import Findings, nist, resource_rule

TYPES = (EGRESS_RULE, LEGACY_RULE, SECURITY_GROUP, DEFAULT_SECURITY_GROUP)
RANGES = ("cidrIpv4", "cidrIpv6")
INLINE_RANGES = ("cidrBlocks", "ipv6CidrBlocks")


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report every address range that the role does not allow."""
    if may_reach_ranges(args):
        return
    if args.resource_type == EGRESS_RULE:
        _ranges(args.props, "", RANGES, findings)
    elif args.resource_type == LEGACY_RULE:
        if get(args.props, "type") == "egress":
            _ranges(args.props, "", INLINE_RANGES, findings)
    else:
        for index, rule in enumerate(items(get(args.props, "egress"))):
            _ranges(rule, f"egress[{index}].", INLINE_RANGES, findings)


def _ranges(rule: Any, at: str, names: tuple[str, ...], findings: Findings) -> None:
    for name in names:
        with findings.deferring():
            for value in items(get(rule, name)):
                findings.violation(at + name, f"sends to the address range {value} from a limited session's group")


RULE = resource_rule(
    "session-egress-no-address-range",
    "A limited session's security group sends only to security groups and prefix lists, never to an address range.",
    types=TYPES,
    check=check,
    severity=Severity.CRITICAL,
    controls=(
        nist("SC-7(5)", "Boundary Protection | Deny by Default — Allow by Exception"),
        nist("AC-4", "Information Flow Enforcement"),
    ),
    fix=(
        "name referencedSecurityGroupId (the gateway's, the endpoints') or prefixListId; a gateway's own rule is "
        "tagged agentenv:role=gateway, an unrestricted session's agentenv:role=session and "
        "agentenv:networking=unrestricted"
    ),
)
