"""Probes on Fargate: a task of the session's own definition, with another command."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.plans.probes import Neighbour, Surroundings
from components.plans.task import CONTAINER, OVERRIDE_LIMIT
from operate.evidence import Examination, Examined, Plan, Progress, command, finished
from operate.failures import unreachable
from operate.fargate_logs import Log
from operate.fargate_tasks import WAIT_SECONDS, Fargate
from operate.outputs import FargateSession, Outputs


@dataclass(frozen=True)
class FargateExaminer:
    """Probes one session of a stack on Fargate.

    Attributes:
        fargate: Runs of its environment.
        outputs: Of the stack.
        name: The session's name.
        session: The same session in the outputs.
    """

    fargate: Fargate
    outputs: Outputs
    name: str
    session: FargateSession

    def examine(self, plan: Plan, progress: Progress) -> Examination:
        """Run the probes that `plan` makes of the session's surroundings, in a one-off task.

        Raises:
            Failure: the task did not start, did not end, or its program did not.
        """
        gateway = self.fargate.environment.gateway
        supervised = self._supervised()
        around = Surroundings(
            "fargate", self.name, gateway, others=self._others(), held=self.session.held, supervised=supervised
        )
        probes = plan(around)
        wanted = _overrides(self.session.overrides, command(probes, gateway, supervised=supervised))
        cluster = self.fargate.cluster
        progress("starting a one-off task")
        task = str(self.fargate.start(self.name, self.session, wanted, progress=progress)["taskArn"])
        try:
            last = cluster.wait(task, lambda status: progress(f"task {status}"), WAIT_SECONDS)
        except BaseException:
            cluster.stop(task, "agentenv verify did not wait for its end")
            raise
        progress("reading its log")
        lines = tuple(Log.of(self.fargate, task).lines(finished))
        container: Mapping[str, Any] = next((c for c in last.get("containers", []) if c.get("name") == CONTAINER), {})
        if not finished(lines):
            reasons = (last.get("stoppedReason", ""), container.get("reason", ""), *lines[-1:])
            raise unreachable(
                f"Task {task}: the probes did not end: {'; '.join(filter(None, reasons)) or 'ECS gave no reason'}. "
                "Fix: if its image is older than this agentenv, run pulumi up."
            )
        return probes, Examined(
            where=f"one-off task {task}",
            image=container.get("imageDigest") or container.get("image", ""),
            engine=f"fargate {last.get('platformVersion', '')}".strip(),
            policy_in_force=None,
            lines=lines,
        )

    def _supervised(self) -> bool:
        """Whether its definition starts as root, for several agents."""
        told = json.loads(self.session.variables.get("AGENTENV_SESSION", "{}"))
        return len(told.get("agents", ())) > 1 and not self.session.own_command

    def _others(self) -> tuple[Neighbour, ...]:
        return tuple(
            Neighbour(name, other.host, other.ports[0])
            for name, other in sorted(self.outputs.sessions.items())
            if name != self.name and isinstance(other, FargateSession) and other.host and other.ports
        )


def _overrides(declared: Mapping[str, Any], order: list[str]) -> dict[str, Any]:
    """The session's own overrides with another command: the same size, network and variables."""
    own: Mapping[str, Any] = next(iter(declared.get("containerOverrides", [])), {})
    variables = [pair for pair in own.get("environment", []) if pair["name"] != "AGENTENV_SESSION"]
    container = {**own, "name": CONTAINER, "command": order, "environment": variables}
    wanted = {**declared, "containerOverrides": [container]}
    if len(json.dumps(wanted)) > OVERRIDE_LIMIT:
        # The probes come first; what a session declares as its variables is plain.
        container["environment"] = []
    return wanted
