"""A DNS firewall that cannot answer blocks: fail-open would make its failure the way out."""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.reading import get, shown
from policies.rules.dns_association import FIREWALL_CONFIG
from policies.verdict import Findings, nist, resource_rule


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """`USE_LOCAL_RESOURCE_SETTING` and silence leave it to something outside this stack, so both count as open."""
    value = get(args.props, "firewallFailOpen")
    if value != "DISABLED":
        findings.violation("firewallFailOpen", f"is {shown(value)}, not 'DISABLED'")


RULE = resource_rule(
    "dns-firewall-fails-closed",
    "The DNS firewall's fail-open mode is DISABLED.",
    types=(FIREWALL_CONFIG,),
    check=check,
    severity=Severity.HIGH,
    controls=(nist("SC-7(18)", "Boundary Protection | Fail Secure"),),
    fix="set firewallFailOpen to DISABLED",
)
