"""The runner's lines for people: whatever an agent says is shown, and none of it reaches the terminal as a command."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
HIDDEN = frozenset({"result_part"})
"""Events that are for machines: the result is shown by itself."""
_COMMON = frozenset({"time", "event", "agent"})
MOST = 400
"""Characters of a tool's input or output that are shown."""


def clean(text: str) -> str:
    """Text with its control characters made visible, but for tabs and line ends."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text.replace("\r\n", "\n"))


def readable(line: str) -> str | None:
    """One line of a run's output for people; None for what they need not see. What is no event is shown as it is."""
    try:
        event = json.loads(line) if line.startswith("{") else None
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return clean(line)
    name = event["event"]
    if name in HIDDEN:
        return None
    at = str(event.get("time", ""))[11:19]
    agent = f"[{event['agent']}]" if event.get("agent") else ""
    try:
        told = _TELLERS.get(name, _other)(event)
    except (RecursionError, OverflowError):
        return clean(line)
    return clean(" ".join(filter(None, (at, agent, told))))


def _cut(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.rstrip()
    return text if len(text) <= MOST else f"{text[:MOST]}... ({len(text)} characters)"


def _other(event: Mapping[str, Any]) -> str:
    fields = (f"{name}={_cut(value)}" for name, value in event.items() if name not in _COMMON)
    return " ".join((str(event["event"]).replace("_", " "), *fields))


def _turn_ended(event: Mapping[str, Any]) -> str:
    cost = event.get("cost_usd")
    paid = f", ${cost:.4f}" if isinstance(cost, int | float) else ""
    return f"turn {event.get('turn', '')} ended: {event.get('outcome', '')}{paid}"


_TELLERS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "turn_started": lambda event: f"turn {event.get('turn', '')} started",
    "assistant_text": lambda event: str(event.get("text", "")),
    "tool_use": lambda event: f"> {event.get('tool', '')} {_cut(event.get('input', ''))}",
    "tool_result": lambda event: f"< {'error: ' if event.get('is_error') else ''}{_cut(event.get('text', ''))}",
    "turn_ended": _turn_ended,
    "session_ended": lambda event: f"session ended: {event.get('outcome', '')}",
    "error": lambda event: f"error: {event.get('problem', '')}",
}
