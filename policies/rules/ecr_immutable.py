"""A repository's tags cannot be moved: an unchanged tag is an unchanged image."""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.aws import REPOSITORY
from policies.reading import get, shown
from policies.verdict import Findings, fsbp, nist, resource_rule

CACHE_SUFFIX = "/cache"
"""A build cache overwrites its tags by design. It may: `image-not-from-cache` sees to it that no task runs from it."""


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report a repository that is mutable, or immutable with exceptions, and is not a build cache."""
    mutability = get(args.props, "imageTagMutability")
    if mutability != "IMMUTABLE" and not str(get(args.props, "name") or "").endswith(CACHE_SUFFIX):
        findings.violation("imageTagMutability", f"is {shown(mutability)}, not 'IMMUTABLE'")


RULE = resource_rule(
    "ecr-immutable-tags",
    "Every ECR repository has immutable tags, except a build cache, whose name ends in /cache.",
    types=(REPOSITORY,),
    check=check,
    severity=Severity.MEDIUM,
    controls=(
        fsbp("ECR.2", "ECR private repositories should have tag immutability configured"),
        nist("SI-7", "Software, Firmware, and Information Integrity"),
    ),
    fix="set imageTagMutability to IMMUTABLE",
)
