"""Session: who runs in an Environment, how long, with how much."""

import re
from enum import StrEnum
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from components.models.errors import InvalidInput, Model, Problem, show
from components.models.hosts import url_host

RESERVED_VARIABLES = frozenset(
    {
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_BASE_URL",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "CLAUDE_CONFIG_DIR",
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "NODE_USE_ENV_PROXY",
        "NO_PROXY",
    }
)
"""Environment variables that the runtime sets: a session that sets them would step round the fence or its keys."""

UNTOUCHED_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that say where a request goes or how it is framed: a credential never goes into one."""


def _slug(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?", value):
        raise ValueError(
            "must be 1 to 48 lower-case letters, digits and inner hyphens, since it becomes part of resource names. "
            "Fix: write it like nightly-report"
        )
    return value


Slug = Annotated[str, AfterValidator(_slug)]
"""A name that ends up in resource names, DNS labels and log streams."""


def _mcp_url(value: str) -> str:
    url_host(value)
    return value


def _origin(value: str) -> str:
    url_host(value)
    if urlsplit(value).path not in ("", "/") or "?" in value or "#" in value:
        raise ValueError("must be an origin: a scheme and a host. Fix: write it like https://api.example.com")
    return value.removesuffix("/")


def _credential_header(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", value) or value.lower() in UNTOUCHED_HEADERS:
        raise ValueError("is not a header that carries a credential. Fix: write it like authorization or x-api-key")
    return value.lower()


def _mount_path(value: str) -> str:
    parts = value.split("/")
    if parts[:2] != ["", "workspace"] or len(parts) < 3 or {"", ".", ".."} & set(parts[2:]) or not value.isprintable():
        raise ValueError("must lie below /workspace, without . and .. in it. Fix: write it like /workspace/report.csv")
    return value


MountPath = Annotated[str, AfterValidator(_mount_path), StringConstraints(max_length=1024)]


def _variable(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", value):
        raise ValueError("is not an environment variable's name. Fix: use letters, digits and underscores")
    if value.upper() in RESERVED_VARIABLES or value.upper().startswith("AGENTENV_"):
        raise ValueError("is set by the runtime and cannot be set by a session. Fix: choose another name")
    return value


VariableName = Annotated[str, AfterValidator(_variable)]

_SECRET_ARN = re.compile(
    r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[A-Za-z0-9/_+=.@-]{1,512}(?::[A-Za-z0-9_.-]+::)?"
)


_SECRET_FILE = re.compile(r"file:(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9_.@+-]{1,255}){1,32}")


def _secret_reference(value: str) -> str:
    if not _SECRET_ARN.fullmatch(value) and not _SECRET_FILE.fullmatch(value):
        raise ValueError(
            "must be a reference to a secret, never a secret's value: nothing secret belongs in a stack file, state or "
            "image. Fix: store the value in Secrets Manager and write its ARN "
            "(arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME), or in a file on the Docker host and write "
            "file:/etc/agentenv/NAME"
        )
    return value


SecretReference = Annotated[str, AfterValidator(_secret_reference)]
"""ARN of a Secrets Manager secret, with `:KEY::` behind it for one key of a JSON secret; or `file:` and the absolute
path of a file on the Docker host, whose content without its last line break is the secret."""

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

    name: Slug = "agent"
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


class Injection(Model):
    """Where the gateway puts a secret on the way out, so that the session never holds it."""

    origin: Annotated[str, AfterValidator(_origin)]
    """The one https origin that the secret is sent to."""
    header: Annotated[str, AfterValidator(_credential_header)]
    """Request header that carries it, e.g. `x-api-key` or `authorization`."""


class Secret(Model):
    """A secret that a session uses, by reference."""

    name: VariableName
    """The environment variable that holds it, or with `inject` the name of the gateway's route."""
    source: SecretReference
    inject: Injection | None = None


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


class FileMount(Model):
    """An uploaded file put into the container before the agent starts (wire: a session's `file` resource)."""

    type: Literal["file"]
    file_id: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    mount_path: MountPath | None = None


class RepositoryMount(Model):
    """A GitHub repository put into the container (wire: a session's `github_repository` resource)."""

    type: Literal["github_repository"]
    url: Annotated[str, StringConstraints(pattern=r"^https://github\.com/[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$")]
    checkout: Annotated[str, StringConstraints(max_length=255, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$")] | None = None
    mount_path: MountPath | None = None


Mount = Annotated[FileMount | RepositoryMount, Field(discriminator="type")]


class Session(Model):
    """A declared session: a definition that any number of runs may be started from."""

    name: Slug
    environment: str
    pattern: Pattern
    agent: Agent | None = None
    agents: tuple[Agent, ...] = ()
    command: tuple[Annotated[str, StringConstraints(min_length=1, max_length=4096)], ...] = ()
    """A program of the team's own instead of the agent runner; arguments, no shell."""
    resources: Resources = Resources()
    ports: tuple[Port, ...] = ()
    idle_timeout: Seconds | None = None
    """A long-running or hybrid session is stopped after this long without work; None keeps it."""
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

    def to_wire(self) -> dict[str, Any]:
        """The JSON form, as in a stack file, without what was left at null or empty."""
        return self.model_dump(mode="json", exclude_none=True, exclude_defaults=True) | {
            "resources": self.resources.model_dump(mode="json")
        }

    @model_validator(mode="after")
    def _pattern_fits(self) -> "Session":
        problems = [*self._agent_problems(), *self._field_problems()]
        if problems:
            raise InvalidInput(problems)
        return self

    def _agent_problems(self) -> list[Problem]:
        found = []
        if self.agent and self.agents:
            found.append(Problem("agents", "", "both agent and agents are given", "put all of them under agents"))
        if not self.all_agents and not self.command:
            found.append(
                Problem(
                    "agent",
                    "",
                    "a session needs something to run",
                    "add agent, agents, or a command of your own",
                )
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
                Problem(
                    "schedule",
                    "",
                    f"only an ephemeral session is scheduled, this one is {self.pattern}",
                    "remove it",
                )
            )
        if self.idle_timeout is not None and self.pattern not in (Pattern.LONG_RUNNING, Pattern.HYBRID):
            found.append(
                Problem(
                    "idle_timeout",
                    show(self.idle_timeout),
                    f"only long_running and hybrid sessions idle, this one is {self.pattern}",
                    "remove it; a run ends by max_turns",
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
