"""A folder that stands for a container's root, and the real session program in it."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentenv_session.state import number
from agentenv_session.stores import SLOTS

PROGRAM = Path(__file__).resolve().parents[2] / "images/session/session.py"
TOKEN = "a token of these tests"
TOKEN_HASH = hashlib.sha256(TOKEN.encode()).hexdigest()
ROOT = "AGENTENV_ROOT"
SECONDS = 60
AGENT: dict[str, Any] = {"model": "sonnet", "max_turns": 6}


@dataclass
class Ended:
    """What is known of a session that has ended."""

    code: int
    events: list[dict[str, Any]]
    errors: str
    raw: str

    def of(self, name: str) -> list[dict[str, Any]]:
        """The events of this name."""
        return [event for event in self.events if event["event"] == name]

    @property
    def result(self) -> dict[str, Any]:
        """The result document."""
        parts = sorted(self.of("result_part"), key=lambda part: int(part["part"]))
        assert [part["part"] for part in parts] == [*range(parts[0]["parts"])]
        told: dict[str, Any] = json.loads("".join(part["text"] for part in parts))
        return told

    @property
    def agent(self) -> dict[str, Any]:
        """The one agent's part of it."""
        (one,) = self.result["agents"]
        return dict(one)


@dataclass
class Box:
    """The root of a container.

    Attributes:
        root: The folder.
        model: Address of the model's API.
    """

    root: Path
    model: str
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for folder in ("workspace", "home/agent", "tmp", "var/lib/agentenv/state"):
            (self.root / folder).mkdir(parents=True)
        for name in SLOTS:
            (self.state / name).touch()

    @property
    def workspace(self) -> Path:
        """Where the agent works."""
        return self.root / "workspace"

    @property
    def state(self) -> Path:
        """Where the state is kept."""
        return self.root / "var/lib/agentenv/state"

    def kept(self) -> list[Path]:
        """The files with a state, that of the last save first."""
        files = [self.state / name for name in SLOTS]
        return sorted((file for file in files if file.stat().st_size), key=number, reverse=True)

    def fresh(self) -> None:
        """As a new container finds it: all gone but the volume."""
        for folder in ("workspace", "home/agent", "tmp"):
            subprocess.run(["rm", "-rf", str(self.root / folder)], check=True)
            (self.root / folder).mkdir(parents=True)

    def declaration(self, **fields: Any) -> str:
        """Of a session with one agent."""
        base = {"name": "s", "environment": "e", "pattern": "ephemeral", "agent": AGENT}
        return json.dumps({name: value for name, value in (base | fields).items() if value is not None})

    @contextmanager
    def started(
        self,
        task: Mapping[str, Any] | None = None,
        *arguments: str,
        declared: str | None = None,
        **variables: str,
    ) -> Iterator["subprocess.Popen[str]"]:
        """The program as its container would start it; it does not outlive the block."""
        told = {
            "PATH": os.environ["PATH"],
            # The program's own word for a container; it runs as root in these tests.
            "IS_SANDBOX": "1",
            "CLAUDE_CODE_MAX_RETRIES": "0",
            ROOT: str(self.root),
            "TMPDIR": str(self.root / "tmp"),
            "AGENTENV_SESSION": declared if declared is not None else self.declaration(),
            "AGENTENV_MODEL_ROUTE": self.model,
            **self.variables,
            **variables,
        }
        if task is not None:
            told["AGENTENV_TASK"] = json.dumps({"version": 1, "run": "r1", **task})
        with subprocess.Popen(
            [sys.executable, "-I", str(PROGRAM), *arguments],
            env=told,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.workspace,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(
        self,
        task: Mapping[str, Any] | None = None,
        *arguments: str,
        declared: str | None = None,
        **variables: str,
    ) -> Ended:
        """Start it, and wait for its end."""
        with self.started(task, *arguments, declared=declared, **variables) as process:
            return ended(process)

    @contextmanager
    def serving(self, declared: str, **variables: str) -> Iterator["subprocess.Popen[str]"]:
        """A session that stays up, until the end of the block."""
        with self.started(None, declared=declared, **variables) as process:
            yield process

    def end(self) -> None:
        """End what is left in it, as the end of a container does: what a killed session has started lives on."""
        while left := self.processes():
            for process in left:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.01)

    def processes(self) -> list[int]:
        """Of the box, by a variable that they all inherit."""
        mark = f"{ROOT}={self.root}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found


def ended(process: "subprocess.Popen[str]") -> Ended:
    """Wait for the end, and read what was said."""
    try:
        out, errors = process.communicate(timeout=SECONDS)
    finally:
        # One that hangs would have the tests wait for it without an end.
        process.kill()
    events = [json.loads(line) for line in out.splitlines() if line.startswith('{"time"')]
    return Ended(process.returncode, events, errors, out)


def until(process: "subprocess.Popen[str]", event: str) -> list[dict[str, Any]]:
    """Read until this event, which is the last of what is given."""
    assert process.stdout is not None
    found: list[dict[str, Any]] = []
    # Who says nothing has the tests wait for it without an end.
    late = threading.Timer(SECONDS, process.kill)
    late.start()
    try:
        for line in process.stdout:
            found.append(json.loads(line))
            if found[-1]["event"] == event:
                return found
    finally:
        late.cancel()
    raise AssertionError(f"it ended without {event}: {found} {process.stderr.read() if process.stderr else ''}")
