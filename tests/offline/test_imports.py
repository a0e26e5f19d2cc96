"""A deployment uses nothing of the stand-ins."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEPLOYED = ("components", "images", "infra", "operate", "policies")


def imported(file: Path) -> set[str]:
    """First parts of the names that a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_nothing_that_is_deployed_imports_a_stand_in_or_a_test() -> None:
    files = [file for folder in DEPLOYED for file in (ROOT / folder).rglob("*.py")]
    assert len(files) > 150
    assert [str(file) for file in files if imported(file) & {"benchmarks", "offline", "tests"}] == []
