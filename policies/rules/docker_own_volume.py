"""A session mounts only volumes of its own, and nothing else mounts them: what it keeps is nobody else's to read."""

from collections.abc import Iterator, Mapping
from typing import Any

from pulumi_policy import PolicyResource, Severity, StackValidationArgs

from components.models.tags import Tag
from components.models.tags import label as label_of
from policies.docker_host import CONTAINER, VOLUME, host_path
from policies.graph import of_type, sources
from policies.reading import get, items, shown
from policies.roles import is_session, tag
from policies.verdict import Findings, nist, stack_rule

SAME = (Tag.STACK, Tag.ENVIRONMENT, Tag.SESSION, Tag.ROLE)


def check(args: StackValidationArgs, findings: Findings) -> None:
    """Compare each container with the volumes that it mounts, where either is a session's."""
    for container in of_type(args, CONTAINER):
        for prop, key in (("mounts", "source"), ("volumes", "volumeName")):
            with findings.deferring():
                _judge(args, container, prop, key, findings)


def _judge(stack: StackValidationArgs, container: PolicyResource, prop: str, key: str, findings: Findings) -> None:
    at = f"{prop} of {container.name}"
    mounted = {volume.urn: volume for volume in sources(container, prop, (VOLUME,))}
    entries = list(_volumes(items(get(container.props, prop))))
    for entry in entries if len(mounted) < len(entries) else ():
        name = get(entry, key)
        if host_path(name):
            continue
        found = [other for other in of_type(stack, VOLUME) if get(other.props, "name") == name]
        mounted |= {volume.urn: volume for volume in found}
        if not found and is_session(container):
            findings.violation(at, f"names {shown(name)}, a volume that this stack does not hold", container.urn)
    for volume in mounted.values():
        with findings.deferring():
            if not is_session(container) and not is_session(volume):
                continue
            for label in SAME:
                own, of_volume = tag(container, label), tag(volume, label)
                if own != of_volume:
                    problem = f"names {volume.name}, whose label {label_of(label)} is {shown(of_volume)}"
                    findings.violation(at, f"{problem}, not {shown(own)}", container.urn)


def _volumes(entries: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Those of `entries` that mount a volume of the engine; their names may be unknown, and are not touched."""
    for entry in entries:
        if (get(entry, "type") or "volume") == "volume" and not get(entry, "hostPath"):
            yield entry


RULE = stack_rule(
    "docker-volume-is-own",
    "A session mounts only volumes of its own stack and session, and no other container mounts them.",
    types=(CONTAINER,),
    check=check,
    severity=Severity.HIGH,
    controls=(
        nist("AC-4", "Information Flow Enforcement"),
        nist("AC-6", "Least Privilege"),
    ),
    fix="declare the volume in this stack and label it like the one container that mounts it",
)
