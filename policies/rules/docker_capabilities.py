"""No container keeps or gains a Linux capability, but a fence the three that setting its rules needs, and a supervisor.

A fence (`agentenv.role=fence`) owns a network namespace: it needs NET_ADMIN for the rules, and SETUID and SETGID to
become nobody once they are set. One that joins the namespace of another container has no rules to set, so it gets none.
The supervisor of several agents keeps SETUID and SETGID: `policies.supervisor` says why.
"""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.docker_host import CONTAINER, capabilities
from policies.reading import shown
from policies.roles import owns_namespace
from policies.supervisor import KEPT, supervises
from policies.verdict import Findings, cis, nist, resource_rule

OF_A_FENCE = frozenset({"NET_ADMIN", "SETUID", "SETGID"})


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report what is not dropped, and what is added beyond the exception."""
    with findings.deferring():
        if "ALL" not in capabilities(args.props, "drops"):
            findings.violation("capabilities.drops", "does not hold ALL")
    with findings.deferring():
        added = capabilities(args.props, "adds")
        if not added:
            return
        held = OF_A_FENCE if owns_namespace(args) else KEPT if supervises(args) else frozenset[str]()
        if excess := added - held:
            findings.violation("capabilities.adds", f"holds {shown(sorted(excess))}")


RULE = resource_rule(
    "docker-no-capabilities",
    "Every container drops all capabilities; a fence that owns its namespace adds NET_ADMIN, SETUID and SETGID, "
    "the supervisor of several agents SETUID and SETGID.",
    types=(CONTAINER,),
    check=check,
    severity=Severity.CRITICAL,
    controls=(
        cis("5.4", "Ensure that Linux kernel capabilities are restricted within containers"),
        nist("AC-6", "Least Privilege"),
    ),
    fix='set capabilities to {"drops": ["ALL"]}; a fence is labelled agentenv.role=fence',
)
