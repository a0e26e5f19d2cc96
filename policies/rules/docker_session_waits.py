"""A session's program starts behind a fence that stands: its entrypoint waits for the rules before it runs anything.

The engine starts containers in any order after a reboot, and a namespace that has just been made has no rules.
"""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.docker_host import CONTAINER
from policies.reading import get, items, shown
from policies.roles import is_session
from policies.verdict import Findings, nist, resource_rule

WAIT = ["/usr/bin/python3", "-I", "/usr/local/lib/agentenv/behind_fence.py"]
"""Waits for the fence of its network namespace, then becomes the command. Isolated mode: no module of the session's."""


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Left to the image it could be anything, so it is demanded here."""
    if is_session(args):
        entrypoint = items(get(args.props, "entrypoints"))
        if entrypoint != WAIT:
            findings.violation("entrypoints", f"is {shown(entrypoint)}" if entrypoint else "is missing")


RULE = resource_rule(
    "docker-session-waits-for-fence",
    "A session's entrypoint waits for its fence before it runs the session's command.",
    types=(CONTAINER,),
    check=check,
    severity=Severity.CRITICAL,
    controls=(
        nist("SC-7(18)", "Boundary Protection | Fail Secure"),
        nist("AC-4", "Information Flow Enforcement"),
    ),
    fix=f"set entrypoints to {WAIT} and the program in command",
)
