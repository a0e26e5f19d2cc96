"""No environment variable of a container that is named like a secret holds a literal value."""

from collections.abc import Iterable

from pulumi_policy import ResourceValidationArgs, Severity

from policies.aws import EVENT_TARGET, SCHEDULE, TASK_DEFINITION
from policies.containers import Container, containers, overrides
from policies.credentials import names_secret
from policies.docker_host import CONTAINER, elements
from policies.reading import get, shown
from policies.verdict import Findings, fsbp, nist, resource_rule


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report names only; what defines a container and what a scheduled run overrides of it are judged alike."""
    if args.resource_type == CONTAINER:
        for at, pair in elements(args, "envs", findings):
            name, _, value = str(pair).partition("=")
            if names_secret(name, value):
                findings.violation(f"{at} {shown(name)}", "holds a literal value")
        return
    for container in _containers(args, findings):
        for name, value in container.environment:
            if names_secret(name, value):
                findings.violation(f"{container.at}.environment[{shown(name)}]", "holds a literal value")


def _containers(args: ResourceValidationArgs, findings: Findings) -> Iterable[Container]:
    if args.resource_type == TASK_DEFINITION:
        return containers(args, findings)
    path = ("target", "input") if args.resource_type == SCHEDULE else ("input",)
    return overrides(get(args.props, *path), ".".join(path), findings)


RULE = resource_rule(
    "container-environment-no-secret",
    "No environment variable named like a secret (_KEY, _TOKEN, SECRET, PASSWORD) is a literal in a container.",
    types=(TASK_DEFINITION, SCHEDULE, EVENT_TARGET, CONTAINER),
    check=check,
    severity=Severity.HIGH,
    controls=(
        fsbp("ECS.8", "Secrets should not be passed as container environment variables"),
        nist("IA-5(7)", "Authenticator Management | No Embedded Unencrypted Static Authenticators"),
    ),
    fix=(
        "move it to the container's secrets, by the ARN of a Secrets Manager secret; on a Docker host into a file that "
        "is mounted"
    ),
)
