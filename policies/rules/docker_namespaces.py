"""No container shares a namespace with the host, nor the processes or the memory of another container.

The network is the one namespace that is shared on purpose, between a session and its fence: that is the matter of
`docker-session-behind-fence`, and the host's network that of `docker-no-shared-network`.
"""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.docker_host import CONTAINER, CONTAINER_MODE
from policies.reading import get, shown
from policies.verdict import Findings, cis, nist, resource_rule

HOST = "host"
MODES = ("pidMode", "ipcMode", "usernsMode", "cgroupnsMode")
UNSHARED = ("", "private", "none", "shareable")
"""`shareable` opens nothing by itself: a container that joins it is refused here."""


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report each namespace that is the host's or another container's."""
    for prop in MODES:
        with findings.deferring():
            mode = str(get(args.props, prop) or "")
            if mode == HOST:
                findings.violation(prop, "is the host's")
            elif mode.startswith(CONTAINER_MODE):
                findings.violation(prop, "is another container's")
            elif mode not in UNSHARED:
                findings.violation(prop, f"is {shown(mode)}, which nobody here can judge")


RULE = resource_rule(
    "docker-own-namespaces",
    "No container shares the host's process, IPC, user or cgroup namespace, nor another container's.",
    types=(CONTAINER,),
    check=check,
    severity=Severity.CRITICAL,
    controls=(
        cis("5.16", "Ensure that the host's process namespace is not shared"),
        cis("5.17", "Ensure that the host's IPC namespace is not shared"),
        cis("5.31", "Ensure that the host's user namespaces are not shared"),
        nist("SC-39", "Process Isolation"),
    ),
    fix="remove it: the engine makes a namespace of the container's own",
)
