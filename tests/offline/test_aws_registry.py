"""The handlers agree with the installed SDK, the reading of the SDK with the SDK itself, the README with both."""

import importlib
from typing import Any

import pytest
from pulumi import _types

from offline.aws import readme, registry, schema
from offline.aws.resource import Resource


@pytest.mark.parametrize("resource", registry.resources(), ids=lambda resource: str(resource.token))
def test_a_handler_names_only_what_the_sdk_declares(resource: Resource) -> None:
    inputs = set(schema.resource_inputs(resource.token))
    named = (
        resource.force_new | resource.json_properties | resource.ordered | resource.drift_keys | resource.unsupported
    )
    named |= set(resource.defaults) | ({resource.name_property} if resource.name_property else set())
    assert named <= inputs
    assert resource.volatile <= set(schema.resource_outputs(resource.token))
    assert resource.taggable == ("tags" in inputs)
    assert resource.backed_by.startswith(("moto: ", "kept by the stand-in"))


def test_every_function_is_one_of_the_sdk() -> None:
    assert registry.functions()
    for token in registry.functions():
        assert isinstance(schema.function_arguments(token), frozenset)


@pytest.mark.parametrize(
    ("token", "module", "args", "state"),
    [
        (
            "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
            "pulumi_aws.vpc.security_group_egress_rule",
            "SecurityGroupEgressRuleArgs",
            "_SecurityGroupEgressRuleState",
        ),
        (
            "aws:kms/key:Key",
            "pulumi_aws.kms.key",
            "KeyArgs",
            "_KeyState",
        ),
    ],
)
def test_the_declarations_read_are_those_of_the_classes(token: str, module: str, args: str, state: str) -> None:
    classes: Any = importlib.import_module(module)
    inputs = set(_types.input_type_py_to_pulumi_names(getattr(classes, args)).values())
    outputs = set(_types.input_type_py_to_pulumi_names(getattr(classes, state)).values())
    assert set(schema.resource_inputs(token)) == inputs
    assert set(schema.resource_outputs(token)) == outputs


def test_required_inputs_nested_objects_and_their_names_are_read() -> None:
    declared = schema.resource_inputs("aws:ec2/networkAcl:NetworkAcl")
    assert declared["vpcId"].required
    assert not declared["egress"].required
    assert declared["egress"].shape.kind == "list"
    rule = declared["egress"].shape.item
    assert rule is not None
    assert rule.fields is not None
    assert {name for name, field in rule.fields.by_name.items() if field.required} == {
        "action",
        "fromPort",
        "protocol",
        "ruleNo",
        "toPort",
    }
    assert "ipv6CidrBlock" in rule.fields.by_name


@pytest.mark.parametrize("token", ["aws:ec2/nothing:Nothing", "nonsense", "gcp:ec2/vpc:Vpc", "aws:ec2/vpc:Vcp"])
def test_a_type_that_the_sdk_lacks_is_an_error(token: str) -> None:
    with pytest.raises(schema.UndeclaredTypeError):
        schema.resource_inputs(token)


def test_the_readme_lists_what_there_is() -> None:
    text = readme.README.read_text(encoding="utf-8")
    assert text == readme.with_tables(text), "run: python -m offline.aws.readme"
