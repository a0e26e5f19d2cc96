"""A session is on no network of its own: it joins the namespace of its fence, where the rules already are.

`docker-namespace-is-own-fence` sees to it that what it joins is its own fence.
"""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.docker_host import CONTAINER, CONTAINER_MODE, network_mode
from policies.reading import get, items, shown
from policies.roles import is_session
from policies.verdict import Findings, nist, resource_rule


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Whatever carries no role is judged as a session."""
    if not is_session(args):
        return
    with findings.deferring():
        mode = network_mode(args.props)
        if not mode.startswith(CONTAINER_MODE):
            findings.violation("networkMode", f"is {shown(mode)}, not that of a fence" if mode else "is missing")
    with findings.deferring():
        if items(get(args.props, "networksAdvanced")):
            findings.violation("networksAdvanced", "puts a session on a network beside its fence")


RULE = resource_rule(
    "docker-session-behind-fence",
    "A session's container joins the network namespace of its fence, and no network beside.",
    types=(CONTAINER,),
    check=check,
    severity=Severity.CRITICAL,
    controls=(
        nist("SC-7(5)", "Boundary Protection | Deny by Default — Allow by Exception"),
        nist("AC-4", "Information Flow Enforcement"),
    ),
    fix="set networkMode to container:NAME of its fence, without networksAdvanced; what is no session has another role",
)
