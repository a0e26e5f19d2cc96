"""Where a stack's outputs come from: the Pulumi CLI, or a file."""

import json
import subprocess
import sys
from pathlib import Path

from operate.failures import unreachable, usage
from operate.outputs import Outputs

SECONDS = 60


def read_outputs(stack: str | None, file: Path | None) -> Outputs:
    """Read and validate the outputs of a stack.

    Args:
        stack: Name of the stack; None is the one that is selected.
        file: What `pulumi stack output --json` printed, `-` for standard input; then Pulumi is not asked.

    Raises:
        Failure: they cannot be read, or are not what this version knows.
    """
    text = _file(file) if file is not None else _pulumi(stack)
    try:
        data = json.loads(text)
    except ValueError as error:
        source = str(file) if file is not None else "pulumi stack output"
        raise usage(f"{source} is not JSON ({error}). Fix: give what pulumi stack output --json prints.") from None
    return Outputs.parse(data)


def _file(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise usage(f"{file} cannot be read ({error}). Fix: give what pulumi stack output --json printed.") from None


def _pulumi(stack: str | None) -> str:
    command = ["pulumi", "stack", "output", "--json", "--show-secrets=false", "--non-interactive"]
    if stack is not None:
        command += ["--stack", stack]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except FileNotFoundError:
        raise usage(
            "There is no pulumi on the PATH. Fix: install it, or give the outputs with --outputs FILE."
        ) from None
    except subprocess.TimeoutExpired:
        raise unreachable(f"pulumi stack output did not end within {SECONDS} s: its state cannot be reached.") from None
    if done.returncode != 0:
        raise usage(
            f"pulumi stack output failed: {done.stderr.strip()}\n"
            "Fix: run agentenv in the project's folder, with the stack selected or named by --stack."
        )
    return done.stdout
