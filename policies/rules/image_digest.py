"""Every container runs an image by digest: a tag can be moved after it was reviewed."""

import re

from pulumi_policy import ResourceValidationArgs, Severity

from policies.aws import TASK_DEFINITION
from policies.containers import containers
from policies.reading import shown
from policies.verdict import Findings, nist, resource_rule

BY_DIGEST = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report each image that is not named by its sha256 digest."""
    for container in containers(args, findings):
        image = str(container.body.get("image") or "")
        if not BY_DIGEST.fullmatch(image):
            findings.violation(f"{container.at}.image", f"is {shown(image)}, without a digest")


RULE = resource_rule(
    "image-by-digest",
    "Every container runs an image named by its sha256 digest.",
    types=(TASK_DEFINITION,),
    check=check,
    severity=Severity.HIGH,
    controls=(
        nist("SI-7", "Software, Firmware, and Information Integrity"),
        nist("CM-2", "Baseline Configuration"),
    ),
    fix="write REPOSITORY@sha256:DIGEST, as the built image's ref gives it",
)
