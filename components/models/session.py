"""Session: who runs in an Environment, how long, with how much."""

import hashlib
import re
from enum import StrEnum
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from components.models.errors import NOT_SHOWN, InvalidInput, Model, Problem, show
from components.models.hosts import url_host
from components.models.mounts import Mount, file_requests, mount_problems
from components.models.secrets import MODEL_SECRETS, Secret, VariableName, refused_to_agents, route_problems

MOST_AGENTS = 20
"""Agents of one session: each has a user of its own in the image."""
SHARED_FOLDER = "shared"
"""Below `/workspace`, beside the folders of the agents, which have their names."""
_NO_TOKEN = hashlib.sha256(b"").hexdigest()


def _slug(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?", value):
        raise ValueError(
            "must be 1 to 48 lower-case letters, digits and inner hyphens, since it becomes part of resource names. "
            "Fix: write it like nightly-report"
        )
    return value


Slug = Annotated[str, AfterValidator(_slug)]
"""A name that ends up in resource names, DNS labels and log streams."""


def _agent_name(value: str) -> str:
    if value == SHARED_FOLDER:
        raise ValueError("is the name of the folder that several agents share. Fix: write it like reviewer")
    return value


def _mcp_url(value: str) -> str:
    url_host(value)
    return value


_DURATION = re.compile(r"(\d{1,7})([smh])")


def _seconds(value: Any) -> Any:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match:
        return int(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]
    if isinstance(value, str):
        raise ValueError("is not a duration. Fix: write seconds as a number, or 90s, 15m, 2h")  # noqa: TRY004
    return value


Seconds = Annotated[int, BeforeValidator(_seconds), Field(ge=60, le=7 * 24 * 3600)]
"""Seconds, 60 to 604,800; `90s`, `15m` and `2h` are accepted."""

Port = Annotated[int, Field(ge=1024, le=65535)]
"""A TCP port that a process without privileges can listen on."""


def _token_hash(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", value) or value == _NO_TOKEN:
        raise ValueError(
            "must be the SHA-256 of a token, in 64 lower-case hexadecimal digits. Fix: run `agentenv token`, keep the "
            "token that it prints, and write the hash here"
        )
    return value


TokenHash = Annotated[str, AfterValidator(_token_hash)]
"""SHA-256 of a bearer token: whoever reads it cannot make the token of it."""


class Pattern(StrEnum):
    """How long a session's container lives, and what is kept of it."""

    EPHEMERAL = "ephemeral"
    """One container a task, gone when it is done."""
    LONG_RUNNING = "long_running"
    """A container that stays and serves ports."""
    HYBRID = "hybrid"
    """An ephemeral container that loads its history and files at start and saves them."""
    SINGLE_CONTAINER = "single_container"
    """Several agents side by side in one container."""


class McpServer(Model):
    """An MCP server that an agent talks to over https: the wire's `BetaManagedAgentsURLMCPServerParams`."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    url: Annotated[str, AfterValidator(_mcp_url)]
    type: Literal["url"] = "url"


class Agent(Model):
    """One agent program's settings.

    Sessions do not time out by themselves: `max_turns` is what ends a run, and the policy pack demands it.
    """

    name: Annotated[Slug, AfterValidator(_agent_name)] = "agent"
    model: Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[A-Za-z0-9_.:/@\[\]-]+$")]
    """An alias (`sonnet`) or a full model id."""
    system: Annotated[str, StringConstraints(max_length=100_000)] | None = None
    max_turns: Annotated[int, Field(ge=1, le=10_000)] | None = None
    max_budget_usd: Annotated[float, Field(gt=0, le=100_000)] | None = None
    mcp_servers: Annotated[tuple[McpServer, ...], Field(max_length=20)] = ()
    allowed_tools: tuple[Annotated[str, StringConstraints(min_length=1, max_length=256)], ...] = ()


class Architecture(StrEnum):
    """Processor of the container; images are built for the ones that sessions ask for."""

    ARM64 = "arm64"
    X86_64 = "x86_64"


class Resources(Model):
    """What one run gets, at the least: each runtime rounds up to what it has."""

    cpu: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1
    """vCPU."""
    memory_gib: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1
    disk_gib: Annotated[int, Field(gt=0)] = 5
    architecture: Architecture = Architecture.X86_64
    spot: bool = False
    """May be stopped with two minutes' notice, for up to 70 % less."""


class Schedule(Model):
    """When an ephemeral session is started by itself, in EventBridge Scheduler's notation."""

    expression: str
    """`rate(1 hour)`, `cron(0 3 * * ? *)` or `at(2027-01-31T03:00:00)`."""
    timezone: str = "UTC"
    """IANA name."""
    prompt: str | None = None

    @model_validator(mode="after")
    def _well_formed(self) -> "Schedule":
        forms = (
            r"rate\((?:1 (?:minute|hour|day)|[1-9]\d{0,5} (?:minutes|hours|days))\)",
            r"cron\((?:[0-9A-Za-z*/,?#-]+ ){5}[0-9A-Za-z*/,?#-]+\)",
            r"at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\)",
        )
        if not any(re.fullmatch(form, self.expression) for form in forms):
            raise InvalidInput.of(
                "expression",
                self.expression,
                "is not a schedule",
                "write rate(1 hour), cron(0 3 * * ? *) with its six fields, or at(2027-01-31T03:00:00)",
            )
        if self.timezone not in available_timezones():
            raise InvalidInput.of("timezone", self.timezone, "is not an IANA time zone", "write it like Europe/Berlin")
        return self


class Session(Model):
    """A declared session: a definition that any number of runs may be started from."""

    name: Slug
    environment: str
    pattern: Pattern
    agent: Agent | None = None
    agents: Annotated[tuple[Agent, ...], Field(max_length=MOST_AGENTS)] = ()
    shared_folder: bool = False
    """Whether several agents of one container share `/workspace/shared`; they share no other file."""
    command: tuple[Annotated[str, StringConstraints(min_length=1, max_length=4096)], ...] = ()
    """A program of the team's own instead of the agent runner; arguments, no shell."""
    resources: Resources = Resources()
    ports: tuple[Port, ...] = ()
    """Of a long-running session's agents the first ones serve their conversations, one port each, in their order."""
    token_sha256: TokenHash | None = None
    """Hash of the token that a long-running session's agents ask of whoever talks to them."""
    idle_timeout: Seconds | None = None
    """A long-running session saves its state and ends after this long without work; None keeps it."""
    secrets: tuple[Secret, ...] = ()
    variables: dict[VariableName, Annotated[str, StringConstraints(max_length=4096)]] = Field(default_factory=dict)
    """Plain environment variables; never secrets."""
    mounts: tuple[Mount, ...] = ()
    """The `resources` list of the hosted API's sessions (there `resources` is taken by the size here)."""
    metadata: Annotated[dict[str, Annotated[str, StringConstraints(max_length=512)]], Field(max_length=16)] = Field(
        default_factory=dict
    )
    schedule: Schedule | None = None

    @property
    def all_agents(self) -> tuple[Agent, ...]:
        """`agent` and `agents` as one list; empty when `command` stands alone."""
        return (self.agent, *self.agents) if self.agent else self.agents

    @property
    def is_service(self) -> bool:
        """Whether its container stays up, rather than being started for each task."""
        return self.pattern is Pattern.LONG_RUNNING or (self.pattern is Pattern.SINGLE_CONTAINER and bool(self.ports))

    @property
    def is_supervised(self) -> bool:
        """Whether several agents share its container, each as a user of its own."""
        return len(self.all_agents) > 1 and not self.command

    @property
    def serves_agents(self) -> bool:
        """Whether its ports are those of the agent runner, rather than of a command of the team's own."""
        return self.is_service and bool(self.all_agents) and not self.command

    @property
    def model_route(self) -> Secret | None:
        """The model's credential that the gateway adds, so that no agent holds it; None if there is none."""
        return next((secret for secret in self.secrets if secret.name in MODEL_SECRETS), None)

    def to_wire(self) -> dict[str, Any]:
        """The JSON form, as in a stack file, without what was left at null or empty."""
        return self.model_dump(mode="json", exclude_none=True, exclude_defaults=True) | {
            "resources": self.resources.model_dump(mode="json")
        }

    @model_validator(mode="after")
    def _pattern_fits(self) -> "Session":
        problems = [
            *self._agent_problems(),
            *self._field_problems(),
            *self._service_problems(),
            *route_problems(self.secrets),
            *(() if self.command else refused_to_agents(self.secrets, file_requests(self.mounts))),
            *mount_problems(self.mounts, has_route=self.model_route is not None, has_command=bool(self.command)),
        ]
        if problems:
            raise InvalidInput(problems)
        return self

    def _agent_problems(self) -> list[Problem]:
        found = []
        if self.agent and self.agents:
            found.append(Problem("agents", "", "both agent and agents are given", "put all of them under agents"))
        if not self.all_agents and not self.command:
            found.append(
                Problem("agent", "", "a session needs something to run", "add agent, agents, or a command of your own")
            )
        several = (Pattern.SINGLE_CONTAINER, Pattern.LONG_RUNNING)
        if len(self.all_agents) > 1 and self.pattern not in several:
            found.append(
                Problem(
                    "agents",
                    f"{len(self.agents)} agents",
                    f"an {self.pattern} session runs one agent",
                    "declare one session for each, or use pattern single_container",
                )
            )
        if self.pattern is Pattern.SINGLE_CONTAINER and len(self.all_agents) < 2 and not self.command:
            found.append(
                Problem("agents", "", "single_container is for two agents or more", "add agents, or use ephemeral")
            )
        names = [agent.name for agent in self.all_agents]
        for index, name in enumerate(names):
            if name in names[:index]:
                found.append(
                    Problem(
                        f"agents[{index}].name",
                        show(name),
                        "two agents of one session have this name, and each name owns a work folder",
                        "give each agent a name of its own",
                    )
                )
        for index, agent in enumerate(self.all_agents):
            at = "agent" if self.agent else f"agents[{index}]"
            servers = [server.name for server in agent.mcp_servers]
            for position, server in enumerate(servers):
                if server in servers[:position]:
                    found.append(
                        Problem(
                            f"{at}.mcp_servers[{position}].name",
                            show(server),
                            "two MCP servers of one agent have this name",
                            "give each server a name of its own",
                        )
                    )
        return found

    def _field_problems(self) -> list[Problem]:
        found = []
        if self.schedule and self.pattern is not Pattern.EPHEMERAL:
            found.append(
                Problem("schedule", "", f"only an ephemeral session is scheduled, no {self.pattern} one", "remove it")
            )
        if self.schedule and self.schedule.prompt is None and not self.command:
            found.append(
                Problem(
                    "schedule.prompt", "", "a scheduled agent needs something to do", "say what, in schedule.prompt"
                )
            )
        if self.shared_folder and not self.is_supervised:
            found.append(
                Problem(
                    "shared_folder",
                    show(self.shared_folder),
                    "only several agents of one container share a folder",
                    "remove it; one agent's folder is /workspace",
                )
            )
        if self.ports and self.pattern not in (Pattern.LONG_RUNNING, Pattern.SINGLE_CONTAINER):
            found.append(
                Problem(
                    "ports",
                    show(list(self.ports)),
                    f"only long_running and single_container sessions serve ports, this one is {self.pattern}",
                    "remove them, or use pattern long_running",
                )
            )
        if len(set(self.ports)) < len(self.ports):
            found.append(Problem("ports", show(list(self.ports)), "a port is listed twice", "list each port once"))
        names = [secret.name for secret in self.secrets]
        for index, name in enumerate(names):
            if name in names[:index] or name in self.variables:
                found.append(
                    Problem(
                        f"secrets[{index}].name",
                        show(name),
                        "this name is already taken in this session",
                        "give each secret and variable a name of its own",
                    )
                )
        return found

    def _service_problems(self) -> list[Problem]:
        found = []
        if self.idle_timeout is not None and (
            self.pattern is not Pattern.LONG_RUNNING or not self.serves_agents or self.is_supervised
        ):
            found.append(
                Problem(
                    "idle_timeout",
                    show(self.idle_timeout),
                    "only a long_running session of one agent idles",
                    "remove it; a run ends when its prompts are answered, at max_turns at the latest",
                )
            )
        if self.serves_agents and len(self.ports) < len(self.all_agents):
            found.append(
                Problem(
                    "ports",
                    show(list(self.ports)),
                    f"each agent that stays up serves a port of its own, and there are {len(self.all_agents)}",
                    "list a port for each agent, like ports: [8080]",
                )
            )
        if self.serves_agents and self.token_sha256 is None:
            found.append(
                Problem(
                    "token_sha256",
                    "",
                    "whoever reaches the port of an agent that stays up could give it orders",
                    "run `agentenv token`, keep the token that it prints, and write the hash here",
                )
            )
        if self.token_sha256 is not None and not self.serves_agents:
            found.append(
                Problem(
                    "token_sha256",
                    NOT_SHOWN,
                    "only agents of a session that stays up ask for a token",
                    "remove it; a command of your own looks after its ports itself",
                )
            )
        return found
