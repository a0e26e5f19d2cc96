"""No container reaches the host through its file system: neither an engine's socket nor the host's own folders.

Whoever can write to an engine's socket is root on the host. A named volume is no way round: the `local` driver binds
any folder that its options name.
"""

from pathlib import PurePosixPath
from typing import Any

from pulumi_policy import ResourceValidationArgs, Severity

from policies.docker_host import CONTAINER, VOLUME, elements, host_path
from policies.reading import get, shown
from policies.verdict import Findings, cis, nist, resource_rule

SOCKETS = (".sock", ".socket")
"""How the sockets of engines and of their helpers end: docker.sock, containerd.sock, podman.sock, buildkitd.sock."""
WHOLE = (
    "/boot",
    "/dev",
    "/etc",
    "/proc",
    "/root",
    "/run/containerd",
    "/run/crio",
    "/run/docker",
    "/run/podman",
    "/run/user",
    "/sys",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/docker",
)
"""Refused with everything in them, and so is each folder above: whoever has it has what is in it."""
SECRETS = "/etc/agentenv"
"""Where secrets lie on a Docker host; single files of it are mounted, never the folder."""


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report each bind of such a path, be it a mount, a volume entry or an option of a volume's driver."""
    if args.resource_type == VOLUME:
        _judge("driverOpts.device", get(args.props, "driverOpts", "device"), findings)
        return
    for at, mount in elements(args, "mounts", findings):
        for place in (("source",), ("volumeOptions", "driverOptions", "device")):
            with findings.deferring():
                _judge(".".join((at, *place)), get(mount, *place), findings)
    for at, volume in elements(args, "volumes", findings):
        # The provider hands both to the engine alike, so a volume's name may be a path.
        for prop in ("hostPath", "volumeName"):
            with findings.deferring():
                _judge(f"{at}.{prop}", get(volume, prop), findings)
        with findings.deferring():
            if get(volume, "fromContainer"):
                findings.violation(f"{at}.fromContainer", "takes over mounts that are not written here")


def _judge(at: str, value: Any, findings: Findings) -> None:
    path = host_path(value)
    if path is not None and _is_the_hosts(PurePosixPath(path)):
        findings.violation(at, f"is {shown(value)}, by which a container reaches the host")


def _is_the_hosts(path: PurePosixPath) -> bool:
    if path.suffix in SOCKETS:
        return True
    if PurePosixPath(SECRETS) in path.parents:
        return False
    refused = [PurePosixPath(folder) for folder in WHOLE]
    return any(folder == path or folder in path.parents or path in folder.parents for folder in refused)


RULE = resource_rule(
    "docker-no-host-paths",
    "No container is given an engine's socket, nor /, /boot, /dev, /etc, /proc, /root, /run, /sys or an engine's data.",
    types=(CONTAINER, VOLUME),
    check=check,
    severity=Severity.CRITICAL,
    controls=(
        cis("5.32", "Ensure that the Docker socket is not mounted inside any containers"),
        cis("5.6", "Ensure sensitive host system directories are not mounted on containers"),
        nist("AC-6", "Least Privilege"),
    ),
    fix="remove it; a secret is a file of its own, like /etc/agentenv/NAME",
)
