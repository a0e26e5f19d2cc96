"""Prints every case of the suite as Markdown tables, by topic: `python -m tests.attack.catalogue`."""

import importlib
import sys
from pathlib import Path

from tests.attack.cases import CATALOGUE
from tests.attack.rig.gateway import PACKAGE


def main() -> None:
    """Import the modules that define cases, in their order, and print what they registered."""
    sys.path.insert(0, str(PACKAGE))
    for module in sorted(Path(__file__).parent.glob("test_*.py")):
        importlib.import_module(f"{__package__}.{module.stem}")
    for topic, cases in CATALOGUE.items():
        sys.stdout.write(f"### {topic}\n\n| case | what is tried | expected |\n|---|---|---|\n")
        for case in cases:
            title, expected = (text.replace("|", "\\|") for text in (case.title, case.expected))
            sys.stdout.write(f"| `{case.id}` | {title} | {expected} |\n")
        sys.stdout.write("\n")


if __name__ == "__main__":
    main()
