"""Which resource a property comes from. A preview knows this even where it does not know the value."""

from collections.abc import Iterable

from pulumi_policy import PolicyResource, StackValidationArgs


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
