"""Every container's root file system is read-only: what writes there outlives the run, and could change the programs.

One kind of container is excepted: one that files are uploaded into, since the engine uploads into no read-only root.
It must be on no network and no session's, which is what the writer of a gateway's policy is.
"""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.docker_host import CONTAINER, network_mode
from policies.reading import get, items
from policies.roles import is_session
from policies.verdict import Findings, cis, nist, resource_rule


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report a container that does not say true; the default is writable."""
    if get(args.props, "readOnly") is not True and not _is_offline_upload(args):
        findings.violation("readOnly", "is not true")


def _is_offline_upload(args: ResourceValidationArgs) -> bool:
    return network_mode(args.props) == "none" and not is_session(args) and bool(items(get(args.props, "uploads")))


RULE = resource_rule(
    "docker-read-only-root",
    "Every container's root file system on a Docker host is read-only, but that of an upload without a network.",
    types=(CONTAINER,),
    check=check,
    severity=Severity.HIGH,
    controls=(
        cis("5.13", "Ensure that the container's root filesystem is mounted as read only"),
        nist("CM-7", "Least Functionality"),
    ),
    fix="set readOnly to true and give the program a tmpfs where it writes",
)
