"""No known kind of credential stands in plain text: in tags, containers, scheduled input or what a component is given.

All of these end up in Pulumi's state and in listings of AWS or of the engine: whoever may read them may copy them.
"""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.aws import ENVIRONMENT, EVENT_TARGET, SCHEDULE, SESSION, TASK_DEFINITION
from policies.credentials import credentials
from policies.docker_host import CONTAINER, NETWORK, VOLUME
from policies.reading import get
from policies.taggable import taggable_types
from policies.verdict import Findings, fsbp, nist, resource_rule

PATHS: dict[str, tuple[tuple[str, ...], ...]] = {
    TASK_DEFINITION: (("containerDefinitions",),),
    SCHEDULE: (("target", "input"), ("description",)),
    EVENT_TARGET: (("input",),),
    ENVIRONMENT: ((),),
    SESSION: ((),),
    CONTAINER: (("envs",), ("command",), ("entrypoints",), ("labels",), ("uploads",), ("healthcheck",), ("logOpts",)),
    NETWORK: (("labels",), ("options",)),
    VOLUME: (("labels",), ("driverOpts",)),
}
"""Besides tags, which are searched on everything; an empty path is all that a component is given."""


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report where a credential stands and of what kind it is, never the credential."""
    paths = PATHS.get(args.resource_type, ())
    for path in (*paths, *(() if () in paths else (("tags",), ("tagsAll",)))):
        with findings.deferring():
            at = ".".join(path)
            for where, what in credentials(get(args.props, *path), at, findings):
                findings.violation(where.lstrip("."), f"holds {what}")


RULE = resource_rule(
    "no-secret-in-plain-text",
    "No credential stands in plain text in tags, containers, Docker objects, scheduled input or declared sessions.",
    types=taggable_types() | set(PATHS),
    check=check,
    severity=Severity.CRITICAL,
    controls=(
        fsbp("ECS.8", "Secrets should not be passed as container environment variables"),
        nist("IA-5(7)", "Authenticator Management | No Embedded Unencrypted Static Authenticators"),
    ),
    fix="revoke it, put a new one into Secrets Manager or a file on the Docker host, and refer to that under secrets",
    applies_to=(*sorted(PATHS), "every AWS resource that takes tags"),
)
