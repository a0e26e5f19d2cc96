"""Logs are kept for a stated time: neither lost before an audit nor kept for ever."""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.aws import LOG_GROUP
from policies.reading import get, shown
from policies.verdict import Findings, nist, resource_rule

LONGEST_DAYS = 3653
"""Ten years: the longest that CloudWatch Logs takes; 0 means for ever."""


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report a log group without retention, or with one out of range."""
    days = get(args.props, "retentionInDays")
    if not isinstance(days, int | float) or not 1 <= days <= LONGEST_DAYS:
        findings.violation("retentionInDays", f"is {shown(days)}, not 1 to {LONGEST_DAYS} days")


RULE = resource_rule(
    "log-retention",
    "Every log group keeps its logs for a stated number of days.",
    types=(LOG_GROUP,),
    check=check,
    severity=Severity.MEDIUM,
    controls=(nist("AU-11", "Audit Record Retention"),),
    fix="set retentionInDays, e.g. 30",
)
