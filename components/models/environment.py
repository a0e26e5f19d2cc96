"""Environment: the wire format of Managed Agents environments (beta `managed-agents-2026-04-01`).

Field names, defaults and the three-way meaning of an update follow `anthropic.types.beta` (EnvironmentCreateParams,
EnvironmentUpdateParams, BetaEnvironment); a test compares them field by field.
"""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AwareDatetime, BeforeValidator, ConfigDict, Field

from components.models.errors import Model
from components.models.hosts import HostPattern
from components.models.packages import (
    AptPackage,
    CargoPackage,
    GemPackage,
    GoPackage,
    NpmPackage,
    PipPackage,
)

M = TypeVar("M", bound=Model)
PACKAGE_MANAGERS = ("apt", "cargo", "gem", "go", "npm", "pip")
"""In the order in which they run: alphabetical, as the hosted service does."""


def _null_is(default: Any) -> BeforeValidator:
    """The API takes an explicit null for "not given"."""
    return BeforeValidator(lambda value: default if value is None else value)


EnvironmentName = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
Scope = Literal["organization", "account"]


class Packages(Model):
    """Packages by manager, each in that manager's own notation; without a version the newest is meant."""

    type: Literal["packages"] | None = None
    apt: Annotated[tuple[AptPackage, ...], _null_is(())] = ()
    cargo: Annotated[tuple[CargoPackage, ...], _null_is(())] = ()
    gem: Annotated[tuple[GemPackage, ...], _null_is(())] = ()
    go: Annotated[tuple[GoPackage, ...], _null_is(())] = ()
    npm: Annotated[tuple[NpmPackage, ...], _null_is(())] = ()
    pip: Annotated[tuple[PipPackage, ...], _null_is(())] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, manager) for manager in PACKAGE_MANAGERS)


class UnrestrictedNetwork(Model):
    """Full egress less the safety blocklist (metadata, private and link-local ranges)."""

    type: Literal["unrestricted"]


class LimitedNetwork(Model):
    """Egress to named hosts only, port 443, through the environment's gateway."""

    type: Literal["limited"]
    allowed_hosts: Annotated[tuple[HostPattern, ...], _null_is(())] = ()
    """Bare host names; `https://` in front is accepted and dropped; `*.example.com` is any name below it."""
    allow_mcp_servers: Annotated[bool, _null_is(default=False)] = False
    """Adds the endpoints of the MCP servers that the session's agents declare."""
    allow_package_managers: Annotated[bool, _null_is(default=False)] = False
    """Adds the registries that the environment's package managers are configured with."""


Networking = Annotated[UnrestrictedNetwork | LimitedNetwork, Field(discriminator="type")]


class CloudConfig(Model):
    """A container built from `packages`, fenced by `networking`."""

    type: Literal["cloud"]
    packages: Annotated[Packages, _null_is(Packages())] = Packages()
    networking: Annotated[Networking, _null_is(UnrestrictedNetwork(type="unrestricted"))] = UnrestrictedNetwork(
        type="unrestricted"
    )


class SelfHostedConfig(Model):
    """The agent loop runs at Anthropic, its tools in containers of the team's own."""

    type: Literal["self_hosted"]


Config = Annotated[CloudConfig | SelfHostedConfig, Field(discriminator="type")]


class Environment(Model):
    """The body of `POST /v1/environments`: a template that many sessions share."""

    name: EnvironmentName
    config: Annotated[Config, _null_is(CloudConfig(type="cloud"))] = CloudConfig(type="cloud")
    description: str | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    scope: Scope | None = None

    @property
    def packages(self) -> Packages:
        """Packages of the image; a self-hosted environment declares none."""
        return self.config.packages if isinstance(self.config, CloudConfig) else Packages()

    @property
    def limited(self) -> LimitedNetwork | None:
        """The limits in force, None when unrestricted.

        A self-hosted environment says nothing about networking, so the restrictive reading holds: limited to nothing.
        """
        if isinstance(self.config, SelfHostedConfig):
            return LimitedNetwork(type="limited")
        networking = self.config.networking
        return networking if isinstance(networking, LimitedNetwork) else None

    def to_wire(self) -> dict[str, Any]:
        """The JSON body, without what was left at null or empty."""
        return self.model_dump(mode="json", exclude_none=True, exclude_defaults=True) | {
            "name": self.name,
            "config": self.config.model_dump(mode="json", exclude_none=True),
        }

    def hosted_notes(self) -> tuple[str, ...]:
        """What the hosted API would refuse although it is right here; empty when the body works in both places."""
        limited = self.limited
        if limited is None or limited.allow_package_managers or not self.packages:
            return ()
        note = (
            "config.networking.allow_package_managers: the hosted API demands true whenever packages are given under "
            "limited networking; here packages are installed when the image is built, so the session needs no "
            "registry. Set it to true before sending this body there."
        )
        return (note,)


