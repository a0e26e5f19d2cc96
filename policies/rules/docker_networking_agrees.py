"""All that belongs to one environment on a Docker host says the same of its networking.

Other rules judge a network by this label: one that lies would give a limited session a network with a way out.
"""

from collections import defaultdict

from pulumi_policy import PolicyResource, Severity, StackValidationArgs

from components.models.tags import Tag
from components.models.tags import label as label_of
from policies.docker_host import OBJECTS
from policies.graph import of_type
from policies.reading import shown
from policies.roles import UNRESTRICTED, tag
from policies.verdict import Findings, nist, stack_rule


def check(args: StackValidationArgs, findings: Findings) -> None:
    """Where an environment's objects disagree, blame those that claim more; silence claims nothing."""
    claims: defaultdict[str | None, dict[str, list[PolicyResource]]] = defaultdict(dict)
    for thing in of_type(args, *OBJECTS):
        with findings.deferring():
            claimed = tag(thing, Tag.NETWORKING)
            if claimed is not None:
                claims[tag(thing, Tag.ENVIRONMENT)].setdefault(claimed, []).append(thing)
    for environment, by_claim in claims.items():
        for thing in by_claim.get(UNRESTRICTED, []) if len(by_claim) > 1 else ():
            findings.violation(
                f"label {label_of(Tag.NETWORKING)} of {thing.name}",
                f"is unrestricted, while the environment {shown(environment)} is limited elsewhere",
                thing.urn,
            )


RULE = stack_rule(
    "docker-networking-agrees",
    "All containers, networks and volumes of one environment carry the same agentenv.networking, if any.",
    types=OBJECTS,
    check=check,
    severity=Severity.HIGH,
    controls=(
        nist("AC-16", "Security and Privacy Attributes"),
        nist("AC-4", "Information Flow Enforcement"),
    ),
    fix="label all of them as the environment is declared",
)
