"""Logs are encrypted with a key of the stack: they hold what agents read and wrote."""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.aws import LOG_GROUP
from policies.reading import get
from policies.verdict import Findings, nist, resource_rule


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report a log group without a KMS key."""
    if not get(args.props, "kmsKeyId"):
        findings.violation("kmsKeyId", "is missing")


RULE = resource_rule(
    "log-encryption",
    "Every log group is encrypted with a KMS key.",
    types=(LOG_GROUP,),
    check=check,
    severity=Severity.MEDIUM,
    controls=(nist("SC-28(1)", "Protection of Information at Rest | Cryptographic Protection"),),
    fix="set kmsKeyId to the stack's key",
)
