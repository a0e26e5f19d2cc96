"""What all commands take, and how they tell what they wait for and what they have found."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from operate.evidence import Progress

StackName = Annotated[str | None, typer.Option("--stack", help="Pulumi stack; the selected one by default.")]
OutputsFile = Annotated[
    Path | None,
    typer.Option("--outputs", help="Read the outputs from a file (- for standard input) instead of asking Pulumi."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def print_json(document: Any) -> None:
    """One document on standard output."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


@contextmanager
def waiting(about: str) -> Iterator[Progress]:
    """A spinner with elapsed time on standard error, gone at the end; nothing where that is no terminal."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task(about, total=None)
        yield lambda what: shown.update(task, description=f"{about}: {what}")
