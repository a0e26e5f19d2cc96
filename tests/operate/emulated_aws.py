"""The emulated AWS with a deployed stack on it, and what happens while somebody waits for it."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.exceptions import ClientError

from components.models.session import Session
from components.plans import task
from operate.fargate_client import Clients, clients
from operate.outputs import Outputs
from tests.operate.deployed import REGION, outputs

CLUSTER, GROUP, BUCKET = "agents", "/t/environment", "t-state"
DESK = {"name": "desk", "environment": "api-client", "pattern": "ephemeral", "agent": {"model": "m", "max_turns": 3}}
CHAT = {
    "name": "chat",
    "environment": "api-client",
    "pattern": "long_running",
    "agent": {"model": "m"},
    "ports": [8080],
    "token_sha256": "0" * 64,
}
RESULT = {
    "version": 1,
    "run": "r",
    "session": "desk",
    "environment": "api-client",
    "outcome": "success",
    "exit_code": 0,
    "started": "2027-01-31T10:00:00.000Z",
    "ended": "2027-01-31T10:00:02.000Z",
    "agents": [{"name": "agent", "text": "hi"}],
}
SAID: Sequence[Mapping[str, Any]] = (
    {"event": "session_started", "session": "desk"},
    {"event": "assistant_text", "text": "hi"},
    {"event": "result_part", "part": 0, "parts": 1, "text": json.dumps(RESULT)},
    {"event": "session_ended", "outcome": "success", "exit_code": 0},
)


def quiet(_: str) -> None:
    """Nobody watches."""


def overrides(declared: Mapping[str, Any] = DESK, **fields: Any) -> dict[str, Any]:
    """What the stack says of a session: its `RunTask` overrides."""
    return task.overrides(Session.model_validate({**declared, **fields}), "gw.t.internal")


class Aws:
    """The emulated AWS; its tasks say `said` and end during the first pause.

    Attributes:
        data: Outputs of the stack: `desk` runs an agent, `mail` keeps its state, `own` has a command, `pair` two
            agents, `chat` stays up.
        asked: What `RunTask` was told.
        answers: What it answers instead of starting a task, one after another; an exception is raised.
        pauses: Seconds that were waited.
        said: What each task writes.
    """

    def __init__(self) -> None:
        self._clients = clients(REGION)
        self.ecs, self.logs, self.s3 = self._clients.ecs, self._clients.logs, self._clients.s3
        ec2: Any = boto3.client("ec2", region_name=REGION)
        vpc = ec2.create_vpc(CidrBlock="10.64.0.0/20")["Vpc"]["VpcId"]
        # Without it the emulator's network interfaces have no name, and its tasks want one.
        ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
        self.subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.64.0.0/22")["Subnet"]["SubnetId"]
        self.group = ec2.create_security_group(GroupName="s", Description="s", VpcId=vpc)["GroupId"]
        self.ecs.create_cluster(clusterName=CLUSTER)
        self.definition = self.register("t_run", "api-client")
        self.service = self.ecs.create_service(
            cluster=CLUSTER, serviceName="chat", taskDefinition=self.definition, desiredCount=1
        )["service"]["serviceArn"]
        self.logs.create_log_group(logGroupName=GROUP)
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        self.asked: list[dict[str, Any]] = []
        self.answers: list[Any] = []
        self.pauses: list[float] = []
        self.said: Sequence[Mapping[str, Any]] = SAID
        self.temporary = False
        self._time = 0.0
        self._began: dict[str, datetime] = {}
        self._run, self._describe = self.ecs.run_task, self.ecs.describe_tasks
        self.ecs.run_task, self.ecs.describe_tasks = self._run_task, self._describe_tasks
        self.data = self._outputs()

    def register(self, family: str, environment: str) -> str:
        """ARN of a definition of sessions of an environment."""
        made = self.ecs.register_task_definition(
            family=family,
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="1024",
            memory="2048",
            containerDefinitions=[{"name": "session", "image": "repo@sha256:1", "memory": 512}],
            tags=[{"key": "agentenv:environment", "value": environment}],
        )
        return str(made["taskDefinition"]["taskDefinitionArn"])

    @property
    def place(self) -> dict[str, Any]:
        """Where tasks run, and what they keep, as the outputs tell it."""
        return {"subnets": [self.subnet], "security_group": self.group, "state_bucket": BUCKET}

    def let_see(self, environment: str) -> None:
        """From now on AWS shows what is one environment's, as its starter policy has it; the emulator knows no IAM."""
        judge: Any = boto3.client("ecs", region_name=REGION)

        def own_tasks(asked: Mapping[str, Any]) -> bool:
            found = judge.describe_tasks(cluster=CLUSTER, tasks=asked["tasks"], include=["TAGS"])["tasks"]
            pair = {"key": "agentenv:environment", "value": environment}
            return len(found) == len(asked["tasks"]) and all(pair in task["tags"] for task in found)

        rules: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
            "ecs.DescribeTasks": own_tasks,
            "ecs.DescribeServices": lambda asked: asked["services"] == [self.service],
            "logs.GetLogEvents": lambda asked: asked["logGroupName"] == GROUP,
            "s3.ListObjectsV2": lambda asked: str(asked["Prefix"]).startswith(f"state/{environment}/"),
            "s3.ListObjectVersions": lambda asked: str(asked["Prefix"]).startswith(f"state/{environment}/"),
        }
        for operation, allowed in rules.items():
            service, _, name = operation.partition(".")

            def judged(
                params: Mapping[str, Any],
                allowed: Callable[[Mapping[str, Any]], bool] = allowed,
                name: str = name,
                code: str = "AccessDenied" if service == "s3" else "AccessDeniedException",
                **_: Any,
            ) -> None:
                if not allowed(params):
                    raise ClientError({"Error": {"Code": code, "Message": "not authorized"}}, name)

            getattr(self, service).meta.events.register(f"provide-client-params.{operation}", judged)

    def _outputs(self) -> dict[str, Any]:
        data = outputs("fargate", **self.place)
        one = data["sessions"]["desk"] | {"task_definition": self.definition}
        up = data["sessions"]["chat"] | {"task_definition": self.definition, "service": self.service}
        mail, own = DESK | {"name": "mail", "pattern": "hybrid"}, {k: v for k, v in DESK.items() if k != "agent"}
        agents = [{"name": name, "model": "m"} for name in ("writer", "checker")]
        pair: dict[str, Any] = {**own, "name": "pair", "pattern": "single_container", "agents": agents}
        data["sessions"] = {
            "desk": one | {"overrides": overrides(variables={"PLAIN": "x"}), "held": ["GH_TOKEN"]},
            "mail": one | {"overrides": overrides(mail), "pattern": "hybrid"},
            "own": one | {"overrides": overrides(own, name="own", command=["make", "all"])},
            "pair": one | {"overrides": overrides(pair), "pattern": "single_container"},
            "chat": up | {"overrides": overrides(CHAT)},
        }
        return data

    def deployed(self, **fields: Any) -> Outputs:
        """The outputs; `fields` of the environment changed."""
        self.data["environments"]["api-client"] |= fields
        return Outputs.parse(self.data)

    def clients(self) -> Clients:
        """How it is asked."""
        return replace(self._clients, temporary=lambda: self.temporary, pause=self.pause, clock=lambda: self._time)

    def pause(self, seconds: float) -> None:
        """Time goes by: every task says what it has to say, and ends."""
        self.pauses.append(seconds)
        self._time += seconds
        for arn in self.running():
            if self.said:
                self.say(arn.rpartition("/")[2], self.said)
            self.ecs.stop_task(cluster=CLUSTER, task=arn, reason="Essential container in task exited")

    def running(self) -> list[str]:
        """ARNs of the tasks that run."""
        return list(self.ecs.list_tasks(cluster=CLUSTER, desiredStatus="RUNNING")["taskArns"])

    def say(self, run: str, lines: Sequence[Mapping[str, Any]]) -> None:
        """Put lines into a task's log."""
        stream = f"session/session/{run}"
        self.logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": json.dumps(line, separators=(",", ":"))} for line in lines]
        self.logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the task that was asked for last."""
        return {pair["key"]: pair["value"] for pair in self.asked[-1]["tags"]}

    @property
    def variables(self) -> dict[str, str]:
        """Variables of the task that was asked for last."""
        (container,) = self.asked[-1]["overrides"]["containerOverrides"]
        return {pair["name"]: pair["value"] for pair in container["environment"]}

    @property
    def task(self) -> dict[str, Any]:
        """Document of the task that was asked for last."""
        return dict(json.loads(self.variables["AGENTENV_TASK"]))

    def desired(self) -> int:
        """How many tasks the service is to have."""
        return int(self.ecs.describe_services(cluster=CLUSTER, services=["chat"])["services"][0]["desiredCount"])

    def _run_task(self, **arguments: Any) -> Any:
        self.asked.append(arguments)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            return answer
        started = self._run(**arguments)
        # The emulator does not tell when it took a task.
        self._began[started["tasks"][0]["taskArn"]] = datetime(2027, 1, 31, second=len(self._began), tzinfo=UTC)
        return started

    def _describe_tasks(self, **arguments: Any) -> Any:
        found = self._describe(**arguments)
        for one in found["tasks"]:
            one["createdAt"] = self._began[one["taskArn"]]
        return found
