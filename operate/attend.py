"""Waiting for a run in the foreground: to its end, or until somebody interrupts."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import typer
from rich.console import Console

from operate.events import readable
from operate.failures import Exit, Failure, tell
from operate.options import print_json, waiting
from operate.run_tables import result_text, show_outcome
from operate.runs import RunInfo, Runs

HUNG_UP, INTERRUPTED, BROKEN_PIPE = 129, 130, 141
"""128 and the number of the signal, as shells have it."""


def attend(runs: Runs, info: RunInfo, held: ExitStack, *, follow: bool, as_json: bool) -> None:
    """Wait for the end of a run, show what came of it, and exit with its code.

    Args:
        runs: That know it.
        info: The run.
        held: Signals since its start; let through as soon as they find somebody who attends to it.
        follow: Whether to show what it does as it does it.
        as_json: Whether machines read it: with `follow` its own lines, else one document.

    Raises:
        Exit: always, with the run's exit code.
        Failure: it cannot be waited for, or left no result.
    """
    with _interruptible(runs, info):
        held.close()
        if follow:
            show_lines(f"run {info.id}", runs.lines(info, follow=True), as_json=as_json)
        with waiting(f"run {info.id}") as progress:
            info = runs.wait(info, progress)
    show(runs, info, quiet=follow, as_json=as_json)


def show_lines(about: str, lines: Iterable[str], *, as_json: bool) -> None:
    """Show what a run or a service says, as it says it.

    Args:
        about: What is waited for until its first line.
        lines: Its output.
        as_json: Whether to show its own lines as they are.
    """
    told = (shown for line in lines if (shown := line if as_json else readable(line)) is not None)
    with waiting(about) as progress:
        progress("waiting for its first line")
        first = next(told, None)
    while first is not None:
        sys.stdout.write(first + "\n")
        sys.stdout.flush()
        first = next(told, None)


def code_of(info: RunInfo, problem: Failure | None) -> int:
    """What a command about a run that has ended exits with: its code, and never 0 for one without a result."""
    return info.exit_code or (Exit.UNREACHABLE if problem or info.exit_code is None else Exit.OK)


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
        with waiting(f"run {info.id}") as progress:
            progress("collecting the result")
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
        tell(str(problem))
    raise typer.Exit(code_of(info, problem))


@contextmanager
def _interruptible(runs: Runs, info: RunInfo) -> Iterator[None]:
    """Whoever interrupts the waiting ends the run too; a second time, that is left to the background.

    A terminal that hangs up ends nothing, nor does an error of the waiting: the run goes on in the background.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit, BrokenPipeError) as interruption:
        code = _code(interruption)
        if code == HUNG_UP:
            runs.detach(info)
            raise typer.Exit(code) from None
        tell(f"stopping run {info.id}, which saves what it has; interrupt again not to wait for that")
        try:
            with waiting(f"run {info.id}") as progress:
                ended = runs.stop(info, progress)
            tell(f"run {info.id} was stopped ({ended.outcome}) and removed")
        except (KeyboardInterrupt, SystemExit):
            runs.detach(replace(info, status="stopping"))
            tell(f"run {info.id} is being stopped and removed in the background")
        except Exception as error:
            _left(runs, replace(info, status="stopping"), error)
            raise
        raise typer.Exit(code) from None
    except Exception as error:
        _left(runs, info, error)
        raise


def _left(runs: Runs, info: RunInfo, error: Exception) -> None:
    """Leave a run to the background because of an error, which then says so."""
    error.add_note(f"run {info.id} goes on; agentenv logs {info.id} and agentenv result {info.id} tell of it")
    try:
        runs.detach(info)
    except Failure as failure:
        error.add_note(str(failure))


def _code(interruption: BaseException) -> int:
    if isinstance(interruption, SystemExit) and isinstance(interruption.code, int):
        return interruption.code
    if isinstance(interruption, BrokenPipeError):
        # Whoever read is gone; what is still to be flushed at the end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return INTERRUPTED
