"""Probes on a Docker host: in the running container of a service, or in a throw-away twin of a run."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

import docker
from docker.models.containers import Container

from components.models.stack import Isolation
from components.plans.docker import SessionNetwork
from components.plans.docker.addresses import PREFIX
from components.plans.image import BEHIND_FENCE
from components.plans.probes import Neighbour, Probe, Surroundings
from operate.docker_gateway import Gateway
from operate.docker_runs import Launcher
from operate.engine import asking_engine, described, run_in
from operate.evidence import Examination, Examined, Plan, Progress, command, finished
from operate.failures import unreachable
from operate.outputs import DockerEnvironment, DockerSession, Outputs

TWIN_SECONDS, POLL_SECONDS = 60, 0.1


@dataclass(frozen=True)
class DockerExaminer:
    """Probes one session of a stack on a Docker host.

    Attributes:
        client: The engine.
        outputs: Of the stack.
        name: The session's name.
        session: The same session in the outputs.
        environment: Its environment.
    """

    client: docker.DockerClient
    outputs: Outputs
    name: str
    session: DockerSession
    environment: DockerEnvironment

    def examine(self, plan: Plan, progress: Progress) -> Examination:
        """Run the probes that `plan` makes of the session's surroundings.

        Raises:
            Failure: the engine or the gateway refused, or the probes did not come to their end.
        """
        if self.session.container is None or self.session.address is None:
            return self._in_twin(plan, progress)
        network = SessionNetwork(IPv4Network(f"{self.session.address}/{PREFIX}", strict=False))
        probes = plan(self._surroundings(network))
        progress(f"probing in container {self.session.container}")
        with asking_engine(f"container {self.session.container}"):
            container = self.client.containers.get(self.session.container)
            # Behind the session's own filter, which a command started from outside does not have by itself.
            code, out, err = run_in(container, [*BEHIND_FENCE, *self._command(probes, network)])
        return probes, self._examined(container, f"running container {container.name}", code, out, err)

    def _in_twin(self, plan: Plan, progress: Progress) -> Examination:
        probes: Sequence[Probe] = ()

        def probing(network: SessionNetwork) -> list[str]:
            nonlocal probes
            probes = plan(self._surroundings(network))
            return self._command(probes, network)

        progress("starting a throw-away twin")
        launcher = Launcher(self.client, self.session.environment, self.environment)
        launcher.sweep()
        with launcher.run(self.session.session, self.session.image, probing) as run:
            progress("probing in the twin")
            with asking_engine(f"run {run.id}"):
                code = _ended(run.container)
                out, err = (
                    run.container.logs(stdout=wanted, stderr=not wanted).decode(errors="replace")
                    for wanted in (True, False)
                )
            return probes, self._examined(run.container, f"throw-away twin {run.container.name}", code, out, err)

    def _surroundings(self, network: SessionNetwork) -> Surroundings:
        others = tuple(
            Neighbour(name, str(other.address), int(next(iter(other.ports))))
            for name, other in sorted(self.outputs.sessions.items())
            if name != self.name and isinstance(other, DockerSession) and other.address and other.ports
        )
        return Surroundings(
            "docker",
            self.name,
            f"{network.gateway}:{self.environment.gateway.port}",
            bridge=str(network.bridge),
            host_addresses=self.environment.host_addresses,
            others=others,
            own_kernel=self.environment.isolation is Isolation.RUNSC,
            held=tuple(secret.name for secret in self.session.session.secrets if secret.inject is None),
            supervised=self.session.session.is_supervised,
        )

    def _command(self, probes: Sequence[Probe], network: SessionNetwork) -> list[str]:
        gateway = f"{network.gateway}:{self.environment.gateway.port}"
        return command(probes, gateway, supervised=self.session.session.is_supervised)

    def _examined(self, container: Container, where: str, code: int, out: str, err: str) -> Examined:
        lines = tuple(out.splitlines())
        if not finished(lines):
            said = "; ".join(filter(None, (err.strip().rpartition("\n")[2], *lines[-1:])))
            raise unreachable(
                f"{where}: the probes ended with exit code {code}: {said or 'no output'}. "
                "Fix: if its image is older than this agentenv, run pulumi up."
            )
        with asking_engine(where):
            image, engine = str(container.attrs["Image"]), described(self.client, self.environment.isolation)
        in_force = Gateway(self.client, self.environment).in_force()
        return Examined(where, image, engine, in_force.policy_hash, lines)


def _ended(container: Container) -> int:
    """Wait for the end of a container.

    Returns:
        Its exit code.

    Raises:
        Failure: it has not ended in time.
    """
    deadline = time.monotonic() + TWIN_SECONDS
    while container.status not in ("exited", "dead"):
        if time.monotonic() > deadline:
            raise unreachable(f"Container {container.name} is still {container.status} after {TWIN_SECONDS} s.")
        time.sleep(POLL_SECONDS)
        container.reload()
    return int(container.attrs["State"]["ExitCode"])
