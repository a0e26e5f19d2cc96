"""A limited session's network leads nowhere: it is internal, so that the gateway is the only other machine on it.

The fence's own rules hold as well; this is the second wall, which stands when the first has not been set yet.
"""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.docker_host import NETWORK
from policies.reading import get, shown
from policies.roles import UNRESTRICTED, is_session, networking
from policies.verdict import Findings, cis, nist, resource_rule


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report a driver that puts containers into the host's own network, and a limited network with a way out."""
    with findings.deferring():
        driver = get(args.props, "driver") or "bridge"
        if driver != "bridge":
            findings.violation("driver", f"is {shown(driver)}, which the host does not stand in front of")
    with findings.deferring():
        if get(args.props, "internal") is not True and is_session(args) and networking(args) != UNRESTRICTED:
            findings.violation("internal", "is not true on the network of a limited session")


RULE = resource_rule(
    "docker-limited-network-internal",
    "Every network is a bridge, and that of a limited session is internal.",
    types=(NETWORK,),
    check=check,
    severity=Severity.CRITICAL,
    controls=(
        nist("SC-7(5)", "Boundary Protection | Deny by Default — Allow by Exception"),
        cis("5.30", 'Ensure that Docker\'s default bridge "docker0" is not used'),
    ),
    fix=(
        "set internal to true; an unrestricted session's network is labelled agentenv.role=session and "
        "agentenv.networking=unrestricted, a gateway's agentenv.role=gateway"
    ),
)
