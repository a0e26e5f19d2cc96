"""Tasks on Fargate: started, found, described, stopped, waited for."""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError, HTTPClientError

from components.models.tags import Role, Tag, tag_value
from operate.evidence import Progress
from operate.failures import Failure, unreachable
from operate.fargate_client import AGENT, BUSY, MOST_PAUSE, Clients, asking_aws, code, patiently, reason, spread
from operate.outputs import FargateEnvironment, FargateSession
from operate.signals import signals_held

PROBES = f"{AGENT}-verify"
"""What starts a task that only probes its fence."""
START_SECONDS = 120
"""How long a start that AWS has no room or no time for is tried again."""
WAIT_SECONDS = 600
"""For the end of a task that only probes."""
POLL_SECONDS = 2
NEW_SECONDS = 60
"""How long ECS may not know a task that it has just started: it tells what is so a while later."""
DESCRIBED = 100
"""Tasks that one call describes."""
TRANSIENT = ("RESOURCE", "CAPACITY", "Capacity", "AGENT", "concurrently")
"""What AWS's reasons begin with, or hold, when a later attempt may find room."""


class _PassingError(Exception):
    """AWS refused for now; with its reason."""


@dataclass(frozen=True)
class Cluster:
    """The tasks of one cluster.

    Attributes:
        clients: AWS.
        name: Of the cluster.
    """

    clients: Clients
    name: str

    def run(self, request: Mapping[str, Any], token: str, progress: Progress) -> dict[str, Any]:
        """Start one task, and never a second one.

        While it is not known whether AWS took a request it is made again with the same client token, which AWS starts
        one task for; only after an answer that no task was started the next request has another.

        Args:
            request: What `RunTask` is told, but for the cluster, the number of tasks and the client token.
            token: At most 60 characters, never used before.
            progress: Told what keeps it waiting.

        Returns:
            The task.

        Raises:
            Failure: with AWS's reason; after two minutes where it is one that may pass.
        """
        deadline = self.clients.clock() + START_SECONDS
        refusals, pause = 0, 1.0
        while True:
            try:
                with asking_aws():
                    answer = self._run(request, f"{token}-{refusals}")
            except _PassingError as passing:
                why, passes = str(passing), True
            else:
                if answer["tasks"]:
                    return dict(answer["tasks"][0])
                why = f"ECS started no task: {_reasons(answer.get('failures', []))}"
                passes = _passes(why)
                refusals += 1
            left = deadline - self.clients.clock()
            if not passes or left <= 0:
                raise unreachable(why)
            progress(f"trying again: {why}")
            self.clients.pause(min(spread(pause), left))
            pause = min(pause * 2, MOST_PAUSE)

    def _run(self, request: Mapping[str, Any], token: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = {}
        try:
            # Its answer is the first that anybody knows of the task, so nobody stops listening before it.
            with signals_held():
                found = self.clients.ecs.run_task(cluster=self.name, count=1, clientToken=token, **request)
        except (KeyboardInterrupt, SystemExit):
            for task in found.get("tasks", ()):
                self.abandon(str(task["taskArn"]).rpartition("/")[2])
            raise
        except ClientError as error:
            if code(error) in BUSY or _passes(reason(error)):
                raise _PassingError(f"AWS refused {error.operation_name}: {reason(error)}") from None
            raise
        except HTTPClientError as error:
            raise unreachable(
                f"AWS cannot be asked: {error}. Whether the task was started is not known. "
                "Fix: look with agentenv list before you start another."
            ) from None
        return found

    def all(self, families: Iterable[str]) -> list[dict[str, Any]]:
        """Every task of these families that ECS knows: those that run, and for about an hour those that have ended.

        Whoever may not see one of the tasks that a call describes is refused all of them, so nothing is asked about
        that is not of these families.
        """
        statuses = ("RUNNING", "STOPPED")
        return self.described(
            [arn for family in families for status in statuses for arn in self._arns(status, family=family)]
        )

    def of_service(self, service: str) -> list[dict[str, Any]]:
        """Every task that ECS knows of one service (its ARN or name)."""
        arns = [arn for status in ("RUNNING", "STOPPED") for arn in self._arns(status, serviceName=service)]
        group = f"service:{service.rpartition('/')[2]}"
        return [task for task in self.described(arns) if task.get("group") == group]

    def described(self, tasks: Sequence[str]) -> list[dict[str, Any]]:
        """What ECS knows of these tasks (ids or ARNs), with their tags; of one that it has forgotten, nothing."""
        found: list[dict[str, Any]] = []
        # A task that ends between the two lists is on both.
        wanted = [*dict.fromkeys(tasks)]
        for start in range(0, len(wanted), DESCRIBED):
            some = wanted[start : start + DESCRIBED]
            with asking_aws():
                found += self.describe(some)
        return found

    def describe(self, tasks: Sequence[str]) -> list[dict[str, Any]]:
        """As :meth:`described`, of as many as one call takes, with AWS's errors as they are."""
        answer = self.clients.ecs.describe_tasks(cluster=self.name, tasks=list(tasks), include=["TAGS"])
        return list(answer["tasks"])

    def stop(self, task: str, why: str) -> None:
        """Ask a task to end; ECS ends it by force after its stop timeout."""
        with asking_aws():
            self.clients.ecs.stop_task(cluster=self.name, task=task, reason=why)

    def abandon(self, task: str) -> None:
        """Stop a task whose start was interrupted: nobody knows of it yet.

        Raises:
            Failure: it goes on.
        """
        try:
            with signals_held():
                self.stop(task, "interrupted while it was started")
        except Failure as failure:
            raise unreachable(f"Run {task} was started and goes on: {failure} Fix: agentenv stop {task}.") from None

    def wait(self, task: str, progress: Progress, seconds: float | None = None) -> dict[str, Any]:
        """Wait until a task has stopped.

        Args:
            task: Id or ARN.
            progress: Told its status.
            seconds: The most to wait; None for as long as it takes.

        Returns:
            Its last description.

        Raises:
            Failure: it is gone, or has not stopped in time.
        """
        deadline = None if seconds is None else self.clients.clock() + seconds
        watch = Watch(self, task)
        while True:
            found = watch.look()
            if found is None and not watch.is_new:
                raise unreachable(f"ECS does not know task {task} any more.")
            status = str(found["lastStatus"]) if found is not None else "STARTING"
            if found is not None and status == "STOPPED":
                return found
            if deadline is not None and self.clients.clock() > deadline:
                raise unreachable(f"Task {task} is still {status} after {seconds:.0f} s.")
            progress(status.lower())
            self.clients.pause(POLL_SECONDS)

    def _arns(self, status: str, **wanted: str) -> Iterator[str]:
        with asking_aws():
            pages = self.clients.ecs.get_paginator("list_tasks").paginate(
                cluster=self.name, desiredStatus=status, **wanted
            )
            for page in pages:
                yield from page["taskArns"]


@dataclass
class Watch:
    """A task that is looked at again and again, until it has ended.

    Attributes:
        cluster: Where it runs.
        task: Id or ARN.
    """

    cluster: Cluster
    task: str
    _since: float = field(init=False)
    _seen: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._since = self.cluster.clients.clock()

    def look(self) -> dict[str, Any] | None:
        """What ECS says of it; None when it does not know it."""
        with asking_aws():
            found = patiently(self.cluster.clients, lambda: self.cluster.describe([self.task]))
        self._seen = self._seen or bool(found)
        return found[0] if found else None

    @property
    def is_new(self) -> bool:
        """Whether ECS may not know it yet."""
        return not self._seen and self.cluster.clients.clock() - self._since < NEW_SECONDS

    def ended(self) -> bool:
        """Whether it has ended."""
        found = self.look()
        return found["lastStatus"] == "STOPPED" if found is not None else not self.is_new


@dataclass(frozen=True)
class Fargate:
    """Tasks of one environment.

    Attributes:
        clients: AWS.
        environment: From the stack's outputs.
    """

    clients: Clients
    environment: FargateEnvironment

    @property
    def cluster(self) -> Cluster:
        """Where they run."""
        return Cluster(self.clients, self.environment.cluster)

    def start(
        self,
        name: str,
        session: FargateSession,
        overrides: Mapping[str, Any],
        *,
        progress: Progress,
        token: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Start one task of a session's definition.

        Args:
            name: The session's name, which the gateway knows the task by.
            session: From the stack's outputs.
            overrides: What `RunTask` is told.
            progress: Told what keeps it waiting.
            token: Of a run; None for a task that only probes.
            tags: Further ones, of a run.

        Returns:
            The task.

        Raises:
            Failure: with AWS's reason, after two minutes where it is one that may pass.
        """
        # Without the first two the gateway knows no session behind the task's address, and lets nothing out. By the
        # role IAM knows what whoever starts runs may watch and stop.
        own = {
            Tag.ENVIRONMENT.value: tag_value(session.environment),
            Tag.SESSION.value: name,
            Tag.ROLE.value: Role.SESSION.value,
        }
        request = {
            "taskDefinition": session.task_definition,
            "overrides": dict(overrides),
            "capacityProviderStrategy": [{"capacityProvider": session.capacity_provider, "weight": 1}],
            "networkConfiguration": {
                "awsvpcConfiguration": {
                    "subnets": list(self.environment.subnets),
                    "securityGroups": [self.environment.security_group],
                    "assignPublicIp": "DISABLED",
                }
            },
            "propagateTags": "TASK_DEFINITION",
            "enableECSManagedTags": True,
            "startedBy": AGENT if token else PROBES,
            "tags": [{"key": key, "value": value} for key, value in {**(tags or {}), **own}.items()],
        }
        return self.cluster.run(request, token or uuid.uuid4().hex, progress)


def _reasons(failures: Sequence[Mapping[str, str]]) -> str:
    told = (f"{failure.get('reason', '')} {failure.get('detail', '')}".strip() for failure in failures)
    return "; ".join(filter(None, told)) or "it gave no reason"


def _passes(why: str) -> bool:
    return any(word in why for word in TRANSIENT)
