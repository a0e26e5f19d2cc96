"""Every pushed image is scanned for known vulnerabilities."""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.aws import REPOSITORY
from policies.reading import get
from policies.verdict import Findings, fsbp, nist, resource_rule


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report a repository that does not scan on push."""
    if get(args.props, "imageScanningConfiguration", "scanOnPush") is not True:
        findings.violation("imageScanningConfiguration.scanOnPush", "is not true")


RULE = resource_rule(
    "ecr-scan-on-push",
    "Every ECR repository scans images when they are pushed.",
    types=(REPOSITORY,),
    check=check,
    severity=Severity.MEDIUM,
    controls=(
        fsbp("ECR.1", "ECR private repositories should have image scanning configured"),
        nist("RA-5", "Vulnerability Monitoring and Scanning"),
    ),
    fix="set imageScanningConfiguration.scanOnPush to true",
)
