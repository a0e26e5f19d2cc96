"""Services on Fargate: ECS services that `pulumi up` made, taken to no task and back to one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from operate.evidence import Progress
from operate.failures import unreachable
from operate.fargate_client import asking_aws
from operate.fargate_info import created, info_of
from operate.fargate_tasks import POLL_SECONDS, Cluster
from operate.runs import NOTHING, RunInfo, Status

DESCRIBED = 10
"""Services that one call describes."""


@dataclass(frozen=True)
class Service:
    """One service of a stack.

    Attributes:
        cluster: Where it runs.
        name: Its session's name.
        arn: Of the ECS service.
        environment: Name of its environment.
        policy_hash: Of its environment.
    """

    cluster: Cluster
    name: str
    arn: str
    environment: str
    policy_hash: str

    def info(self) -> RunInfo:
        """What ECS says of it.

        Raises:
            Failure: it is gone.
        """
        return self.told(self._described(), self.tasks())

    def tasks(self) -> list[dict[str, Any]]:
        """Its tasks, the newest first."""
        return sorted(self.cluster.of_service(self.arn), key=created, reverse=True)

    def start(self) -> RunInfo:
        """Back to one task, where it has none; nothing to do for what runs."""
        described = self._described()
        if described["desiredCount"] == 0:
            described = self._scaled(1)
        return self.told(described, self.tasks())

    def stop(self, progress: Progress) -> RunInfo:
        """To no task, and wait until there is none; it stays so until somebody starts it."""
        described = self._described()
        if described["desiredCount"] > 0:
            described = self._scaled(0)
        while described["runningCount"] or described["pendingCount"]:
            progress("saving and ending")
            self.cluster.clients.pause(POLL_SECONDS)
            described = self._described()
            if described["desiredCount"] > 0:
                raise unreachable(f"Service {self.name} was started again while it ended. Fix: stop it once more.")
        return self.told(described, self.tasks())

    def told(self, described: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]]) -> RunInfo:
        """What ECS says of it.

        Args:
            described: The service.
            tasks: Its tasks, the newest first.
        """
        status = _status(described)
        known = info_of(tasks[0]) if tasks else None
        of_now = known is not None and (known.status == "ended") == (status == "ended")
        found = known if known is not None and of_now else NOTHING
        reason = known.reason if known is not None else None
        if reason is None and status == "starting" and described.get("events"):
            # A service that finds no room, or whose image cannot be had, says so in its last event.
            reason = str(described["events"][0]["message"])
        return replace(
            found,
            id=self.name,
            session=self.name,
            environment=self.environment,
            status=status,
            policy_hash=self.policy_hash,
            conversation=None,
            reason=reason,
            kind="service",
        )

    def gone(self) -> RunInfo:
        """What is said of it where ECS has none."""
        found = self.told({"desiredCount": 0, "runningCount": 0, "pendingCount": 0}, ())
        return replace(found, reason="its ECS service is gone; run pulumi up")

    def _scaled(self, tasks: int) -> Mapping[str, Any]:
        with asking_aws():
            found: Mapping[str, Any] = self.cluster.clients.ecs.update_service(
                cluster=self.cluster.name, service=self.arn, desiredCount=tasks
            )["service"]
        return found

    def _described(self) -> Mapping[str, Any]:
        (found,) = describe([self])
        if found is None:
            raise unreachable(f"ECS service {self.arn} of session {self.name!r} is gone. Fix: run pulumi up.")
        return found


def describe(services: Sequence[Service]) -> list[Mapping[str, Any] | None]:
    """What ECS says of several services of one cluster, in their order; None for what is gone."""
    known: dict[str, Mapping[str, Any]] = {}
    for start in range(0, len(services), DESCRIBED):
        some = services[start : start + DESCRIBED]
        cluster = some[0].cluster
        with asking_aws():
            answer = cluster.clients.ecs.describe_services(cluster=cluster.name, services=[one.arn for one in some])
        known |= {one["serviceArn"]: one for one in answer["services"] if one.get("status") == "ACTIVE"}
    return [known.get(one.arn) for one in services]


def _status(described: Mapping[str, Any]) -> Status:
    if described["desiredCount"] == 0:
        return "stopping" if described["runningCount"] or described["pendingCount"] else "ended"
    return "running" if described["runningCount"] else "starting"
