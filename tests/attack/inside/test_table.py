"""The table of docs/security.md says what the suite's cases say."""

import subprocess
import sys

from tests.attack.table import BEGIN, DOCUMENT, END
from tests.deployment import ROOT


def test_the_table_is_what_the_cases_say() -> None:
    # In a process of its own: the order of the sections is that in which the modules are imported.
    command = [sys.executable, "-m", "tests.attack.table", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_the_document_has_one_place_for_it() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert (text.count(BEGIN), text.count(END)) == (1, 1)
