"""Services on a Docker host: the containers that `pulumi up` made, stopped and started again."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import docker
from docker.errors import NotFound
from docker.models.containers import Container

from operate import results
from operate.docker_collect import OVER, runs_command, status_of
from operate.engine import asking_engine
from operate.evidence import Progress
from operate.failures import unreachable
from operate.keeper import STOP_SECONDS
from operate.outputs import DockerSession
from operate.runs import NOTHING, RunInfo


@dataclass(frozen=True)
class Service:
    """One service of a stack.

    Attributes:
        client: The engine.
        name: Its session's name.
        session: From the stack's outputs.
        policy_hash: Of its environment.
    """

    client: docker.DockerClient
    name: str
    session: DockerSession
    policy_hash: str

    def info(self) -> RunInfo:
        """What the engine says of it."""
        return self._info(self.container())

    def listed(self) -> RunInfo:
        """As :meth:`info`; of one whose container is gone, that."""
        with asking_engine(f"service {self.name}"):
            try:
                return self._info(self.client.containers.get(self.session.container or ""))
            except NotFound:
                return self._gone()

    def container(self) -> Container:
        """Its session container.

        Raises:
            Failure: it is gone.
        """
        with asking_engine(f"service {self.name}"):
            return self.client.containers.get(self.session.container or "")

    def start(self, progress: Progress) -> RunInfo:
        """Start what has stopped; nothing to do for what runs."""
        if self.container().status != "running":
            progress("starting")
            with asking_engine(f"service {self.name}"):
                # The session is in the network namespace of its fence, which must stand first.
                self._started(self.session.fence)
                self._started(self.session.container)
        return self.info()

    def _started(self, name: str | None) -> None:
        if name is None:
            return
        try:
            container = self.client.containers.get(name)
        except NotFound:
            raise unreachable(f"Container {name} of service {self.name} is gone. Fix: run pulumi up.") from None
        if container.status != "running":
            container.start()

    def stop(self, progress: Progress) -> RunInfo:
        """Ask it to save and end; it stays down until somebody starts it."""
        container = self.container()
        if container.status not in OVER:
            progress("saving and ending")
            with asking_engine(f"service {self.name}"):
                container.stop(timeout=STOP_SECONDS)
        return self.info()

    def _gone(self) -> RunInfo:
        return replace(
            NOTHING,
            id=self.name,
            session=self.name,
            environment=self.session.environment,
            policy_hash=self.policy_hash,
            reason="its container is gone; run pulumi up",
            kind="service",
        )

    def _info(self, container: Container) -> RunInfo:
        state: dict[str, Any] = container.attrs.get("State") or {}
        over = container.status in OVER
        code = int(state.get("ExitCode", 0)) if over else None
        return RunInfo(
            id=self.name,
            session=self.name,
            environment=self.session.environment,
            status=status_of(container),
            started=_time(state.get("StartedAt")),
            ended=_time(state.get("FinishedAt")) if over else None,
            exit_code=code,
            outcome=results.outcome(code, own_command=runs_command(container)),
            image=str(container.attrs.get("Image", "")),
            policy_hash=self.policy_hash,
            conversation=None,
            reason=str(state.get("Error") or "") or None,
            kind="service",
        )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text and not text.startswith("0001") else None
