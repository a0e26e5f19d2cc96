"""Orders: what a start asks for, checked before anything exists, and the task document that the runner reads."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import StringConstraints, TypeAdapter, ValidationError

from components.models.secrets import VariableName
from components.models.session import Pattern, Session
from operate.failures import usage
from operate.runs import Order

VERSION = 1
"""Of the task document."""
MOST_BYTES = 100_000
"""Of a task document in a variable: Linux takes 128 KiB for one variable, its name included."""
MOST_TURNS = 1000
MOST_VARIABLES = 100
_VALUE = TypeAdapter(Annotated[str, StringConstraints(max_length=4096, pattern=r"^[^\x00]*$")])
_NAME: TypeAdapter[str] = TypeAdapter(VariableName)
_CONVERSATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")


@dataclass(frozen=True)
class Asked:
    """What of a session decides which orders it takes.

    Attributes:
        name: The session's.
        pattern: The session's.
        agents: Names of its agents.
        own_command: Whether a program of the team's own runs instead of the agent runner.
        scheduled: What the agent does when nobody says anything else.
        service: Whether it stays up.
        variables: Names that the session itself gives a value or a secret.
    """

    name: str
    pattern: Pattern
    agents: tuple[str, ...]
    own_command: bool = False
    scheduled: str | None = None
    service: bool = False
    variables: frozenset[str] = frozenset()

    @property
    def supervised(self) -> bool:
        """Whether several agents share its container."""
        return len(self.agents) > 1 and not self.own_command

    @classmethod
    def of(cls, session: Session) -> "Asked":
        """Of a session's model."""
        return cls(
            name=session.name,
            pattern=session.pattern,
            agents=tuple(agent.name for agent in session.all_agents),
            own_command=bool(session.command),
            scheduled=session.schedule.prompt if session.schedule else None,
            service=session.is_service,
            variables=frozenset(session.variables) | {secret.name for secret in session.secrets},
        )

    @classmethod
    def told(cls, declaration: Mapping[str, Any], *, own_command: bool, variables: frozenset[str]) -> "Asked":
        """Of the declaration that the container is told, see `components.plans.task.declaration`."""
        agents = [*([declaration["agent"]] if "agent" in declaration else []), *declaration.get("agents", [])]
        pattern = Pattern(declaration["pattern"])
        return cls(
            name=str(declaration["name"]),
            pattern=pattern,
            agents=tuple(str(agent.get("name", "agent")) for agent in agents),
            own_command=own_command,
            scheduled=(declaration.get("schedule") or {}).get("prompt"),
            service=pattern is Pattern.LONG_RUNNING
            or (pattern is Pattern.SINGLE_CONTAINER and bool(declaration.get("ports"))),
            variables=variables,
        )


def check(order: Order, asked: Asked) -> None:
    """Refuse an order that the session cannot carry out.

    Raises:
        Failure: with the option, the rule and a fix.
    """
    _check_env(order.env, asked)
    ways = [order.prompt is not None or bool(order.prompts), bool(order.input)]
    if sum(ways) > 1:
        raise usage("--prompt and --input are both given, and an order has one of them. Fix: leave one out.")
    if len(order.input) > MOST_TURNS:
        raise usage(
            f"--input has {len(order.input)} prompts; a run takes {MOST_TURNS} at most. Fix: start several runs."
        )
    texts = [("--prompt", order.prompt), *(("--input", text) for text in (*order.input, *order.prompts.values()))]
    for option, text in texts:
        if text is not None and not text.strip():
            raise usage(f"{option} is empty, and an agent needs something to do. Fix: say what.")
    if order.conversation is not None:
        _check_conversation(order, asked)
    if asked.service:
        _check_service(order, asked)
    elif not asked.own_command:
        _check_prompts(order, asked)


def _check_env(env: Mapping[str, str], asked: Asked) -> None:
    if len(env) > MOST_VARIABLES:
        raise usage(f"--env is given {len(env)} times, and {MOST_VARIABLES} is the most. Fix: mount a file instead.")
    for name, value in env.items():
        try:
            _NAME.validate_python(name)
        except ValidationError as error:
            rule = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
            raise usage(f"--env {name!r} {rule}.") from None
        if name in asked.variables:
            raise usage(
                f"--env {name!r} is set by session {asked.name!r} itself, as a variable or a secret. "
                "Fix: choose another name, or change the stack file."
            )
        try:
            _VALUE.validate_python(value)
        except ValidationError:
            raise usage(
                f"--env {name!r}: a value is text of 4,096 characters at most. Fix: shorten it, or mount a file."
            ) from None


def _check_conversation(order: Order, asked: Asked) -> None:
    if asked.pattern is not Pattern.HYBRID:
        raise usage(
            f"Session {asked.name!r} is {asked.pattern}, and only hybrid sessions go on with a kept conversation. "
            "Fix: start it, or declare it with pattern hybrid."
        )
    check_conversation(order.conversation or "")


