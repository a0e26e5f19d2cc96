"""No other container runs as a session's user.

The limit on its processes is one on the user, which the kernel counts over all containers of the host; and what one
user writes to a shared volume the other could read.
The supervisor of several agents starts as root, like a fence, and mounts no volume. Its agents have users of their own,
the same in each such container: there two containers of one stack share that limit, and nothing else.
"""

from collections import defaultdict

from pulumi_policy import PolicyResource, Severity, StackValidationArgs

from policies.docker_host import CONTAINER
from policies.graph import of_type
from policies.reading import get, shown
from policies.roles import is_session
from policies.supervisor import supervises
from policies.verdict import Findings, cis, nist, stack_rule


def check(args: StackValidationArgs, findings: Findings) -> None:
    """Group the containers by user; helpers may share theirs among themselves."""
    by_user: defaultdict[str, list[PolicyResource]] = defaultdict(list)
    for container in of_type(args, CONTAINER):
        with findings.deferring():
            user = str(get(container.props, "user") or "").partition(":")[0].strip()
            by_user[str(int(user)) if user.isdigit() else user].append(container)
    for user, containers in by_user.items():
        for container in containers if len(containers) > 1 else ():
            with findings.deferring():
                if is_session(container) and not supervises(container):
                    others = ", ".join(other.name for other in containers if other.urn != container.urn)
                    findings.violation(f"user of {container.name}", f"is {shown(user)}, as in {others}", container.urn)


RULE = stack_rule(
    "docker-user-of-its-own",
    "Every session's container of one agent has a user that no other container of the stack has.",
    types=(CONTAINER,),
    check=check,
    severity=Severity.MEDIUM,
    controls=(
        cis("5.29", "Ensure that the PIDs cgroup limit is used"),
        nist("SC-6", "Resource Availability"),
    ),
    fix="give each session a number of its own",
)
