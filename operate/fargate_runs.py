"""One task on Fargate: start it, wait for its end, read what it said."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from components.models.tags import Tag, tag_value
from components.plans.task import CONTAINER
from operate.evidence import Progress
from operate.failures import unreachable
from operate.outputs import FargateEnvironment, FargateSession

STARTED_BY = "agentenv"
WAIT_SECONDS = 600
LOG_SECONDS = 30
ATTEMPTS = 5
TRANSIENT = ("RESOURCE", "CAPACITY", "Capacity", "AGENT")
"""What RunTask's reasons begin with, or hold, when a later attempt may find room."""


@dataclass(frozen=True)
class Clients:
    """The AWS APIs that runs need; boto3 makes them at run time, so they have no type. `pause` waits some seconds."""

    ecs: Any
    logs: Any
    pause: Callable[[float], None] = time.sleep


def clients(session: FargateSession) -> Clients:
    """Clients for the region that the session's task definition is in.

    Raises:
        Failure: there are no credentials, or no such region.
    """
    region = session.task_definition.split(":")[3] if session.task_definition.count(":") >= 5 else None
    config = Config(retries={"mode": "standard", "total_max_attempts": 6}, user_agent_extra="agentenv")
    with asking_aws():
        return Clients(
            boto3.client("ecs", region_name=region, config=config),
            boto3.client("logs", region_name=region, config=config),
        )


@contextmanager
def asking_aws() -> Iterator[None]:
    """AWS's own reason for what it refuses, as one error.

    Raises:
        Failure: it refused, or could not be reached.
    """
    try:
        yield
    except ClientError as error:
        about = error.response["Error"]
        operation, code, message = error.operation_name, about.get("Code", ""), about.get("Message", "")
        raise unreachable(f"AWS refused {operation}: {code}: {message}") from None
    except BotoCoreError as error:
        raise unreachable(f"AWS cannot be asked: {error}") from None


@dataclass(frozen=True)
class Fargate:
    """Runs of one environment.

    Attributes:
        clients: AWS.
        environment: From the stack's outputs.
    """

    clients: Clients
    environment: FargateEnvironment

    def start(self, name: str, session: FargateSession, overrides: Mapping[str, Any]) -> str:
        """Start one task of a session's definition.

        Args:
            name: The session's name, which the gateway knows the task by.
            session: From the stack's outputs.
            overrides: What `RunTask` is told.

        Returns:
            ARN of the task.

        Raises:
            Failure: with AWS's reason, after a few attempts where it is one that passes.
        """
        for attempt in range(ATTEMPTS):
            with asking_aws():
                # The SDK asks again with the same token, so an answer that was lost starts no second task.
                answer = self.clients.ecs.run_task(
                    cluster=self.environment.cluster,
                    taskDefinition=session.task_definition,
                    overrides=dict(overrides),
                    count=1,
                    clientToken=uuid.uuid4().hex,
                    capacityProviderStrategy=[{"capacityProvider": session.capacity_provider, "weight": 1}],
                    networkConfiguration={
                        "awsvpcConfiguration": {
                            "subnets": list(self.environment.subnets),
                            "securityGroups": [self.environment.security_group],
                            "assignPublicIp": "DISABLED",
                        }
                    },
                    propagateTags="TASK_DEFINITION",
                    enableECSManagedTags=True,
                    startedBy=STARTED_BY,
                    # Without both the gateway knows no session behind the task's address, and lets nothing out.
                    tags=[
                        {"key": Tag.ENVIRONMENT, "value": tag_value(session.environment)},
                        {"key": Tag.SESSION, "value": name},
                    ],
                )
            if answer["tasks"]:
                return str(answer["tasks"][0]["taskArn"])
            reasons = [f"{f.get('reason', '')} {f.get('detail', '')}".strip() for f in answer.get("failures", [])]
            if attempt + 1 == ATTEMPTS or not any(word in reason for reason in reasons for word in TRANSIENT):
                break
            self.clients.pause(2.0**attempt)
        raise unreachable(f"ECS started no task: {'; '.join(reasons) or 'it gave no reason'}")

    def stop(self, task: str, reason: str) -> None:
        """Stop a task."""
        with asking_aws():
            self.clients.ecs.stop_task(cluster=self.environment.cluster, task=task, reason=reason)

    def wait(self, task: str, progress: Progress) -> dict[str, Any]:
        """Wait until a task has stopped.

        Returns:
            Its last description.

        Raises:
            Failure: it is gone, or has not stopped within ten minutes.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            with asking_aws():
                found = self.clients.ecs.describe_tasks(cluster=self.environment.cluster, tasks=[task])["tasks"]
            if not found:
                raise unreachable(f"ECS does not know task {task} any more.")
            if found[0]["lastStatus"] == "STOPPED":
                return dict(found[0])
            if time.monotonic() > deadline:
                raise unreachable(f"Task {task} is still {found[0]['lastStatus']} after {WAIT_SECONDS} s.")
            progress(found[0]["lastStatus"].lower())
            self.clients.pause(2)

    def lines(self, task: str, complete: Callable[[list[str]], bool]) -> list[str]:
        """What the session's container of a task wrote to its log.

        Args:
            task: ARN.
            complete: Whether that is all; CloudWatch delivers late.
        """
        stream = f"{CONTAINER}/{CONTAINER}/{task.rpartition('/')[2]}"
        deadline = time.monotonic() + LOG_SECONDS
        while True:
            found = self._lines(stream)
            if complete(found) or time.monotonic() > deadline:
                return found
            self.clients.pause(2)

    def _lines(self, stream: str) -> list[str]:
        lines: list[str] = []
        token: dict[str, str] = {}
        while True:
            with asking_aws():
                try:
                    page = self.clients.logs.get_log_events(
                        logGroupName=self.environment.log_group, logStreamName=stream, startFromHead=True, **token
                    )
                except self.clients.logs.exceptions.ResourceNotFoundException:
                    return []
            lines += [event["message"] for event in page["events"]]
            # CloudWatch says that there is no more by giving the same token again.
            if page["nextForwardToken"] == token.get("nextToken"):
                return lines
            token = {"nextToken": page["nextForwardToken"]}
