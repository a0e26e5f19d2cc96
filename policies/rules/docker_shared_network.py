"""No container is on the host's own network, nor on the default bridge, where any container of the host is a neighbour.

A session is on no network at all, but in its fence's namespace: `docker-session-behind-fence` is about that.
"""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.docker_host import CONTAINER, elements, network_mode
from policies.reading import get, items, shown
from policies.roles import is_session
from policies.verdict import Findings, cis, nist, resource_rule

HOST = "host"
DEFAULT_BRIDGE = ("bridge", "default")
"""Names of the network that every container on the host shares unless it says otherwise."""


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Silence means the default bridge, unless networks are named: then the provider takes the container off it."""
    if is_session(args):
        return
    with findings.deferring():
        mode = network_mode(args.props)
        if mode == HOST:
            findings.violation("networkMode", "is the host's")
        elif mode in ("", *DEFAULT_BRIDGE) and not items(get(args.props, "networksAdvanced")):
            findings.violation("networkMode", "leaves the container on the default bridge")
    for at, attached in elements(args, "networksAdvanced", findings):
        with findings.deferring():
            name = get(attached, "name")
            if name in (HOST, *DEFAULT_BRIDGE):
                findings.violation(f"{at}.name", f"is {shown(name)}")


RULE = resource_rule(
    "docker-no-shared-network",
    "No container is on the host's own network or on the engine's default bridge.",
    types=(CONTAINER,),
    check=check,
    severity=Severity.CRITICAL,
    controls=(
        cis("5.10", "Ensure that the host's network namespace is not shared"),
        cis("5.30", 'Ensure that Docker\'s default bridge "docker0" is not used'),
        nist("SC-7", "Boundary Protection"),
    ),
    fix="name a network of this stack in networksAdvanced, or set networkMode to none or container:NAME",
)
