"""Writes the table of docs/security.md from the suite's cases: `python -m tests.attack.table`.

With `--check` it writes nothing, and says whether the table is stale.
"""

import argparse
import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.attack.cases import CATALOGUE, Case
from tests.attack.inside.cases import AT_GATEWAY, INSIDE
from tests.attack.rig.gateway import PACKAGE

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "security.md"
BEGIN, END = (f"<!-- {which} of what `python -m tests.attack.table` writes -->\n" for which in ("begin", "end"))
HEAD = "| case | what is tried | expected | at the gateway process | from inside, on Docker |\n|---|---|---|---|---|\n"
FOLDERS = {HERE: "tests.attack", HERE / "inside": "tests.attack.inside"}


def table() -> str:
    """Both registries as Markdown, a section for each topic.

    Raises:
        ValueError: `AT_GATEWAY` names a case that is not there.
    """
    # Where the gateway's own package is, which some of the modules import.
    sys.path.insert(0, str(PACKAGE))
    for folder, package in FOLDERS.items():
        for module in sorted(folder.glob("test_*.py")):
            importlib.import_module(f"{package}.{module.stem}")
    unknown = {*AT_GATEWAY} - _ids(INSIDE) | {*AT_GATEWAY.values()} - _ids(CATALOGUE)
    if unknown:
        raise ValueError(f"AT_GATEWAY names cases that are not there: {', '.join(sorted(unknown))}")
    inside = {at_gateway: name for name, at_gateway in AT_GATEWAY.items()}
    sections = [
        _section(topic, [(case, "seen", _as(inside.get(case.id))) for case in cases])
        for topic, cases in CATALOGUE.items()
    ]
    sections += [
        _section(
            f"Docker: {topic[0].lower()}{topic[1:]}", [(case, _as(AT_GATEWAY.get(case.id)), "seen") for case in cases]
        )
        for topic, cases in INSIDE.items()
    ]
    return "\n".join(sections)


def _ids(registry: Mapping[str, Sequence[Case]]) -> set[str]:
    return {case.id for cases in registry.values() for case in cases}


def _as(name: str | None) -> str:
    return f"seen, as `{name}`" if name else ""


def _section(topic: str, rows: Sequence[tuple[Case, str, str]]) -> str:
    lines = [
        f"| `{case.id}` | {_cell(case.title)} | {_cell(case.expected)} | {gateway} | {docker} |\n"
        for case, gateway, docker in rows
    ]
    return f"### {topic}\n\n{HEAD}{''.join(lines)}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: Sequence[str]) -> int:
    """Write the table into its place; with `--check` return 1 when the document has another."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack.table", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 when the table is stale")
    only_check = parser.parse_args(arguments).check
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = f"{before}{BEGIN}\n{table()}\n{END}{after}"
    if text == wanted:
        return 0
    if only_check:
        sys.stderr.write(f"{DOCUMENT}: is not what the cases say. Fix: run python -m tests.attack.table\n")
        return 1
    DOCUMENT.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
