"""The table of events in docs/sessions.md is what the runner writes: each event and each of its fields."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUNNER = ROOT / "images" / "session" / "agentenv_session"
EMITTERS = frozenset({"emit", "_emit", "_told"})
"""What the runner's functions that write an event are called."""
WHOSE = frozenset({"agent", "conversation"})
"""Fields that the page says of every event."""
ROW = re.compile(r"^\| (`[a-z_`, ]+`) \| (.+) \|$", re.MULTILINE)
WORD = re.compile(r"`([a-z_]+)`")


def written() -> dict[str, set[str]]:
    """Event -> its fields, as the code has them."""
    found: dict[str, set[str]] = defaultdict(set)
    for file in sorted(RUNNER.glob("*.py")):
        for call in ast.walk(ast.parse(file.read_text())):
            if isinstance(call, ast.Call) and name_of(call.func) in EMITTERS:
                for event in (one.value for one in call.args if isinstance(one, ast.Constant)):
                    found[str(event)] |= {field for one in call.args for field in fields(one)} - WHOSE
    return found


def name_of(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def fields(node: ast.expr) -> Iterator[str]:
    """Keys of a dictionary as it is written, those that are there only sometimes among them."""
    if isinstance(node, ast.IfExp):
        yield from fields(node.body)
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                yield from fields(value)
            elif isinstance(key, ast.Constant):
                yield str(key.value)


def told() -> dict[str, set[str]]:
    """Event -> its fields, as the page has them."""
    page = (ROOT / "docs" / "sessions.md").read_text()
    section = page[page.index("\n## Events\n") : page.index("\n## The result\n")]
    rows = ROW.findall(section)
    return {event: {*WORD.findall(about)} - WHOSE for events, about in rows for event in WORD.findall(events)}


def test_the_page_names_every_event_with_its_fields_and_no_other() -> None:
    code = written()
    assert len(code) > 15
    assert told() == code
