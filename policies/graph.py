"""Which resource a property comes from. A preview knows this even where it does not know the value."""

from collections.abc import Iterable

from pulumi_policy import PolicyResource, StackValidationArgs

from policies.docker_host import CONTAINER, CONTAINER_MODE, NETWORK, network_mode
from policies.reading import get


def of_type(stack: StackValidationArgs, *types: str) -> list[PolicyResource]:
    """Resources of these types, in the stack's order."""
    return [resource for resource in stack.resources if resource.resource_type in types]


def sources(resource: PolicyResource, prop: str, types: Iterable[str]) -> list[PolicyResource]:
    """Resources of `types` that the property `prop` of `resource` was computed from."""
    return [found for found in resource.property_dependencies.get(prop, []) if found.resource_type in types]


def referrers(
    stack: StackValidationArgs, resource_type: str, prop: str, target: PolicyResource
) -> list[PolicyResource]:
    """Resources of `resource_type` whose property `prop` was computed from `target`."""
    return [
        candidate
        for candidate in of_type(stack, resource_type)
        if any(found.urn == target.urn for found in candidate.property_dependencies.get(prop, []))
    ]


def joined(stack: StackValidationArgs, container: PolicyResource) -> list[PolicyResource]:
    """Containers of the stack whose network namespace `container` joins, if any; found by name where one is written.

    Raises:
        UnknownValueError: the mode is known only at `up`, and comes from no container of this stack.
    """
    found = sources(container, "networkMode", (CONTAINER,))
    if found:
        return found
    mode = network_mode(container.props)
    return [other for other in of_type(stack, CONTAINER) if f"{CONTAINER_MODE}{get(other.props, 'name')}" == mode]


def attached(stack: StackValidationArgs, container: PolicyResource) -> list[PolicyResource]:
    """Networks of the stack that `container` is attached to.

    Raises:
        UnknownValueError: a name is known only at `up`, and no network of this stack accounts for it.
    """
    found = {network.urn: network for network in sources(container, "networksAdvanced", (NETWORK,))}
    entries = get(container.props, "networksAdvanced") or []
    for index in range(len(entries) if len(found) < len(entries) else 0):
        name = get(entries[index], "name")
        found |= {other.urn: other for other in of_type(stack, NETWORK) if get(other.props, "name") == name}
    return list(found.values())
