"""The result document: how a run ended and what its agents answered, as the last lines of the log."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentenv_session.events import Emit
from agentenv_session.outcomes import Outcome, worst

VERSION = 1
PART_CHARACTERS = 1200
"""Of one part: even where each character takes six bytes in JSON, the line fits."""
_MOST_CHARACTERS = 256 * 1024


@dataclass
class AgentResult:
    """How one agent did.

    Attributes:
        name: The agent's.
        outcome: In a word.
        text: Its final answer.
        error: What went wrong.
        turns: Requests of the agent loop.
        cost_usd: By list price.
        usage: Tokens, by kind.
        session_id: The SDK's id of the conversation.
    """

    name: str
    outcome: Outcome = Outcome.SUCCESS
    text: str = ""
    error: str | None = None
    turns: int = 0
    cost_usd: float = 0.0
    usage: dict[str, int] = field(default_factory=dict)
    session_id: str = ""

    def add_usage(self, usage: Mapping[str, Any]) -> None:
        """Count the tokens of a turn too."""
        for kind, count in usage.items():
            if isinstance(count, int) and not isinstance(count, bool):
                self.usage[kind] = self.usage.get(kind, 0) + count

    def to_json(self) -> dict[str, Any]:
        """As it stands in the document."""
        return {
            "name": self.name,
            "outcome": self.outcome.value,
            "text": self.text[:_MOST_CHARACTERS],
            **({"error": self.error} if self.error else {}),
            "turns": self.turns,
            "cost_usd": round(self.cost_usd, 6),
            "usage": self.usage,
            "session_id": self.session_id,
        }


def document(
    *,
    run: str,
    session: str,
    environment: str,
    conversation: str | None,
    started: str,
    ended: str,
    agents: Sequence[Mapping[str, Any]],
    outcome: Outcome | None = None,
) -> dict[str, Any]:
    """The result document; without an outcome it is the worst of the agents'."""
    outcome = outcome or worst(Outcome(agent["outcome"]) for agent in agents)
    return {
        "version": VERSION,
        "run": run,
        "session": session,
        "environment": environment,
        **({"conversation": conversation} if conversation else {}),
        "outcome": outcome.value,
        "exit_code": outcome.exit_code,
        "started": started,
        "ended": ended,
        "agents": list(agents),
    }


def tell(told: Mapping[str, Any], emit: Emit) -> None:
    """Send the document in parts, then the end."""
    parts = [*_parts(json.dumps(told, ensure_ascii=False))]
    for number, text in enumerate(parts):
        emit("result_part", {"part": number, "parts": len(parts), "text": text})
    emit("session_ended", {"outcome": told["outcome"], "exit_code": told["exit_code"]})


def _parts(text: str) -> Iterator[str]:
    for start in range(0, len(text), PART_CHARACTERS):
        yield text[start : start + PART_CHARACTERS]
