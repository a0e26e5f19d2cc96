"""Waiting for a run in the foreground: to its end, or until somebody interrupts."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import typer
from rich.console import Console

from operate.events import readable
from operate.failures import Exit, Failure
from operate.options import print_json, waiting
from operate.run_tables import result_text, show_outcome
from operate.runs import RunInfo, Runs

INTERRUPTED, BROKEN_PIPE = 130, 141
"""128 and the number of the signal, as shells have it."""


def attend(runs: Runs, info: RunInfo, *, follow: bool, as_json: bool) -> None:
    """Wait for the end of a run, show what came of it, and exit with its code.

    Args:
        runs: That know it.
        info: The run.
        follow: Whether to show what it does as it does it.
        as_json: Whether machines read it: with `follow` its own lines, else one document.

    Raises:
        Exit: always, with the run's exit code.
        Failure: it cannot be waited for, or left no result.
    """
    with _interruptible(runs, info):
        if follow:
            for line in runs.lines(info, follow=True):
                shown = line if as_json else readable(line)
                if shown is not None:
                    sys.stdout.write(shown + "\n")
                    sys.stdout.flush()
        with waiting(f"run {info.id}") as progress:
            info = runs.wait(info, progress)
    show(runs, info, quiet=follow, as_json=as_json)


def show(runs: Runs, info: RunInfo, *, quiet: bool, as_json: bool) -> None:
    """Show how a run came out, and exit with its code.

    Args:
        runs: That know it.
        info: A run that has ended.
        quiet: Whether its answer has been shown already.
        as_json: Whether machines read it.

    Raises:
        Exit: always.
        Failure: it left no result.
    """
    errors = Console(stderr=True)
    result: Mapping[str, Any] | None = None
    problem: Failure | None = None
    try:
        result = runs.result(info)
    except Failure as failure:
        problem = failure
    if as_json and not quiet:
        print_json(info.to_json() | {"result": result, "problem": str(problem) if problem else None})
    elif not as_json:
        if result is not None and not quiet and (text := result_text(result)):
            sys.stdout.write(text.rstrip("\n") + "\n")
        sys.stdout.flush()
        show_outcome(errors, info, result)
    if problem is not None:
        sys.stderr.write(f"agentenv: {problem}\n")
    raise typer.Exit(info.exit_code or (Exit.UNREACHABLE if problem or info.exit_code is None else Exit.OK))


@contextmanager
def _interruptible(runs: Runs, info: RunInfo) -> Iterator[None]:
    """Whoever interrupts the waiting ends the run too; a second time, that is left to the background."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, BrokenPipeError) as interruption:
        code = _code(interruption)
        _tell(f"stopping run {info.id}, which saves what it has; interrupt again not to wait for that")
        try:
            with waiting(f"run {info.id}") as progress:
                ended = runs.stop(info, progress)
            _tell(f"run {info.id} was stopped ({ended.outcome}) and removed")
        except (KeyboardInterrupt, SystemExit):
            runs.detach(replace(info, status="stopping"))
            _tell(f"run {info.id} is being stopped and removed in the background")
        raise typer.Exit(code) from None


def _code(interruption: BaseException) -> int:
    if isinstance(interruption, SystemExit) and isinstance(interruption.code, int):
        return interruption.code
    if isinstance(interruption, BrokenPipeError):
        # Whoever read is gone; what is still to be flushed at the end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return INTERRUPTED


def _tell(text: str) -> None:
    sys.stderr.write(f"agentenv: {text}\n")
