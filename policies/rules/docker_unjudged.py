"""Nothing runs on a Docker host in a form that this pack does not judge."""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.verdict import Findings, cis, nist, resource_rule

TYPES = ("docker:index/service:Service", "docker:index/plugin:Plugin")


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """A swarm service states containers in words of its own; a plugin runs on the host with the rights it asks for."""
    findings.violation(args.name, "runs on the host in a form that no rule of this pack judges")


RULE = resource_rule(
    "docker-no-service-no-plugin",
    "What runs on a Docker host is declared as a container, never as a swarm service or an engine plugin.",
    types=TYPES,
    check=check,
    severity=Severity.CRITICAL,
    controls=(
        cis("5.1", "Ensure swarm mode is not Enabled, if not needed"),
        nist("CM-7", "Least Functionality"),
    ),
    fix="declare it as a docker.Container",
)
