"""The gateway as a process of its own inside the rig's namespace."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from http.client import HTTPResponse
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.attack.rig.namespace import Namespace

PACKAGE = Path(__file__).resolve().parents[3] / "images" / "egress-gateway"
PORT = 3128


def wait_for(what: str, condition: Callable[[], bool], seconds: float = 10) -> None:
    """Poll until `condition` holds.

    Raises:
        TimeoutError: Naming `what`, when it does not hold in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


class Gateway:
    """Starts, watches and stops one gateway.

    Attributes:
        address: Where sessions reach it; its port is `PORT`.
        policy_file: The policy document that it reads.
    """

    def __init__(
        self,
        namespace: Namespace,
        folder: Path,
        *,
        address: str,
        admin_port: int = 9901,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare; `start` runs it.

        Args:
            namespace: Where it runs.
            folder: An empty folder of its own.
            address: Its address towards the sessions.
            admin_port: Port of its health checks and metrics, on loopback.
            environment: Further environment variables.
        """
        self.address = address
        self.policy_file = folder / "policy" / "policy.json"
        self.policy_file.parent.mkdir(parents=True)
        (folder / "state").mkdir()
        self._namespace = namespace
        self._admin = ("127.0.0.1", admin_port)
        self._log_file = folder / "log"
        self._log_file.touch()
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PACKAGE),
            "EGRESS_POLICY": str(self.policy_file),
            "EGRESS_LISTEN": f"{address}:{PORT}",
            "EGRESS_ADMIN": f"127.0.0.1:{admin_port}",
            "EGRESS_STATE": str(folder / "state"),
            "EGRESS_REGISTRIES": str(folder / "registries.json"),
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def write_policy(self, policy: Mapping[str, Any] | bytes) -> None:
        """Put a policy document into place at once, as its deliverer does: a new file, renamed."""
        incoming = self.policy_file.with_name("incoming.json")
        incoming.write_bytes(policy if isinstance(policy, bytes) else json.dumps(policy).encode())
        incoming.replace(self.policy_file)

    def start(self, *, ready: bool = True) -> Self:
        """Run it; return when its health check answers and, unless told otherwise, a good policy is in force."""
        with self._log_file.open("ab") as log:
            self._process = self._namespace.start(
                [sys.executable, "-m", "egress_gateway"], environment=self._environment, output=log
            )
        path = "/readyz" if ready else "/healthz"
        try:
            wait_for(f"gateway answers {path}", lambda: self.admin(path)[0] == 200, seconds=20)
        except TimeoutError as error:
            self.stop()
            raise TimeoutError(f"{error}\n{self.raw_log().decode(errors='replace')}") from None
        return self

    @property
    def pid(self) -> int:
        """Process id of the running gateway."""
        assert self._process is not None, "the gateway has not been started"
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it without any chance to tidy up."""
        if self._process:
            self._process.kill()
            self._process.wait(timeout=10)
            self._process = None

    def stop(self) -> int:
        """Ask it to end; its exit code. Killed when it does not end within ten seconds."""
        if not self._process:
            return 0
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait(timeout=10)
        finally:
            self._process = None

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a sub-command of the gateway's program next to it."""
        return subprocess.run(
            self._namespace.command([sys.executable, "-m", "egress_gateway", *arguments]),
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def admin(self, path: str) -> tuple[int, str]:
        """Status and body of the admin address; status 0 while nobody answers there."""
        try:
            with self._namespace.connect(*self._admin) as connection:
                connection.sendall(f"GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n".encode())
                response = HTTPResponse(connection)
                response.begin()
                return response.status, response.read().decode()
        except OSError:
            return 0, ""

    def raw_log(self) -> bytes:
        """Everything that it wrote so far."""
        return self._log_file.read_bytes()

    def log(self, since: int = 0) -> list[dict[str, Any]]:
        """The log from byte `since` on, line by line; a line that is not JSON fails the test that reads it."""
        *lines, _ = self.raw_log()[since:].split(b"\n")
        return [json.loads(line) for line in lines]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
