"""What a deployed stack says of itself: its outputs, as one validated model that every command reads."""

import difflib
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from components.models.errors import InvalidInput, dotted
from components.models.session import Pattern, Session
from components.models.stack import Isolation
from components.plans.egress import POLICY_VERSION, EgressPolicy
from operate.failures import Failure, usage

T = TypeVar("T")


class Part(BaseModel):
    """Base of all parts: what a later version adds is passed over, instances do not change."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def _policy(value: Any) -> Any:
    if isinstance(value, Mapping) and value.get("version") != POLICY_VERSION:
        raise ValueError(f"has version {value.get('version')!r}, and this agentenv reads version {POLICY_VERSION}")
    return value


Policy = Annotated[EgressPolicy, BeforeValidator(_policy)]
"""The policy document. Who has which address (`identities`) is the gateway's to know."""


class EnvironmentPart(Part):
    """What both runtimes say of an environment."""

    networking: Literal["limited", "unrestricted"]
    egress_policy: Policy
    policy_hash: str
    archived: bool = False
    environment: Mapping[str, Any] = Field(default_factory=dict)
    """The declaration in the wire format."""


class DockerImages(Part):
    """References of an environment's images."""

    session: str
    fence: str
    gateway: str


class DockerGateway(Part):
    """An environment's gateway.

    Attributes:
        container: Runs the program.
        anchor: Owns its network namespace: what a run's network is connected to.
    """

    container: str
    anchor: str
    port: int


class DockerEnvironment(EnvironmentPart):
    """An environment on a Docker host."""

    runtime: Literal["docker"]
    images: DockerImages
    gateway: DockerGateway
    range: IPv4Network
    isolation: Isolation = Isolation.RUNC
    resolvers: tuple[IPv4Address, ...] = ()
    host_addresses: tuple[IPv4Address | IPv6Address, ...] = ()
    labels: Mapping[str, str]
    """What the stack says of itself on all that runs in the environment."""


class FargateEnvironment(EnvironmentPart):
    """An environment on Fargate."""

    runtime: Literal["fargate"]
    cluster: str
    images: Mapping[str, str]
    """Processor -> reference by digest."""
    subnets: tuple[str, ...]
    security_group: str
    log_group: str
    gateway: str
    """HOST:PORT."""
    state_bucket: str = ""
    """Keeps saved state and long task documents; empty for what was deployed before there was one."""


AnyEnvironment = Annotated[DockerEnvironment | FargateEnvironment, Field(discriminator="runtime")]


class SessionPart(Part):
    """What is said of every session."""

    environment: str
    pattern: Pattern


class DockerSession(SessionPart):
    """A session on a Docker host; what stands below `container` belongs to services alone."""

    runtime: Literal["docker"]
    session: Session
    image: str
    container: str | None = None
    fence: str | None = None
    network: str | None = None
    address: IPv4Address | None = None
    ports: Mapping[str, str] = Field(default_factory=dict)
    """Port in the container -> ADDRESS:PORT on the host."""
    state_volume: str | None = None
    """Keeps the conversations of one that ends when it idles."""


class FargateSession(SessionPart):
    """A session on Fargate; `service`, `host` and `ports` belong to services alone."""

    runtime: Literal["fargate"]
    task_definition: str
    overrides: Mapping[str, Any] = Field(default_factory=dict)
    capacity_provider: str = "FARGATE"
    held: tuple[str, ...] = ()
    """Variables that hold a secret because the session declares it so."""
    image: str = ""
    """Reference by digest; empty where the outputs do not tell."""
    service: str | None = None
    """ARN of the ECS service."""
    host: str | None = None
    ports: tuple[int, ...] = ()

    @property
    def region(self) -> str | None:
        """AWS region that its task definition is in."""
        parts = self.task_definition.split(":")
        return parts[3] if len(parts) > 5 else None

    @property
    def family(self) -> str:
        """Family of its task definition, which is its environment's own."""
        return self.task_definition.rpartition("/")[2].partition(":")[0]

    @property
    def container(self) -> Mapping[str, Any]:
        """What a run of it is told about its one container."""
        return next(iter(self.overrides.get("containerOverrides", ())), {})

    @property
    def variables(self) -> Mapping[str, str]:
        """Variables that its container gets beyond those of its environment, its declaration among them."""
        return {pair["name"]: pair["value"] for pair in self.container.get("environment", ())}

    @property
    def own_command(self) -> bool:
        """Whether a program of the team's own runs in it, instead of the agent runner."""
        return "command" in self.container


AnySession = Annotated[DockerSession | FargateSession, Field(discriminator="runtime")]


class Outputs(Part):
    """The outputs of a stack."""

    environments: Mapping[str, AnyEnvironment]
    sessions: Mapping[str, AnySession]

    @classmethod
    def parse(cls, data: object) -> "Outputs":
        """Validate what Pulumi says.

        Raises:
            Failure: a field is missing or is none of those that this version knows.
        """
        if data == {}:
            raise usage("The stack has no outputs: nothing is deployed. Fix: run pulumi up.")
        try:
            return cls.model_validate(data)
        except (ValidationError, InvalidInput) as error:
            raise usage(
                "The outputs of this stack are not what this agentenv reads: it was deployed by another version, or "
                f"not to the end. Fix: run pulumi up with this version.\n{_reasons(error)}"
            ) from None

    def environment(self, name: str) -> AnyEnvironment:
        """The environment of this name.

        Raises:
            Failure: there is none.
        """
        return _named("environment", name, self.environments)

    def session(self, name: str) -> AnySession:
        """The session of this name.

        Raises:
            Failure: there is none.
        """
        return _named("session", name, self.sessions)


def _named(kind: str, name: str, known: Mapping[str, T]) -> T:
    found = known.get(name)
    if found is not None:
        return found
    raise _unknown(kind, name, known)


def _unknown(kind: str, name: str, known: Iterable[str]) -> Failure:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    fix = f"did you mean {near[0]!r}?" if near else f"use one of: {', '.join(names) or '(none is declared)'}"
    return usage(f"There is no {kind} {name!r} in this stack. Fix: {fix}")


def _reasons(error: ValidationError | InvalidInput) -> str:
    if isinstance(error, InvalidInput):
        return str(error)
    return "\n".join(f"  {dotted(line['loc'])}: {line['msg']}" for line in error.errors(include_url=False)[:5])