class PackagesUpdate(Model):
    """Packages in an update: a manager that is omitted stays, null or an empty list clears it."""

    type: Literal["packages"] | None = None
    apt: tuple[AptPackage, ...] | None = None
    cargo: tuple[CargoPackage, ...] | None = None
    gem: tuple[GemPackage, ...] | None = None
    go: tuple[GoPackage, ...] | None = None
    npm: tuple[NpmPackage, ...] | None = None
    pip: tuple[PipPackage, ...] | None = None


class LimitedNetworkUpdate(Model):
    """Limits in an update: what is omitted stays, null goes back to the default."""

    type: Literal["limited"]
    allowed_hosts: tuple[HostPattern, ...] | None = None
    allow_mcp_servers: bool | None = None
    allow_package_managers: bool | None = None


class CloudConfigUpdate(Model):
    """A cloud configuration in an update: what is omitted stays, null goes back to the default."""

    type: Literal["cloud"]
    packages: PackagesUpdate | None = None
    networking: Annotated[UnrestrictedNetwork | LimitedNetworkUpdate, Field(discriminator="type")] | None = None


class EnvironmentUpdate(Model):
    """The body of `POST /v1/environments/{id}`: omitted fields stay, null clears, a value replaces."""

    name: EnvironmentName | None = None
    config: Annotated[CloudConfigUpdate | SelfHostedConfig, Field(discriminator="type")] | None = None
    description: str | None = None
    metadata: dict[str, str | None] = Field(default_factory=dict)
    """A key set to null or to an empty string is deleted; keys not named stay."""
    scope: Scope | None = None

    def to_wire(self) -> dict[str, Any]:
        """The JSON body: exactly the fields that were given, nulls among them."""
        return self.model_dump(mode="json", exclude_unset=True)

    def apply(self, to: Environment) -> Environment:
        """`to` with this update in force.

        A null name leaves the name as it is (an environment always has one); a null config resets it to the default.
        """
        given = self.model_fields_set
        changes: dict[str, Any] = {name: getattr(self, name) for name in ("description", "scope") if name in given}
        if self.name is not None:
            changes["name"] = self.name
        if "config" in given:
            changes["config"] = self._merged_config(to)
        merged: dict[str, str | None] = {**to.metadata, **self.metadata}
        changes["metadata"] = {key: value for key, value in merged.items() if value}
        return to.model_copy(update=changes)

    def _merged_config(self, to: Environment) -> CloudConfig | SelfHostedConfig:
        if isinstance(self.config, SelfHostedConfig):
            return self.config
        new, old = self.config, to.config
        if new is None or not isinstance(old, CloudConfig):
            old = CloudConfig(type="cloud")
        if new is None:
            return old
        changes: dict[str, Any] = {}
        if "packages" in new.model_fields_set:
            changes["packages"] = _merged(old.packages, new.packages, Packages())
        if "networking" in new.model_fields_set:
            changes["networking"] = self._merged_networking(old, new)
        return old.model_copy(update=changes)

    @staticmethod
    def _merged_networking(old: CloudConfig, new: CloudConfigUpdate) -> UnrestrictedNetwork | LimitedNetwork:
        if new.networking is None or isinstance(new.networking, UnrestrictedNetwork):
            return UnrestrictedNetwork(type="unrestricted")
        before = old.networking if isinstance(old.networking, LimitedNetwork) else LimitedNetwork(type="limited")
        return _merged(before, new.networking, LimitedNetwork(type="limited"))


class EnvironmentResource(Model):
    """What the API answers: `BetaEnvironment`. Fields that the API adds later are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    type: Literal["environment"]
    name: EnvironmentName
    config: Config
    description: str | None = None
    metadata: dict[str, str]
    scope: Scope | None = None
    created_at: AwareDatetime
    updated_at: AwareDatetime
    archived_at: AwareDatetime | None = None


class DeclaredEnvironment(Environment):
    """An environment in a stack file: the wire format, and whether it is archived.

    `archived_at` has the meaning it has in the API's answers: read-only from then on, running sessions go on, no new
    ones.
    """

    archived_at: AwareDatetime | None = None


def _merged(old: M, new: Model | None, default: M) -> M:
    """`old` with what `new` names: a null goes back to `default`, as the whole does when `new` is null."""
    if new is None:
        return default
    given = {name: getattr(new, name) for name in new.model_fields_set}
    return old.model_copy(
        update={name: getattr(default, name) if value is None else value for name, value in given.items()}
    )
