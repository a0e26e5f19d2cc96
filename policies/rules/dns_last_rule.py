"""Every DNS firewall rule group ends by blocking every name.

Route 53 Resolver answers a query that no rule matches, so without that rule the firewall is an open DNS tunnel.
Source: https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resolver-dns-firewall-rule-groups.html
"""

from pulumi_policy import PolicyResource, Severity, StackValidationArgs

from policies.graph import of_type, referrers, sources
from policies.reading import get, items, shown
from policies.verdict import Findings, nist, stack_rule

RULE_GROUP = "aws:route53/resolverFirewallRuleGroup:ResolverFirewallRuleGroup"
FIREWALL_RULE = "aws:route53/resolverFirewallRule:ResolverFirewallRule"
DOMAIN_LIST = "aws:route53/resolverFirewallDomainList:ResolverFirewallDomainList"
EVERY_NAME = {"*", "*."}


def check(args: StackValidationArgs, findings: Findings) -> None:
    """Judge, for each rule group, the rule that is asked last: the one with the highest priority number."""
    for group in of_type(args, RULE_GROUP):
        with findings.deferring():
            rules = referrers(args, FIREWALL_RULE, "firewallRuleGroupId", group)
            if rules:
                _blocks_every_name(max(rules, key=_priority), findings)
            else:
                findings.violation(group.name, "has no rule, so it blocks nothing", group.urn)


def _priority(rule: PolicyResource) -> float:
    return float(get(rule.props, "priority"))


def _blocks_every_name(rule: PolicyResource, findings: Findings) -> None:
    with findings.deferring():
        action = get(rule.props, "action")
        if action != "BLOCK":
            findings.violation(f"action of the last rule {rule.name}", f"is {shown(action)}, not BLOCK", rule.urn)
    with findings.deferring():
        if get(rule.props, "qType") is not None:
            findings.violation(f"qType of the last rule {rule.name}", "leaves other query types open", rule.urn)
    with findings.deferring():
        lists = sources(rule, "firewallDomainListId", (DOMAIN_LIST,))
        if not any(EVERY_NAME & set(items(get(found.props, "domains"))) for found in lists):
            findings.violation(f"domain list of the last rule {rule.name}", "does not hold `*`", rule.urn)


RULE = stack_rule(
    "dns-firewall-ends-in-block",
    "The last rule (highest priority number) of every DNS firewall rule group is BLOCK for `*`.",
    types=(RULE_GROUP,),
    check=check,
    severity=Severity.CRITICAL,
    controls=(
        nist("SC-7(5)", "Boundary Protection | Deny by Default — Allow by Exception"),
        nist("SC-7(10)", "Boundary Protection | Prevent Exfiltration"),
    ),
    fix="end the group with a rule of the highest priority number: BLOCK, with a domain list of this stack that is `*`",
)
