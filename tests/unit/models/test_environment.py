"""The wire format, held against the types of the `anthropic` package."""

import typing
from typing import Any

import pytest
from anthropic.types import beta
from anthropic.types.beta import environment_create_params, environment_update_params
from pydantic import BaseModel, TypeAdapter

from components.models.environment import (
    PACKAGE_MANAGERS,
    CloudConfig,
    CloudConfigUpdate,
    Environment,
    EnvironmentResource,
    EnvironmentUpdate,
    LimitedNetwork,
    LimitedNetworkUpdate,
    Packages,
    PackagesUpdate,
    SelfHostedConfig,
    UnrestrictedNetwork,
)
from components.models.errors import InvalidInput, Model, validate

HEADERS = {"betas", "workspace_id"}
DATA_ANALYSIS = {
    "name": "data-analysis",
    "config": {
        "type": "cloud",
        "packages": {"pip": ["pandas", "numpy", "scikit-learn"], "npm": ["express"]},
        "networking": {"type": "unrestricted"},
    },
}
LIMITED = {
    "name": "limited",
    "config": {
        "type": "cloud",
        "networking": {
            "type": "limited",
            "allowed_hosts": ["api.example.com"],
            "allow_mcp_servers": True,
            "allow_package_managers": True,
        },
    },
}


@pytest.mark.parametrize(
    ("model", "wire"),
    [
        (Environment, environment_create_params.EnvironmentCreateParams),
        (EnvironmentUpdate, environment_update_params.EnvironmentUpdateParams),
        (EnvironmentResource, beta.BetaEnvironment),
        (CloudConfig, beta.BetaCloudConfigParams),
        (CloudConfig, beta.BetaCloudConfig),
        (CloudConfigUpdate, beta.BetaCloudConfigParams),
        (PackagesUpdate, beta.BetaPackagesParams),
        (LimitedNetworkUpdate, beta.BetaLimitedNetworkParams),
        (UnrestrictedNetwork, beta.BetaUnrestrictedNetwork),
        (SelfHostedConfig, beta.BetaSelfHostedConfig),
        (Packages, beta.BetaPackagesParams),
        (Packages, beta.BetaPackages),
        (LimitedNetwork, beta.BetaLimitedNetworkParams),
        (LimitedNetwork, beta.BetaLimitedNetwork),
        (UnrestrictedNetwork, beta.BetaUnrestrictedNetworkParam),
        (SelfHostedConfig, beta.BetaSelfHostedConfigParams),
    ],
    ids=lambda value: value.__name__,
)
def test_fields_are_those_of_the_anthropic_package(model: type[Model], wire: type) -> None:
    theirs = set(wire.model_fields) if issubclass(wire, BaseModel) else set(typing.get_type_hints(wire)) - HEADERS
    assert set(model.model_fields) == theirs


@pytest.mark.parametrize("body", [DATA_ANALYSIS, LIMITED], ids=["data-analysis", "limited"])
def test_examples_of_the_documents_go_through_unchanged(body: dict[str, object]) -> None:
    environment = validate(Environment, body)
    again = environment.to_wire()
    TypeAdapter(environment_create_params.EnvironmentCreateParams).validate_python(again)
    assert validate(Environment, again) == environment
    assert again["config"]["networking"] == body["config"]["networking"]  # type: ignore[index]


def test_answers_of_the_api_are_read_as_the_anthropic_package_reads_them() -> None:
    answer = {
        "id": "env_01",
        "type": "environment",
        "name": "limited",
        "config": LIMITED["config"] | {"packages": {m: [] for m in PACKAGE_MANAGERS}},  # type: ignore[operator]
        "metadata": {"owner": "a"},
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-02T00:00:00Z",
        "archived_at": None,
        "added_later": 1,
    }
    theirs = beta.BetaEnvironment.model_validate(answer)
    ours = validate(EnvironmentResource, answer)
    assert ours.config.model_dump(exclude_none=True, mode="json") == theirs.config.model_dump(exclude_none=True)
    assert (ours.id, ours.archived_at, ours.metadata) == (theirs.id, None, theirs.metadata)


def test_null_means_not_given() -> None:
    body = {"name": "n", "config": {"type": "cloud", "packages": {"pip": None}, "networking": None}}
    assert validate(Environment, body) == validate(Environment, {"name": "n", "config": None})
    limited = {"type": "limited", "allowed_hosts": None, "allow_mcp_servers": None}
    assert validate(LimitedNetwork, limited) == LimitedNetwork(type="limited")


