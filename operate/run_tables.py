"""Runs, services and results for people."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console
from rich.text import Text

from operate.events import clean
from operate.runs import RunInfo
from operate.tables import BAD, DIM, GOOD, row, table


def show_runs(console: Console, runs: Iterable[RunInfo]) -> None:
    """One line for each run and service."""
    made = table("Runs", ("run", "session", "environment", "status", "age", "outcome"))
    now = datetime.now(UTC)
    for info in runs:
        outcome = Text(info.outcome or "", style=GOOD if info.outcome == "success" else BAD)
        status = f"{info.status} (service)" if info.kind == "service" else info.status
        age = _span(now - info.started) if info.started else ""
        row(made, info.id, info.session, info.environment, status, age, outcome)
    if made.row_count:
        console.print(made)
    else:
        console.print(Text("nothing runs, and no run is remembered", style=DIM))


def result_text(result: Mapping[str, Any]) -> str:
    """What the agents answered: one text, or one for each under its name."""
    agents = [agent for agent in result.get("agents", ()) if isinstance(agent, Mapping)]
    texts = [(str(agent.get("name", "")), str(agent.get("text") or agent.get("error") or "")) for agent in agents]
    if len(texts) == 1:
        return clean(texts[0][1])
    return "\n\n".join(f"## {clean(name)}\n{clean(text)}" for name, text in texts)


def show_outcome(console: Console, info: RunInfo, result: Mapping[str, Any] | None) -> None:
    """How a run came out, in one line."""
    facts = [f"run {info.id}: {info.outcome}"]
    if info.started and info.ended:
        facts.append(_span(info.ended - info.started))
    agents = [agent for agent in (result or {}).get("agents", ()) if isinstance(agent, Mapping)]
    costs = [agent["cost_usd"] for agent in agents if isinstance(agent.get("cost_usd"), int | float)]
    if costs:
        facts.append(f"${sum(costs):.4f}")
    if info.conversation:
        facts.append(f"conversation {info.conversation}")
    if info.reason:
        facts.append(info.reason)
    style = GOOD if info.outcome == "success" else BAD
    console.print(Text(clean(", ".join(facts)), style=style), soft_wrap=True)


def _span(time: timedelta) -> str:
    seconds = max(0, int(time.total_seconds()))
    for size, unit, small, small_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            return f"{seconds // size} {unit} {seconds % size // small} {small_unit}"
    return f"{seconds} s"
