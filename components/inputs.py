"""Turns what the models refuse into what Pulumi shows: one error, with a field path and a reason for each problem."""

from collections.abc import Iterator
from contextlib import contextmanager

import pulumi

from components.models.errors import InvalidInput


@contextmanager
def checked() -> Iterator[None]:
    """Within, a refusal of the models is raised as `pulumi.InputPropertiesError`."""
    try:
        yield
    except InvalidInput as error:
        raise _refusal(error) from None


def _refusal(error: InvalidInput) -> pulumi.InputPropertiesError:
    details: list[pulumi.InputPropertyErrorDetails] = [
        {"property_path": problem.path, "reason": f"{problem.rule.rstrip('.')}. Fix: {problem.fix}"}
        for problem in error.problems
    ]
    return pulumi.InputPropertiesError(str(error), details)
