"""What every handler of the stand-in must keep to, whatever its service."""

import pytest

from offline.aws import registry, schema
from offline.aws.resource import Resource


@pytest.mark.parametrize("resource", registry.resources(), ids=lambda resource: resource.token)
def test_handler_speaks_of_declared_inputs_only(resource: Resource) -> None:
    """A name that is spelt wrong in a class attribute would silently have no effect."""
    named = {
        *resource.force_new,
        *resource.json_properties,
        *resource.ordered,
        *resource.drift_keys,
        *resource.unsupported,
        *resource.defaults,
        *([resource.name_property] if resource.name_property else []),
    }
    inputs = schema.resource_inputs(resource.token)
    assert named - set(inputs) == set()
    assert resource.volatile - set(schema.resource_outputs(resource.token)) == set()
    assert resource.taggable == ("tags" in inputs)
    assert not resource.unsupported & {name for name, field in inputs.items() if field.required}