def check_conversation(conversation: str) -> str:
    """The id of a conversation, as it was given.

    Raises:
        Failure: it is none.
    """
    if not _CONVERSATION.fullmatch(conversation):
        raise usage(
            f"{conversation!r} is no id of a conversation: letters, digits and hyphens, 64 at most. "
            "Fix: agentenv list --json shows them."
        )
    return conversation


def _check_service(order: Order, asked: Asked) -> None:
    if order.input or order.prompts:
        raise usage(
            f"Session {asked.name!r} stays up and takes one message at a time, not --input. "
            "Fix: use --prompt, or POST /messages at its port."
        )
    if order.env:
        raise usage(
            f"Session {asked.name!r} stays up with the variables of the stack file, without --env. "
            "Fix: set variables in the stack file and run pulumi up."
        )
    if order.prompt is not None and (asked.own_command or not asked.agents):
        raise usage(
            f"Session {asked.name!r} runs a command of its own, which takes no --prompt. Fix: talk to its own port."
        )


def _check_prompts(order: Order, asked: Asked) -> None:
    strangers = sorted(order.prompts.keys() - set(asked.agents))
    if strangers:
        raise usage(
            f"--input has a prompt for {strangers[0]!r}, and session {asked.name!r} has no such agent. "
            f"Fix: use one of: {', '.join(asked.agents)}."
        )
    if order.input and len(asked.agents) > 1:
        raise usage(
            f"--input is a list of prompts, and session {asked.name!r} has several agents. "
            'Fix: write one prompt for each, like {"' + asked.agents[0] + '": "..."}, or use --prompt for all.'
        )
    if order.prompts and order.prompt is None:
        without = [name for name in asked.agents if name not in order.prompts]
        if without:
            raise usage(
                f"--input has no prompt for agent {without[0]!r}, which then has nothing to do. "
                "Fix: add one, or give all others a --prompt."
            )
    if not order.asks and asked.scheduled is None:
        raise usage(f"Session {asked.name!r} runs an agent, which needs something to do. Fix: add --prompt or --input.")


def task_document(
    order: Order,
    run: str,
    agents: Mapping[str, str] | None = None,
    state: Mapping[str, str | None] | None = None,
) -> dict[str, Any]:
    """The task document of a run.

    Args:
        order: Checked.
        run: Id of the run.
        agents: Agent -> its token at the gateway.
        state: `load` and `save`, the addresses of the conversation's state; None where it is in a volume.
    """
    found: dict[str, Any] = {"version": VERSION, "run": run}
    if order.prompt is not None:
        found["prompt"] = order.prompt
    if order.input:
        found["input"] = list(order.input)
    if order.prompts:
        found["prompts"] = dict(order.prompts)
    if order.conversation is not None:
        found["conversation"] = order.conversation
    if order.resume:
        found["resume"] = True
    if agents:
        found["agents"] = dict(agents)
    if state:
        found["state"] = dict(state)
    return found


def encoded(document: Mapping[str, Any], most: int = MOST_BYTES) -> str:
    """A task document as text.

    Args:
        document: See :func:`task_document`.
        most: Bytes that it must have fewer than: what one variable holds, or more for what is not in a variable.

    Raises:
        Failure: it is too long.
    """
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        raise usage("The prompt is no text: it has half a character (a lone surrogate). Fix: remove it.") from None
    if length >= most:
        raise usage(
            f"The task has {length:,} bytes, and {most:,} is too many for what carries it. "
            "Fix: shorten the prompt, and let the agent read long texts from a mounted file."
        )
    return text


def parse_input(text: str, *, as_json: bool) -> tuple[str | None, tuple[str, ...], dict[str, str]]:
    """What a file given as `--input` asks for.

    Args:
        text: Its content.
        as_json: Whether it must be JSON, as its name says.

    Returns:
        One prompt, or several to be answered one after another, or one for each agent.

    Raises:
        Failure: it must be JSON and is none, or neither a list of texts nor an object of texts.
    """
    try:
        found: Any = json.loads(text) if as_json or text.lstrip()[:1] in ("[", "{") else text
    except (ValueError, RecursionError) as error:
        if as_json:
            raise usage(
                f"--input is not JSON ({error}). Fix: write a list of prompts, or an object agent: prompt."
            ) from None
        found = text
    if isinstance(found, str):
        return found, (), {}
    if isinstance(found, list) and found and _texts(found):
        return None, tuple(found), {}
    if isinstance(found, dict) and found and _texts(list(found.values())):
        return None, (), found
    if not as_json:
        return text, (), {}
    raise usage("--input is JSON of another form. Fix: write a list of prompts, or an object agent: prompt.")


def _texts(values: Sequence[object]) -> bool:
    return all(isinstance(value, str) for value in values)
