"""What the set-up says to the person who waits for it, and how it runs commands that take a while."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_HEARTBEAT_SECONDS = 15.0
_POLL_SECONDS = 0.2
_TAIL_LINES = 15


class BootstrapError(Exception):
    """A set-up step that cannot be done; the message names the fault and what to do about it."""


def say(text: str) -> None:
    """Prints one line of progress at once."""
    sys.stdout.write(f"· {text}\n")
    sys.stdout.flush()


def tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """Returns the last lines of a log file, indented."""
    if not log.exists():
        return ""
    text = log.read_text(errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in text[-lines:])


def output_of(command: Sequence[str], *, timeout: float = 10.0, env: Mapping[str, str] | None = None) -> str | None:
    """Returns what a command prints, or None when it is missing, fails or takes too long."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, env=env, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def run(
    command: Sequence[str],
    *,
    what: str,
    takes: str,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    progress: Callable[[], str] | None = None,
) -> None:
    """Runs a command that takes a while: announces it, shows a sign of life every 15 s, keeps its output.

    Args:
        command: the command and its arguments.
        what: what is being done, as a person would say it.
        takes: about how long it takes ("1-2 min").
        log: file that receives standard output and error.
        cwd: folder to run in.
        env: the whole environment, the caller's own when absent.
        timeout: seconds after which the command is killed, without limit when absent.
        progress: returns how far the command has come, shown with each sign of life.

    Raises:
        BootstrapError: the command is missing, failed or took too long; with the end of its output.
    """
    say(f"{what} ({takes}) ...")
    log.parent.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    with log.open("wb") as sink:
        try:
            child = subprocess.Popen(
                command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT
            )
        except OSError as error:
            raise BootstrapError(f"{what}: {command[0]}: {error.strerror}") from error
        try:
            code = _wait(child, begin, timeout, progress)
        except BaseException:
            child.kill()
            child.wait()
            raise
    seconds = time.monotonic() - begin
    if code is None:
        raise BootstrapError(f"{what}: no end after {seconds:.0f} s. Last lines of {log}:\n{tail(log)}")
    if code != 0:
        raise BootstrapError(f"{what}: exit code {code}. Last lines of {log}:\n{tail(log)}")
    say(f"  done in {seconds:.0f} s")


def _wait(
    child: "subprocess.Popen[bytes]", begin: float, timeout: float | None, progress: Callable[[], str] | None
) -> int | None:
    """Returns the exit code, or None when the time is up (the child is then dead)."""
    spoken = begin
    while (code := child.poll()) is None:
        now = time.monotonic()
        if timeout is not None and now - begin > timeout:
            child.kill()
            child.wait()
            return None
        if now - spoken >= _HEARTBEAT_SECONDS:
            spoken = now
            say(f"  ... {now - begin:.0f} s" + (f", {progress()}" if progress else ""))
        time.sleep(_POLL_SECONDS)
    return code
