"""The one place where a runtime is chosen."""

from components.models.stack import Stack
from components.runtime import Runtime


def runtime_of(stack: Stack, name: str) -> Runtime:
    """The runtime that the stack file names, with all that its environments share."""
    # Imported here: a stack on one runtime never loads the packages of another.
    if stack.runtime == "docker":
        from components.docker import on_docker

        return on_docker(stack, name)
    from components.fargate import on_fargate

    return on_fargate(stack, name)
