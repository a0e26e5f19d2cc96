"""What joins a network namespace joins that of its own fence, and a session's fence is on its session's network alone.

A session in a gateway's namespace, or in another session's, would be behind the wrong rules.
"""

from pulumi_policy import PolicyResource, Severity, StackValidationArgs

from components.models.tags import Role, Tag
from components.models.tags import label as label_of
from policies.docker_host import CONTAINER, CONTAINER_MODE, network_mode
from policies.graph import attached, joined, of_type
from policies.reading import get, shown
from policies.roles import is_session, networking, role, sets_rules, tag
from policies.verdict import Findings, nist, stack_rule

SAME = (Tag.ENVIRONMENT, Tag.SESSION)


def check(args: StackValidationArgs, findings: Findings) -> None:
    """Judge each container that joins another, and each fence that a session joins."""
    for container in of_type(args, CONTAINER):
        with findings.deferring():
            fences = joined(args, container)
            if not fences and network_mode(container.props).startswith(CONTAINER_MODE):
                findings.violation(
                    f"networkMode of {container.name}", "names a container that this stack does not hold", container.urn
                )
            for fence in fences:
                _is_its_own(container, fence, findings)
                if is_session(container):
                    _is_on_its_network_alone(args, fence, findings)


def _is_its_own(container: PolicyResource, fence: PolicyResource, findings: Findings) -> None:
    at = f"networkMode of {container.name}"
    with findings.deferring():
        if not sets_rules(fence):
            findings.violation(
                at, f"joins {fence.name}, which sets no rules (role {shown(role(fence))})", container.urn
            )
    for key in SAME:
        with findings.deferring():
            own, of_fence = tag(container, key), tag(fence, key)
            if own != of_fence:
                problem = f"joins {fence.name}, whose label {label_of(key)} is {shown(of_fence)}, not {shown(own)}"
                findings.violation(at, problem, container.urn)


def _is_on_its_network_alone(stack: StackValidationArgs, fence: PolicyResource, findings: Findings) -> None:
    at = f"networksAdvanced of {fence.name}"
    with findings.deferring():
        networks = attached(stack, fence)
        if len(networks) < len(get(fence.props, "networksAdvanced") or []):
            findings.violation(at, "names a network that this stack does not hold", fence.urn)
        for network in networks:
            with findings.deferring():
                same = all(tag(fence, key) == tag(network, key) for key in SAME)
                if not same or role(network) != Role.SESSION or networking(network) != networking(fence):
                    findings.violation(at, f"names {network.name}, which is labelled as something else's", fence.urn)


RULE = stack_rule(
    "docker-namespace-is-own-fence",
    "A container joins the network namespace of its own fence; a session's fence is on its session's network alone.",
    types=(CONTAINER,),
    check=check,
    severity=Severity.CRITICAL,
    controls=(
        nist("AC-4", "Information Flow Enforcement"),
        nist("AC-16", "Security and Privacy Attributes"),
    ),
    fix=(
        "join a container that adds NET_ADMIN and is labelled agentenv.role=fence, with the same agentenv.environment "
        "and agentenv.session; label the session's network like its fence"
    ),
)
