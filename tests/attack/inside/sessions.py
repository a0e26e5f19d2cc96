"""The suite's hands in a session: programs are handed to what the session runs, by its own socket."""

import json
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from docker.models.containers import Container

from components.plans.docker import SessionNetwork

PROGRAMS = Path(__file__).with_name("programs")
AGENT = ("/usr/bin/python3", "-c", (PROGRAMS / "agent.py").read_text())
"""Command of every session of the suite; ports that it serves may follow."""
START_SECONDS = 20


class AttackFailed(Exception):  # noqa: N818 - reads as what it is
    """The program itself came to no answer."""


@dataclass
class Session:
    """A running session.

    Attributes:
        name: As declared.
        container: Its container.
        fence: The container that holds its network namespace.
        network: Its addresses.
    """

    name: str
    container: Container
    fence: Container
    network: SessionNetwork

    @property
    def address(self) -> str:
        """Its own address."""
        return str(self.network.session)

    @property
    def gateway(self) -> str:
        """Where its gateway listens, without the port."""
        return str(self.network.gateway)

    @property
    def bridge(self) -> str:
        """The Docker host's address in its network."""
        return str(self.network.bridge)

    def pid(self) -> int:
        """Process id on the host of the container's first process."""
        self.container.reload()
        return int(self.container.attrs["State"]["Pid"])

    def run(self, program: ModuleType, *arguments: object, seconds: float = 60) -> Any:
        """What `main` of a program returns in the session.

        Args:
            program: A module of `tests.attack.inside.programs`; its text is sent.
            arguments: For `main`, as JSON.
            seconds: How long to wait for it.

        Raises:
            AttackFailed: it raised, or the session does not answer.
        """
        order = {"program": Path(str(program.__file__)).read_text(), "arguments": arguments}
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(seconds)
            try:
                # Through the eyes of the first process: the session has no port for this, nor has its network.
                connection.connect(f"/proc/{self.pid()}/root/tmp/orders")
                connection.sendall(json.dumps(order).encode() + b"\n")
                with connection.makefile("rb") as stream:
                    line = stream.readline()
            except OSError as error:
                raise AttackFailed(f"{self.name} does not answer: {error!r}") from None
        if not line:
            raise AttackFailed(f"{self.name} ended without an answer")
        answer = json.loads(line)
        if "failed" in answer:
            raise AttackFailed(f"{self.name}: {answer['failed']}")
        return answer["returned"]

    def wait(self) -> "Session":
        """Return once it takes orders."""
        deadline = time.monotonic() + START_SECONDS
        while not Path(f"/proc/{self.pid()}/root/tmp/orders").exists():
            if time.monotonic() > deadline or self.container.status in ("exited", "dead"):
                raise AttackFailed(f"{self.name} does not start:\n{self.container.logs().decode(errors='replace')}")
            time.sleep(0.02)
        return self

    def in_namespace(self, *command: str, given: str = "") -> str:
        """Run a command of the host in the session's network namespace, as root: what no session can."""
        entered = ["nsenter", "--target", str(self.pid()), "--net", "--", *command]
        return subprocess.run(entered, input=given, check=True, capture_output=True, text=True, timeout=30).stdout
