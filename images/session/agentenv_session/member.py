"""One of several agents, as its supervisor knows it: what it says is told in its name, whatever it says of itself."""

import json
import math
from dataclasses import dataclass, field
from typing import Any

from agentenv_session.events import Emit
from agentenv_session.outcomes import Outcome
from agentenv_session.results import AgentResult

_MOST_RESULT = 2 * 1024 * 1024
_PART_OVERHEAD = 256
"""What a part costs beyond its text: one without any is not for nothing."""
_NOT_ITS_OWN = ("session_started", "session_ended")
_MOST_CHARACTERS, _MOST_KINDS = 4096, 64
"""Of a reason, and of tokens: how many kinds are told, each by a name no longer than that."""
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What comes of JSON that somebody hostile wrote."""


@dataclass
class Member:
    """One agent.

    Attributes:
        name: The agent's.
        uid: Its user and group.
        prompts: What it is to do.
        token: Its token at the gateway; None where it has none.
        parts: Of its result document, by number.
        size: Of all parts.
        code: Its exit code; None while it runs.
        problem: Why it was not started, or not waited for; None where all went well.
    """

    name: str
    uid: int
    prompts: tuple[str, ...]
    token: str | None
    parts: dict[int, str] = field(default_factory=dict)
    size: int = 0
    code: int | None = None
    problem: str | None = None

    def said(self, text: bytes, emit: Emit) -> None:
        """Tell a line of its output: as the event that it is, or as output."""
        try:
            told = json.loads(text)
            if not isinstance(told, dict):
                raise TypeError("no event")
            event = str(told.pop("event"))
            told.pop("time", None)
            if event == "result_part":
                self._keep(told.get("part"), told.get("text"))
            elif event not in _NOT_ITS_OWN:
                # First of its fields: whatever is cut, the name is not.
                told.pop("agent", None)
                emit(event, {"agent": self.name, **told})
        except _UNREADABLE:
            emit("output", {"agent": self.name, "text": text.decode(errors="replace")})

    def _keep(self, part: object, piece: object) -> None:
        if not isinstance(part, int) or not isinstance(piece, str):
            return
        size = len(piece) + _PART_OVERHEAD
        if self.size + size <= _MOST_RESULT:
            self.parts[part] = piece
            self.size += size

    @property
    def outcome(self) -> Outcome:
        """By its exit code."""
        return next((outcome for outcome in Outcome if outcome.exit_code == self.code), Outcome.CRASH)

    def result(self) -> AgentResult:
        """What its own document says of it; that it failed, where there is none or it says something else."""
        outcome = self.outcome
        try:
            (about,) = json.loads("".join(text for _, text in sorted(self.parts.items())))["agents"]
            told = _read(self.name, about)
        except _UNREADABLE:
            told = None
        if told is not None and told.outcome is outcome:
            return told
        # Whoever ends well without a result has not ended well.
        without = Outcome.CRASH if outcome is Outcome.SUCCESS else outcome
        return AgentResult(self.name, without, error=self.problem or f"it left no result (exit code {self.code})")


def _read(name: str, about: dict[str, Any]) -> AgentResult:
    """An agent's part of a document, field by field: nothing else of what it wrote goes into the run's result.

    Raises:
        ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError: it is none.
    """
    cost = float(about.get("cost_usd", 0.0))
    if not math.isfinite(cost):
        raise ValueError("no number")
    result = AgentResult(
        name,
        Outcome(about["outcome"]),
        text=str(about.get("text", "")),
        error=str(about["error"])[:_MOST_CHARACTERS] if about.get("error") else None,
        turns=int(about.get("turns", 0)),
        cost_usd=cost,
        session_id=str(about.get("session_id", ""))[:_MOST_CHARACTERS],
    )
    kinds = [*about.get("usage", {}).items()][:_MOST_KINDS]
    result.add_usage({kind: count for kind, count in kinds if len(kind) <= _MOST_KINDS})
    return result
