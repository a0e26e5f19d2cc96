"""No container runs from a build-cache repository: those may be mutable, so nothing in them is what was reviewed."""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.aws import TASK_DEFINITION
from policies.containers import containers
from policies.reading import shown
from policies.rules.ecr_immutable import CACHE_SUFFIX
from policies.verdict import Findings, nist, resource_rule


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report each image whose repository is a cache's, whatever its digest."""
    for container in containers(args, findings):
        image = str(container.body.get("image") or "")
        path, _, last = image.partition("@")[0].rpartition("/")
        if f"{path}/{last.partition(':')[0]}".endswith(CACHE_SUFFIX):
            findings.violation(f"{container.at}.image", f"is {shown(image)}, from a build cache")


RULE = resource_rule(
    "image-not-from-cache",
    "No container runs an image from a build-cache repository.",
    types=(TASK_DEFINITION,),
    check=check,
    severity=Severity.HIGH,
    controls=(nist("SI-7", "Software, Firmware, and Information Integrity"),),
    fix="run the image from the repository that it was built for",
)
