"""No container runs as root, but a fence, and the supervisor of several agents.

A fence starts so to set the rules of its namespace, and then drops to nobody. What it can do as root is bounded: three
capabilities (`docker-no-capabilities`), no new privileges, a read-only root, and no code of an agent in it.
A supervisor gives each agent a user of its own: see `policies.supervisor`.
"""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.containers import is_root
from policies.docker_host import CONTAINER
from policies.reading import get, items, shown
from policies.roles import sets_rules
from policies.supervisor import supervises
from policies.verdict import Findings, cis, nist, resource_rule


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report a user that is root or is left to the image, beyond the exceptions, and a further group of root's."""
    with findings.deferring():
        user = get(args.props, "user")
        if is_root(user) and not sets_rules(args) and (user in (None, "") or not supervises(args)):
            findings.violation("user", "is missing" if user is None else f"is {shown(user)}")
    with findings.deferring():
        groups = [group for group in items(get(args.props, "groupAdds")) if is_root(group) or group == "docker"]
        if groups:
            findings.violation("groupAdds", f"holds {shown(groups)}")


RULE = resource_rule(
    "docker-not-root",
    "Every container but a fence that sets rules and the supervisor of several agents names a user other than root.",
    types=(CONTAINER,),
    check=check,
    severity=Severity.HIGH,
    controls=(
        cis("4.1", "Ensure that a user for the container has been created"),
        nist("AC-6", "Least Privilege"),
    ),
    fix="set user to a number other than 0, e.g. 10001:10001; a fence adds NET_ADMIN and is labelled so",
)
