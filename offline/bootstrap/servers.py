"""Starts and stops servers of this checkout, each by its own process id and never by name."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from offline.bootstrap.console import BootstrapError, say, tail

_LOOPBACK = "127.0.0.1"
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Record:
    """A server that was started here.

    Attributes:
        pid: its process id.
        birth: when that process began, as the system tells it: a later process of the same id differs.
        port: TCP port on the loopback address; 0 for a server without one.
    """

    pid: int
    birth: str
    port: int


class Server:
    """One server of the checkout: its record and log are `<run>/<name>.json` and `<run>/<name>.log`.

    Args:
        name: unique among the checkout's servers.
        run: folder of records and logs.
    """

    def __init__(self, name: str, run: Path) -> None:
        self.name = name
        self.log = run / f"{name}.log"
        self._record = run / f"{name}.json"
        self._last_port = run / f"{name}.port"

    def running(self) -> Record | None:
        """Returns the record of the server if it runs, else None."""
        try:
            record = Record(**json.loads(self._record.read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return record if _birth(record.pid) == record.birth else None

    def choose_port(self, default: int) -> int:
        """Returns the port last used here, or the default, or a free one: the first that is not taken."""
        last = int(self._last_port.read_text()) if self._last_port.is_file() else default
        for port in (last, default):
            if is_free(port):
                return port
        with socket.socket() as probe:
            probe.bind((_LOOPBACK, 0))
            return int(probe.getsockname()[1])

    def start(
        self,
        command: Sequence[str],
        *,
        port: int = 0,
        ready: Callable[[], bool],
        seconds: float,
        env: Mapping[str, str] | None = None,
    ) -> Record:
        """Starts the server, detached, and waits until it answers.

        Args:
            command: the command and its arguments.
            port: the port that it was told to listen on.
            ready: says whether the server answers.
            seconds: how long to wait for that.
            env: the whole environment, the caller's own when absent.

        Raises:
            BootstrapError: it ended or did not answer in time; it is then stopped.
        """
        self._record.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as sink:
            child = subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        record = Record(child.pid, _birth(child.pid), port)
        self._record.write_text(json.dumps(asdict(record)))
        if port:
            self._last_port.write_text(str(port))
        deadline = time.monotonic() + seconds
        while not ready():
            if child.poll() is not None:
                self._record.unlink(missing_ok=True)
                raise BootstrapError(f"{self.name} ended at once ({self.log}):\n{tail(self.log)}")
            if time.monotonic() > deadline:
                self.stop()
                raise BootstrapError(f"{self.name} gave no answer in {seconds:.0f} s ({self.log}):\n{tail(self.log)}")
            time.sleep(_POLL_SECONDS)
        return record

    def stop(self, seconds: float = 30.0) -> bool:
        """Stops the server if it was started here and runs. Returns whether it did."""
        record = self.running()
        if record is None:
            self._record.unlink(missing_ok=True)
            return False
        os.kill(record.pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while _birth(record.pid) == record.birth:
            if time.monotonic() > deadline:
                say(f"{self.name} (process {record.pid}) does not end on SIGTERM: killed")
                os.kill(record.pid, signal.SIGKILL)
                deadline = float("inf")
            time.sleep(_POLL_SECONDS)
        self._record.unlink(missing_ok=True)
        return True


def is_free(port: int) -> bool:
    """Says whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        # As servers do: connections of an earlier server that linger in TIME_WAIT do not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
        except OSError:
            return False
        return True


def _birth(pid: int) -> str:
    """Returns when a process began, or an empty string when there is no such live process."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # The fields after the command's closing bracket: state first, start time the 20th (proc(5)).
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] == "Z" else fields[19]
    done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip()
