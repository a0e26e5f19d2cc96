"""Every container runs an image whose name says what is in it: a digest, an image id, or a tag that hashes its content.

Images are built on the host itself, where they have no digest of a registry; their tag is the hash of everything that
decides their content.
"""

import re

from pulumi_policy import ResourceValidationArgs, Severity

from policies.docker_host import CONTAINER
from policies.reading import get, shown
from policies.verdict import Findings, nist, resource_rule

PINNED = re.compile(r"(?:[^\s@]+@)?sha256:[0-9a-f]{64}|[^\s@]+:[0-9a-f]{32}")


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report an image by a name that may come to mean another one."""
    image = str(get(args.props, "image") or "")
    if not PINNED.fullmatch(image):
        findings.violation("image", f"is {shown(image)}, without a digest or a tag of 32 hexadecimal digits")


RULE = resource_rule(
    "docker-image-pinned",
    "Every container runs an image by digest, by id, or by a tag that is the hash of its content.",
    types=(CONTAINER,),
    check=check,
    severity=Severity.HIGH,
    controls=(
        nist("SI-7", "Software, Firmware, and Information Integrity"),
        nist("CM-2", "Baseline Configuration"),
    ),
    fix="write REPOSITORY@sha256:DIGEST, or build the image with the tag that its plan gives it",
)
