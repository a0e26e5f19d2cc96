"""Tables for people. Nothing that a stack or a container says is read as markup."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from operate.evidence import Evidence
from operate.explain import Answer, Verdict

GOOD, BAD, DIM = "green", "bold red", "dim"


def table(title: str, columns: Iterable[str]) -> Table:
    """An empty table."""
    made = Table(title=Text(title), title_justify="left", title_style="bold", header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def row(made: Table, *cells: object, style: str = "") -> None:
    """Add a row of plain text."""
    made.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in cells), style=style)


def show_answer(console: Console, answer: Answer) -> None:
    """One verdict."""
    made = Table.grid(padding=(0, 2))
    colour = GOOD if answer.verdict is Verdict.ALLOWED else BAD
    row(made, "host", f"{answer.host}:{answer.port}")
    row(made, "verdict", Text(answer.verdict, style=colour))
    row(made, "layer", answer.layer)
    if answer.field:
        label = "decided by" if answer.verdict is Verdict.ALLOWED else "field"
        row(made, label, answer.field)
    row(made, "sessions", ", ".join(answer.sessions) or "all of the environment")
    if answer.note:
        row(made, "note", answer.note)
    console.print(made)


def show_policy(console: Console, policy: Mapping[str, Any]) -> None:
    """The whole effective policy of an environment."""
    archived = ", archived" if policy["archived"] else ""
    console.print(
        Text(f"{policy['environment']} ({policy['runtime']}): {policy['networking']}{archived}", style="bold")
    )
    console.print(Text(f"policy {policy['policy_hash'][:12]}; {policy['told_by']}", style=DIM))
    hosts = table("Hosts", ("host", "port", "layer", "field", "sessions", "only at"))
    for entry in policy["hosts"]:
        names = ", ".join(entry["sessions"]) or "all"
        row(hosts, entry["host"], entry["port"], entry["layer"], entry["field"], names, entry["private_range"] or "")
    registries = policy["registries"]
    if registries["allowed"]:
        for registry in registries["hosts"] or ():
            row(hosts, registry["host"], registry["port"], "package registries", registries["field"], "all", "")
        if registries["hosts"] is None:
            row(hosts, "(list not known)", "", "package registries", registries["field"], "all", "")
    if policy["networking"] == "unrestricted":
        row(hosts, "any other", "any", "network", policy["field"], "all", "")
    console.print(hosts)
    if policy["routes"]:
        routes = table("Injected routes", ("base URL", "origin", "header", "sessions", "requests"))
        for route in policy["routes"]:
            paths = ", ".join(route["paths"]) or "all"
            row(routes, route["url"], route["origin"], route["header"], ", ".join(route["sessions"]), paths)
        console.print(routes)
    _pairs(console, "Limits of the gateway", policy["limits"].items())
    _pairs(console, "Blocked always", [(entry["range"], entry["what"]) for entry in policy["always_blocked"]])
    console.print(Text("What remains", style="bold"))
    for risk in policy["residual_risks"]:
        console.print(Text(f"- {risk}"))


def _pairs(console: Console, title: str, pairs: Iterable[Sequence[object]]) -> None:
    made = Table.grid(padding=(0, 2))
    for pair in pairs:
        row(made, *pair)
    console.print(Text(title, style="bold"))
    console.print(made)


def show_evidence(console: Console, evidence: Evidence) -> None:
    """What was tried, expected and seen."""
    made = table(f"{evidence.session} ({evidence.networking})", ("probe", "tried", "expected", "seen", ""))
    for result in evidence.results:
        seen = f"{result.seen} ({result.detail})" if result.detail else result.seen
        mark = Text("ok", style=GOOD) if result.ok else Text("DIFFERS", style=BAD)
        row(made, result.title, result.tried, result.expected[0], seen, mark)
    console.print(made)
    examined = evidence.examined
    console.print(Text(f"{examined.where}; image {examined.image}; {examined.engine}", style=DIM))
    wrong = [result.title for result in evidence.results if not result.ok]
    if wrong:
        console.print(Text(f"{len(wrong)} of {len(evidence.results)} differ: {', '.join(wrong)}", style=BAD))
    else:
        console.print(Text(f"all {len(evidence.results)} as expected", style=GOOD))
