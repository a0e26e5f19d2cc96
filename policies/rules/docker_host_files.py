"""What a container sees of the host's file system it can only read, and only where it was mounted."""

from typing import Any

from pulumi_policy import ResourceValidationArgs, Severity

from policies.docker_host import CONTAINER, VOLUME, elements, host_path
from policies.reading import get, shown
from policies.verdict import Findings, cis, nist, resource_rule

ONE_WAY = ("", "private", "rprivate", "slave", "rslave")
"""Propagations by which a mount made in the container does not appear on the host; silence is rprivate."""


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report each path of the host that can be written to, and each mount that would spread to the host.

    A volume that stands for a path of the host is judged as writable: whoever mounts it decides, later.
    """
    if args.resource_type == VOLUME:
        if host_path(get(args.props, "driverOpts", "device")):
            findings.violation("driverOpts.device", "makes a volume of the host's own folder")
        return
    for at, mount in elements(args, "mounts", findings):
        with findings.deferring():
            _mount(at, mount, findings)
    for at, volume in elements(args, "volumes", findings):
        with findings.deferring():
            path = host_path(get(volume, "hostPath")) or host_path(get(volume, "volumeName"))
            if path and get(volume, "readOnly") is not True:
                findings.violation(f"{at}.readOnly", "is not true for a path of the host")


def _mount(at: str, mount: Any, findings: Findings) -> None:
    if host_path(get(mount, "volumeOptions", "driverOptions", "device")):
        findings.violation(f"{at}.volumeOptions.driverOptions.device", "makes a volume of the host's own folder")
    if get(mount, "type") != "bind":
        return
    if get(mount, "readOnly") is not True:
        findings.violation(f"{at}.readOnly", "is not true for a path of the host")
    propagation = str(get(mount, "bindOptions", "propagation") or "")
    if propagation not in ONE_WAY:
        findings.violation(f"{at}.bindOptions.propagation", f"is {shown(propagation)}")


RULE = resource_rule(
    "docker-host-files-read-only",
    "What a container mounts of the host it mounts read-only, and nothing that it mounts spreads to the host.",
    types=(CONTAINER, VOLUME),
    check=check,
    severity=Severity.HIGH,
    controls=(
        cis("5.20", "Ensure mount propagation mode is not set to shared"),
        nist("AC-6", "Least Privilege"),
    ),
    fix="set readOnly to true; keep what is written in a named volume of the engine's own, or in tmpfs",
)