def test_networking_is_as_the_hosted_service_defaults_it() -> None:
    assert validate(Environment, {"name": "n"}).limited is None


def test_self_hosted_says_nothing_about_networking_so_it_is_limited_to_nothing() -> None:
    environment = validate(Environment, {"name": "n", "config": {"type": "self_hosted"}})
    assert environment.limited == LimitedNetwork(type="limited")
    with pytest.raises(InvalidInput, match=r"config\.packages.*no such field"):
        validate(Environment, {"name": "n", "config": {"type": "self_hosted", "packages": {}}})


def test_export_to_the_hosted_service_says_what_it_would_refuse() -> None:
    body = {"name": "n", "config": {"type": "cloud", "packages": {"pip": ["six"]}, "networking": {"type": "limited"}}}
    assert "allow_package_managers" in validate(Environment, body).hosted_notes()[0]
    assert validate(Environment, DATA_ANALYSIS).hosted_notes() == ()
    assert validate(Environment, LIMITED).hosted_notes() == ()


class TestUpdate:
    before = validate(
        Environment,
        {**LIMITED, "description": "d", "metadata": {"keep": "1", "drop": "2"}, "scope": "organization"},
    )

    def update(self, body: dict[str, object]) -> Environment:
        return validate(EnvironmentUpdate, body).apply(self.before)

    def test_omitted_fields_stay(self) -> None:
        assert self.update({}) == self.before

    def test_null_clears(self) -> None:
        after = self.update({"description": None, "scope": None, "config": None, "name": None})
        assert (after.description, after.scope, after.limited) == (None, None, None)
        assert after.name == self.before.name

    def test_values_replace(self) -> None:
        after = self.update({"description": "", "name": "new"})
        assert (after.description, after.name) == ("", "new")

    @pytest.mark.parametrize("gone", [None, ""])
    def test_metadata_is_merged_key_by_key(self, gone: str | None) -> None:
        assert self.update({"metadata": {"drop": gone, "add": "3"}}).metadata == {"keep": "1", "add": "3"}

    def test_config_is_merged_field_by_field(self) -> None:
        after = self.update(
            {"config": {"type": "cloud", "networking": {"type": "limited", "allow_mcp_servers": False}}}
        )
        assert after.limited == LimitedNetwork(
            type="limited", allowed_hosts=("api.example.com",), allow_mcp_servers=False, allow_package_managers=True
        )
        after = self.update({"config": {"type": "cloud", "packages": {"pip": ["six"]}}})
        assert after.limited == self.before.limited
        assert after.packages.pip == ("six",)

    @pytest.mark.parametrize(
        ("body", "pip", "hosts"),
        [
            ({}, ("six",), ("api.example.com",)),
            ({"packages": None}, (), ("api.example.com",)),
            ({"packages": {}}, ("six",), ("api.example.com",)),
            ({"packages": {"pip": None}}, (), ("api.example.com",)),
            ({"packages": {"pip": []}}, (), ("api.example.com",)),
            ({"networking": {"type": "limited"}}, ("six",), ("api.example.com",)),
            ({"networking": {"type": "limited", "allowed_hosts": None}}, ("six",), ()),
            ({"networking": None}, ("six",), None),
        ],
    )
    def test_omitted_null_and_value_inside_config(self, body: Any, pip: Any, hosts: Any) -> None:
        before = self.update({"config": {"type": "cloud", "packages": {"pip": ["six"], "npm": ["x"]}}})
        update = validate(EnvironmentUpdate, {"config": {"type": "cloud"} | body})
        after = update.apply(before)
        assert after.packages.pip == pip
        assert after.packages.npm == (() if body.get("packages", 0) is None else ("x",))
        assert (after.limited.allowed_hosts if after.limited else None) == hosts
        assert update.to_wire() == {"config": {"type": "cloud"} | body}

    def test_another_kind_of_config_or_network_replaces(self) -> None:
        assert self.update({"config": {"type": "self_hosted"}}).config == SelfHostedConfig(type="self_hosted")
        assert self.update({"config": {"type": "cloud", "networking": {"type": "unrestricted"}}}).limited is None
