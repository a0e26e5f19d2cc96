"""Runs and services as commands see them: the same words on both runtimes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from operate.evidence import Progress

Status = Literal["starting", "running", "stopping", "ended"]
Kind = Literal["run", "service"]


@dataclass(frozen=True)
class Order:
    """What is to be started.

    Attributes:
        session: Name of the session.
        prompt: What its agent is to do; None where `input`, `prompts` or the session itself says it.
        input: Several prompts, answered one after another.
        env: Further variables of the container.
        conversation: Id of the kept conversation to go on with; None begins one where the session keeps any.
        resume: Whether the conversation's state must be there already.
        prompts: Agent -> its own prompt, where several share a container.
    """

    session: str
    prompt: str | None = None
    input: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    conversation: str | None = None
    resume: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)

    @property
    def asks(self) -> bool:
        """Whether it says what is to be done."""
        return self.prompt is not None or bool(self.input) or bool(self.prompts)


@dataclass(frozen=True)
class RunInfo:
    """A run or a service, as its runtime tells of it.

    Attributes:
        id: Opaque and printable; a service's is its session's name.
        session: Name of the session.
        environment: Name of its environment.
        status: Where it is on its way.
        started: When its container started.
        ended: When its container ended.
        exit_code: Of its container.
        outcome: See `operate.results.OUTCOMES`; None while it runs.
        image: Digest or id of the image that it runs.
        policy_hash: Of the egress policy that was in force at its start; empty when not known.
        conversation: Id of its kept conversation.
        reason: What the runtime says of its end, beyond the exit code.
        kind: `run` for what ends with its task.
    """

    id: str
    session: str
    environment: str
    status: Status
    started: datetime | None
    ended: datetime | None
    exit_code: int | None
    outcome: str | None
    image: str
    policy_hash: str
    conversation: str | None
    reason: str | None
    kind: Kind

    def to_json(self) -> dict[str, Any]:
        """As JSON; times in UTC."""
        return asdict(self) | {"started": _text(self.started), "ended": _text(self.ended)}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "RunInfo":
        """What :meth:`to_json` gave.

        Raises:
            KeyError: a field is missing.
            ValueError: a time is none.
        """
        known = {name: told[name] for name in cls.__dataclass_fields__}
        return cls(**known | {"started": _time(known["started"]), "ended": _time(known["ended"])})


NOTHING = RunInfo(
    id="",
    session="",
    environment="",
    status="ended",
    started=None,
    ended=None,
    exit_code=None,
    outcome=None,
    image="",
    policy_hash="",
    conversation=None,
    reason=None,
    kind="run",
)
"""A run of which nothing is known."""


@dataclass(frozen=True)
class Kept:
    """A conversation that a hybrid session has kept.

    Attributes:
        id: Opaque and printable.
        session: Name of its session.
        environment: Name of the session's environment.
        created: When its state was first made room for.
        run: Id of the run that goes on with it at this moment.
    """

    id: str
    session: str
    environment: str
    created: datetime | None
    run: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON; the time in UTC."""
        return asdict(self) | {"created": _text(self.created)}


class Runs(Protocol):
    """Runs and services of a stack on one runtime. Every method raises `Failure` where the runtime refuses."""

    def start(self, order: Order, progress: Progress) -> RunInfo:
        """Start a run; of a service, the service. Returns as soon as its container has been started."""
        ...

    def detach(self, info: RunInfo) -> None:
        """Let a run that this process has started go on without it. Where nobody has to look after runs: nothing.

        A run whose status is `stopping` is also ended by force when it does not end in time.
        """
        ...

    def list(self, session: str | None) -> "list[RunInfo]":
        """All that is known of the stack, the newest first; services too."""
        ...

    def find(self, name: str) -> RunInfo:
        """The run of this id, the service of this session's name, or the newest run of this conversation.

        Of a conversation whose runs nobody remembers: a run that has ended, with the conversation's id as its own.
        `Failure` when there is none of them.
        """
        ...

    def lines(self, info: RunInfo, follow: bool) -> Iterator[str]:  # noqa: FBT001 - read at each call by its name
        """What it wrote to its output, without line ends; with `follow` until it has ended."""
        ...

    def wait(self, info: RunInfo, progress: Progress) -> RunInfo:
        """Wait for its end."""
        ...

    def result(self, info: RunInfo) -> dict[str, object]:
        """The result document of a run that has ended."""
        ...

    def stop(self, info: RunInfo, progress: Progress) -> RunInfo:
        """Ask it to save and end, and wait for that."""
        ...

    def resume(self, info: RunInfo, order: Order, progress: Progress) -> RunInfo:
        """Go on with a run's conversation in a new run; of a service, start it again.

        Of the order the session and the conversation are those of `info`.
        """
        ...

    def conversations(self) -> Sequence[Kept]:
        """All kept conversations of the stack."""
        ...

    def forget(self, conversation: str) -> None:
        """Remove what is kept of a conversation; `Failure` while a run goes on with it, or when there is none."""
        ...


def _text(time: datetime | None) -> str | None:
    return time.astimezone(UTC).isoformat(timespec="microseconds") if time else None


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
