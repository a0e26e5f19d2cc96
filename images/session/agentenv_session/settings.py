"""What the container is told: its session's declaration and its task, both JSON in variables."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TASK_VERSION = 1
TASK_FIELDS = frozenset(
    {"version", "run", "prompt", "input", "prompts", "conversation", "resume", "agents", "state"},
)


class InvalidTask(ValueError):  # noqa: N818 - reads as what it is wherever it is raised
    """What the container is told cannot be carried out: one line with field, value, rule and fix."""


@dataclass(frozen=True)
class McpServer:
    """An MCP server over https."""

    name: str
    url: str


@dataclass(frozen=True)
class AgentSettings:
    """One agent, see the project's model of the same name.

    Attributes:
        name: Of the agent.
        model: Alias or id.
        system: Instructions; None for the program's own.
        max_turns: Limit over the whole run; None for none.
        max_budget_usd: The same in dollars.
        mcp_servers: Servers that it may talk to.
        allowed_tools: Tools that it may use, in the notation of Claude Code; empty for all.
    """

    name: str
    model: str
    system: str | None = None
    max_turns: int | None = None
    max_budget_usd: float | None = None
    mcp_servers: tuple[McpServer, ...] = ()
    allowed_tools: tuple[str, ...] = ()

    @classmethod
    def parse(cls, told: Mapping[str, Any]) -> "AgentSettings":
        """Of an agent in the declaration."""
        return cls(
            name=str(told.get("name", "agent")),
            model=str(told["model"]),
            system=told.get("system"),
            max_turns=told.get("max_turns"),
            max_budget_usd=told.get("max_budget_usd"),
            mcp_servers=tuple(McpServer(one["name"], one["url"]) for one in told.get("mcp_servers", [])),
            allowed_tools=tuple(told.get("allowed_tools", [])),
        )


@dataclass(frozen=True)
class Declaration:
    """The session, as its stack file declares it; what decides where it runs is left out."""

    name: str
    environment: str
    pattern: str
    agents: tuple[AgentSettings, ...] = ()
    ports: tuple[int, ...] = ()
    idle_timeout: int | None = None
    mounts: tuple[Mapping[str, Any], ...] = ()
    scheduled_prompt: str | None = None
    token_sha256: str | None = None
    shared_folder: bool = False

    @classmethod
    def parse(cls, text: str | None) -> "Declaration":
        """Of the variable `AGENTENV_SESSION`.

        Raises:
            InvalidTask: it is missing, or no declaration.
        """
        if not text:
            raise InvalidTask("AGENTENV_SESSION is not set. Fix: start the session with agentenv, or run pulumi up.")
        try:
            told = json.loads(text)
            agents = [*([told["agent"]] if "agent" in told else []), *told.get("agents", [])]
            return cls(
                name=told["name"],
                environment=told["environment"],
                pattern=told["pattern"],
                agents=tuple(AgentSettings.parse(agent) for agent in agents),
                ports=tuple(told.get("ports", [])),
                idle_timeout=told.get("idle_timeout"),
                mounts=tuple(told.get("mounts", [])),
                scheduled_prompt=(told.get("schedule") or {}).get("prompt"),
                token_sha256=told.get("token_sha256"),
                shared_folder=bool(told.get("shared_folder", False)),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidTask(
                f"AGENTENV_SESSION is no declaration of a session ({error!r}). Fix: run pulumi up."
            ) from None

    @property
    def is_service(self) -> bool:
        """Whether it stays up and serves ports."""
        return self.pattern == "long_running" or (self.pattern == "single_container" and bool(self.ports))


@dataclass(frozen=True)
class Task:
    """What one run is to do.

    Attributes:
        run: Its id; empty for what a schedule started.
        prompts: Turns, one after another.
        own: Agent -> its own turns, where several share the container; the others get `prompts`.
        conversation: Id of the kept conversation.
        resume: Whether its state must be there.
        tokens: Agent -> its token at the gateway.
        load: Address that the state is loaded from.
        save: Address that the state is saved to.
    """

    run: str = ""
    prompts: tuple[str, ...] = ()
    own: Mapping[str, str] = field(default_factory=dict)
    conversation: str | None = None
    resume: bool = False
    tokens: Mapping[str, str] = field(default_factory=dict)
    load: str | None = None
    save: str | None = None

    def prompts_of(self, agent: str) -> tuple[str, ...]:
        """The turns of one agent."""
        return (self.own[agent],) if agent in self.own else self.prompts

    @classmethod
    def parse(cls, text: str | None, declaration: Declaration) -> "Task":
        """Of a task document.

        Args:
            text: The document; None for a run that a schedule started.
            declaration: Of the session.

        Raises:
            InvalidTask: with field, rule and fix.
        """
        told = _object(text) if text else {"version": TASK_VERSION}
        if told.get("version") != TASK_VERSION:
            raise InvalidTask(
                f"task.version = {told.get('version')!r}: this image reads version {TASK_VERSION}. "
                "Fix: run pulumi up with the agentenv of the same release."
            )
        for name in sorted(told.keys() - TASK_FIELDS):
            raise InvalidTask(f"task.{name}: no such field. Fix: remove it.")
        if told.get("prompt") is not None and told.get("input"):
            raise InvalidTask("task.input: there is a prompt too. Fix: give one of the two.")
        prompts = tuple(_texts(told, "input")) or tuple(
            _texts({"prompt": [told["prompt"]]}, "prompt") if told.get("prompt") is not None else ()
        )
        own = _strings(told, "prompts")
        for name in sorted(own.keys() - {agent.name for agent in declaration.agents}):
            raise InvalidTask(f"task.prompts: session {declaration.name!r} has no agent {name!r}. Fix: remove it.")
        if not isinstance(told.get("resume", False), bool):
            raise InvalidTask(f"task.resume = {told['resume']!r}: must be true or false. Fix: start it with agentenv.")
        if not prompts and not own and declaration.scheduled_prompt:
            prompts = (declaration.scheduled_prompt,)
        state = told.get("state") or {}
        if not isinstance(state, Mapping):
            raise InvalidTask("task.state: must be an object with load and save. Fix: start the run with agentenv.")
        for place in ("load", "save"):
            if state.get(place) is not None and not str(state[place]).startswith("https://"):
                raise InvalidTask(f"task.state.{place}: must be an https address. Fix: start the run with agentenv.")
        return cls(
            run=str(told.get("run", "")),
            prompts=prompts,
            own=own,
            conversation=_text(told, "conversation"),
            resume=told.get("resume") is True,
            tokens=_strings(told, "agents"),
            load=state.get("load"),
            save=state.get("save"),
        )


def check_prompts(task: Task, declaration: Declaration) -> None:
    """Refuse a task that leaves an agent with nothing to do.

    Raises:
        InvalidTask: naming the agent.
    """
    for agent in declaration.agents:
        if not task.prompts_of(agent.name):
            raise InvalidTask(f"task.prompt: agent {agent.name!r} has nothing to do. Fix: give it a prompt.")


def _object(text: str) -> dict[str, Any]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidTask("task: is no JSON. Fix: start the run with agentenv.") from None
    if not isinstance(told, dict):
        raise InvalidTask("task: must be a JSON object. Fix: start the run with agentenv.")
    return told


def _text(told: Mapping[str, Any], name: str) -> str | None:
    found = told.get(name)
    if found is not None and not isinstance(found, str):
        raise InvalidTask(f"task.{name}: must be text. Fix: start the run with agentenv.")
    return found


def _texts(told: Mapping[str, Any], name: str) -> list[str]:
    found = told.get(name) or []
    if not isinstance(found, list) or not all(isinstance(one, str) and one.strip() for one in found):
        raise InvalidTask(f"task.{name}: must be text that says something. Fix: say what the agent is to do.")
    return found


def _strings(told: Mapping[str, Any], name: str) -> dict[str, str]:
    found = told.get(name) or {}
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise InvalidTask(f"task.{name}: must be an object of texts. Fix: start the run with agentenv.")
    return found
