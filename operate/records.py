"""What is remembered of runs on this machine: a record, a log and a lock for each, in the user's state folder.

A record is written as a whole or not at all, and only its owner reads it. The lock is held by whoever looks after
the run; the kernel releases it when that process ends, however it ends.
"""

import fcntl
import json
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from operate.failures import unreachable, usage
from operate.runs import RunInfo

VERSION = 1
MOST, MOST_SECONDS = 1000, 30 * 24 * 3600
"""Records that are kept, and for how long."""
_RUN = re.compile(r"[a-z0-9]{1,64}")


@dataclass(frozen=True)
class Record:
    """What is remembered of a run.

    Attributes:
        info: The last that was known of it.
        stack: Value of the label of its stack.
        gateway: Container, anchor and port of its environment's gateway.
        result: Its result document.
        problem: Why there is none.
        owned: Whether it was started with these records: another user or machine removes its own runs itself.
    """

    info: RunInfo
    stack: str
    gateway: Mapping[str, Any]
    result: Mapping[str, Any] | None = None
    problem: str | None = None
    owned: bool = True

    @property
    def ended(self) -> bool:
        """Whether all of it has been collected."""
        return self.info.status == "ended"


class Hold:
    """A lock that this process holds; it ends with the process at the latest."""

    def __init__(self, file: int) -> None:
        self._file = file

    def release(self) -> None:
        """Let others have it."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class Records:
    """The records of this machine's user.

    Args:
        folder: Where they are; made with the first of them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _ready(self) -> None:
        folder = self._folder
        try:
            folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        except OSError as error:
            raise usage(
                f"{folder} cannot be made ({error}). Fix: set XDG_STATE_HOME to a folder of your own."
            ) from None

    @classmethod
    def default(cls) -> "Records":
        """Those in `$XDG_STATE_HOME/agentenv/runs`, by default below `~/.local/state`."""
        base = os.environ.get("XDG_STATE_HOME", "")
        # A relative path is to be ignored. Source: https://specifications.freedesktop.org/basedir-spec/latest/
        root = Path(base) if base.startswith("/") else Path.home() / ".local" / "state"
        return cls(root / "agentenv" / "runs")

    def path(self, run: str, kind: str) -> Path:
        """File of a run: `json` its record, `jsonl` its log, `lock`, `keeper` what its keeper said.

        Raises:
            ValueError: `run` is no id.
        """
        if not _RUN.fullmatch(run):
            raise ValueError(f"{run!r} is no id of a run")
        return self._folder / f"{run}.{kind}"

    def write(self, record: Record) -> None:
        """Put a record in the place of the one before it."""
        told = {
            "version": VERSION,
            "info": record.info.to_json(),
            "stack": record.stack,
            "gateway": dict(record.gateway),
            "result": record.result,
            "problem": record.problem,
            "owned": record.owned,
        }
        self._replace(self.path(record.info.id, "json"), [json.dumps(told)])

    def write_log(self, run: str, lines: Iterable[str]) -> None:
        """Put a log in the place of the one before it."""
        self._replace(self.path(run, "jsonl"), lines)

    def _replace(self, path: Path, lines: Iterable[str]) -> None:
        self._ready()
        with _written(path):
            # Made with mode 0600.
            file = tempfile.NamedTemporaryFile("w", dir=self._folder, delete=False, errors="replace")  # noqa: SIM115
        try:
            # What is written comes from elsewhere, which fails in its own way.
            for line in lines:
                with _written(path):
                    file.write(line + "\n")
            with _written(path):
                file.flush()
                os.fsync(file.fileno())
                file.close()
                Path(file.name).replace(path)
        except BaseException:
            with suppress(OSError):
                # What found no room before finds none now.
                file.close()
            Path(file.name).unlink(missing_ok=True)
            raise

    def read(self, run: str) -> Record | None:
        """The record of a run; None when there is none that can be read."""
        try:
            told = json.loads(self.path(run, "json").read_text())
            if told["version"] != VERSION:
                return None
            info = RunInfo.from_json(told["info"])
            owned = bool(told.get("owned", True))
            return Record(info, told["stack"], told["gateway"], told["result"], told["problem"], owned)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def log(self, run: str) -> Iterator[str]:
        """The lines of a run that has been collected."""
        with suppress(FileNotFoundError), self.path(run, "jsonl").open(errors="replace", newline="\n") as file:
            for line in file:
                yield line.rstrip("\n")

    def all(self, stack: str) -> list[Record]:
        """Every record of a stack."""
        found = (self.read(path.stem) for path in self._folder.glob("*.json"))
        return [record for record in found if record is not None and record.stack == stack]

    def said(self, run: str) -> BinaryIO:
        """Where the keeper of a run says what went wrong."""
        self._ready()
        path = self.path(run, "keeper")
        with _written(path):
            return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")

    def forget(self, run: str) -> None:
        """Remove all files of a run."""
        for kind in ("json", "jsonl", "keeper", "lock"):
            self.path(run, kind).unlink(missing_ok=True)

    def hold(self, run: str, *, wait: bool = False) -> Hold | None:
        """Become the one that looks after a run.

        Args:
            run: Its id.
            wait: Whether to wait until nobody else does.

        Returns:
            None when somebody else does.

        Raises:
            Failure: there can be no lock.
        """
        self._ready()
        path = self.path(run, "lock")
        with _written(path):
            return self._locked(path, wait=wait)

    def _locked(self, path: Path, *, wait: bool) -> Hold | None:
        while True:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                # Whoever held it before may have removed the file: then it locks nothing.
                if os.fstat(file).st_ino == path.stat().st_ino:
                    return Hold(file)
            except BlockingIOError:
                os.close(file)
                return None
            except FileNotFoundError:
                pass
            except BaseException:
                os.close(file)
                raise
            os.close(file)

    def is_held(self, run: str) -> bool:
        """Whether somebody looks after a run."""
        hold = self.hold(run)
        if hold is not None:
            hold.release()
        return hold is None

    def prune(self) -> None:
        """Forget the oldest records of runs that have ended, and what a killed process left half written."""
        now = time.time()
        dated: list[tuple[float, Path]] = []
        for path in self._folder.iterdir():
            # What cannot be removed is no reason to fail: what was asked for has been done.
            with suppress(OSError):
                age = now - path.stat().st_mtime
                if path.suffix == ".json":
                    dated.append((age, path))
                elif path.name.startswith("tmp") and age > MOST_SECONDS / 30:
                    path.unlink()
        for place, (age, path) in enumerate(sorted(dated)):
            if place < MOST and age < MOST_SECONDS:
                continue
            record = self.read(path.stem)
            if record is None or record.ended:
                with suppress(OSError):
                    self.forget(path.stem)


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unreachable(
            f"{path} cannot be written ({error}). Fix: make room there, or set XDG_STATE_HOME to a folder of your own."
        ) from None
