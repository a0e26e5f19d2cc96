"""Checks the outputs of a deployed resource against the SDK."""

from offline.aws import schema
from tests.offline.aws_driver import Deployed


def assert_complete(deployed: Deployed, *without: str) -> None:
    """Fails where an output of the real type, that is no input, is missing: it would be None in a program.

    Args:
        deployed: the resource.
        without: outputs that the real provider does not give here either.
    """
    computed = set(schema.resource_outputs(deployed.token)) - set(schema.resource_inputs(deployed.token))
    assert computed - set(deployed.state) == set(without)
