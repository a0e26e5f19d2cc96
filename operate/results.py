"""Results: how a run came out, and the result document out of the lines that the runner printed."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from operate.failures import Exit, Failure
from operate.runs import RunInfo

OUTCOMES: Mapping[int, str] = {
    0: "success",
    10: "agent_error",
    11: "limit_reached",
    12: "refused_by_policy",
    13: "save_failed",
    70: "crash",
    78: "invalid_task",
    143: "stopped",
}
"""Exit code of the runner -> outcome."""
VERSION = 1
"""Of the result document."""
MOST_BYTES = 16 * 1024 * 1024
"""Of a result document: 20 agents with 256 KiB of text each, escaped."""
MOST_DEPTH = 32
"""Of what is in one: each level of a document is one of Python's stack, too."""
MOST_SAID = 500
"""Characters of what was seen instead of one."""
_PARTS = "result_part"


def outcome(exit_code: int | None, *, own_command: bool = False) -> str | None:
    """What an exit code of a container says; None for none.

    A code that the runner does not have is a crash of it. A command of the team's own has codes of its own: all but
    those of success and of SIGTERM are its error.
    """
    if exit_code is None:
        return None
    if own_command:
        return OUTCOMES[exit_code] if exit_code in (0, 143) else "agent_error"
    return OUTCOMES.get(exit_code, "crash")


class _Part(BaseModel):
    # An agent may have written it, so no type is what it should be by itself; what is new may be there too.
    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class _Agent(_Part):
    name: str = ""
    outcome: str | None = None
    text: str | None = None
    error: str | None = None
    turns: int | None = None
    cost_usd: float | None = None


class _Document(_Part):
    version: int
    run: str | None = None
    session: str | None = None
    environment: str | None = None
    outcome: str | None = None
    exit_code: int | None = None
    started: str | None = None
    ended: str | None = None
    conversation: str | None = None
    agents: list[_Agent] = []


class Reader:
    """Puts the result document together out of the lines of a run, as they come."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._wanted = self._size = self._lines = 0
        self._problem = ""
        self._error = ""
        self._last = ""

    def read(self, line: str) -> None:
        """Take one line of the run's output; any that is no event is passed over."""
        self._lines += 1
        if '"event"' not in line:
            self._last = line.strip()[:MOST_SAID] or self._last
            return
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(event, dict):
            return
        if event.get("event") == _PARTS:
            self._part(event)
        elif event.get("event") == "error":
            self._error = str(event.get("problem", ""))[:MOST_SAID]

    def _part(self, event: Mapping[str, Any]) -> None:
        number, wanted, text = event.get("part"), event.get("parts"), event.get("text")
        if not isinstance(number, int) or not isinstance(wanted, int) or not isinstance(text, str):
            self._problem = "a part of it has no number or no text"
            return
        if number == 0:
            # A later result takes the place of an earlier one: what is printed last was known last.
            self._parts, self._wanted, self._size, self._problem = [], wanted, 0, ""
        if number != len(self._parts) or wanted != self._wanted:
            self._problem = self._problem or f"part {number} came after {len(self._parts)} of {self._wanted}"
            return
        self._size += len(text)
        if self._size > MOST_BYTES:
            self._problem = f"it is longer than {MOST_BYTES:,} characters"
            return
        self._parts.append(text)

    def result(self, run: str) -> dict[str, object]:
        """The document.

        Raises:
            Failure: it is not there as a whole; with what was seen instead.
        """
        if not self._wanted and not self._problem:
            said = f"; {self._error or self._last}" if self._error or self._last else ""
            raise _lost(run, f"none of its {self._lines} lines is a part of one{said}")
        if self._problem or len(self._parts) < self._wanted:
            raise _lost(run, self._problem or f"{len(self._parts)} of {self._wanted} parts were printed")
        try:
            document = json.loads("".join(self._parts), parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise _lost(run, f"its parts are not JSON ({error})") from None
        if not isinstance(document, dict) or document.get("version") != VERSION:
            raise _lost(run, f"it is not of version {VERSION}")
        if _is_deep(document):
            raise _lost(run, f"it is more than {MOST_DEPTH} levels deep")
        try:
            _Document.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            raise _lost(run, f"its {'.'.join(map(str, first['loc']))} is wrong: {first['msg']}") from None
        return document


def joined(lines: Iterable[str], run: str) -> dict[str, object]:
    """The result document of a run out of all its lines.

    Args:
        lines: What the runner printed.
        run: The run's id, for the error.

    Raises:
        Failure: it is not there as a whole; with what was seen instead.
    """
    reader = Reader()
    for line in lines:
        reader.read(line)
    return reader.result(run)


def of_command(info: RunInfo) -> dict[str, object]:
    """The result of a session that runs a command of its own: its exit code is all that is known."""
    told = info.to_json()
    return {
        "version": VERSION,
        "run": info.id,
        "session": info.session,
        "environment": info.environment,
        "outcome": info.outcome,
        "exit_code": info.exit_code,
        "started": told["started"],
        "ended": told["ended"],
        "agents": [],
    }


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is none of its numbers")


def _is_deep(document: object) -> bool:
    level = [document]
    for _ in range(MOST_DEPTH):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return bool(level)


def _lost(run: str, seen: str) -> Failure:
    return Failure(f"Run {run} left no result: {seen}. Fix: agentenv logs {run} shows what it did.", Exit.UNREACHABLE)
