"""What a resource is in the fence, as its tags or labels say. Whatever says nothing is judged as a limited session."""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from components.models.tags import Role, Tag
from components.models.tags import label as label_of
from policies.docker_host import CONTAINER_MODE, OBJECTS, capabilities, label, network_mode
from policies.reading import get, shown
from policies.verdict import Findings

LIMITED, UNRESTRICTED = "limited", "unrestricted"


class Provider(Protocol):
    """The part of the SDK's provider that rules read."""

    props: Mapping[str, Any]


class Judged(Protocol):
    """What a resource rule and a stack rule have in common about a resource."""

    @property
    def resource_type(self) -> str:
        """Type token."""

    @property
    def props(self) -> Mapping[str, Any]:
        """Inputs, in a stack rule outputs."""

    @property
    def urn(self) -> str:
        """URN."""

    @property
    def name(self) -> str:
        """Logical name."""

    @property
    def provider(self) -> Provider | None:
        """Provider that manages it."""


def tag(resource: Judged, key: Tag) -> str | None:
    """Value of one tag: the resource's own, else the provider's default, else what `tagsAll` says; or of one label.

    Raises:
        UnknownValueError: the value is known only at `up`.
    """
    if resource.resource_type in OBJECTS:
        return label(resource.props, label_of(key))
    value = get(resource.props, "tags", key)
    if value is None:
        value = get(_default_tags(resource), key)
    if value is None:
        value = get(resource.props, "tagsAll", key)
    return None if value is None else str(value)


def _default_tags(resource: Judged) -> Any:
    declared = get(resource.provider.props, "defaultTags") if resource.provider else None
    # A provider's nested settings travel as JSON text.
    return get(json.loads(declared) if isinstance(declared, str) else declared, "tags")


def role(resource: Judged) -> str:
    """The resource's role, `session` when it names none."""
    return tag(resource, Tag.ROLE) or Role.SESSION


def networking(resource: Judged) -> str:
    """The resource's networking, `limited` when it names none."""
    return tag(resource, Tag.NETWORKING) or LIMITED


def is_session(resource: Judged) -> bool:
    """Whether it is judged as a session's."""
    return role(resource) == Role.SESSION


def owns_namespace(container: Judged) -> bool:
    """Whether it is a fence with a network namespace of its own, in which it sets the rules."""
    return role(container) == Role.FENCE and not network_mode(container.props).startswith(CONTAINER_MODE)


def sets_rules(container: Judged) -> bool:
    """Whether it is a fence that has what setting the rules of its namespace needs."""
    return owns_namespace(container) and "NET_ADMIN" in capabilities(container.props, "adds")


def may_reach_ranges(resource: Judged) -> bool:
    """Whether its security group may send to an address range: a gateway's, or an unrestricted session's."""
    held = role(resource)
    return held == Role.GATEWAY or (held == Role.SESSION and networking(resource) == UNRESTRICTED)


def compare(member: Judged, group: Judged, findings: Findings) -> None:
    """Report where `member` says something else of itself than the security group it belongs to."""
    for key, read in ((Tag.ROLE, role), (Tag.NETWORKING, networking)):
        with findings.deferring():
            own, of_group = read(member), read(group)
            if own != of_group:
                findings.violation(
                    f"tag {key} of {member.name}",
                    f"is judged as {shown(own)}, that of its security group {group.name} as {shown(of_group)}",
                    member.urn,
                )
