"""Probes on Fargate, against the emulated AWS: the calls, their tags, and what is made of the answers."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from operate import verify as verifying
from operate.evidence import Evidence
from operate.failures import Exit, Failure
from operate.fargate_runs import Clients
from operate.outputs import Outputs
from operate.verify import verify
from tests.operate.deployed import REGION, outputs

STREAM = "session/session"
DENIED = {"event": "probe", "id": "denied-host", "seen": "denied", "detail": "403 host-not-allowed"}
DONE = {"event": "probes_done", "count": 1}


class Aws:
    """The emulated AWS, and what happens while somebody waits for it."""

    def __init__(self) -> None:
        self.ecs: Any = boto3.client("ecs", region_name=REGION)
        self.logs: Any = boto3.client("logs", region_name=REGION)
        ec2: Any = boto3.client("ec2", region_name=REGION)
        vpc = ec2.create_vpc(CidrBlock="10.64.0.0/20")["Vpc"]["VpcId"]
        # Without it the emulator's network interfaces have no name, and its tasks want one.
        ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
        self.subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.64.0.0/22")["Subnet"]["SubnetId"]
        self.group = ec2.create_security_group(GroupName="s", Description="s", VpcId=vpc)["GroupId"]
        self.ecs.create_cluster(clusterName="agents")
        definition = self.ecs.register_task_definition(
            family="t_run",
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="1024",
            memory="2048",
            containerDefinitions=[
                {
                    "name": "session",
                    "image": "repo@sha256:1",
                    "memory": 512,
                }
            ],
            tags=[{"key": "agentenv:environment", "value": "api-client"}],
        )
        self.definition = definition["taskDefinition"]["taskDefinitionArn"]
        self.logs.create_log_group(logGroupName="/t/environment")
        self.asked: dict[str, Any] = {}
        self.waits: list[float] = []
        self.said: list[dict[str, Any]] = [DENIED, DONE]
        real = self.ecs.run_task

        def run_task(**arguments: Any) -> Any:
            self.asked = arguments
            return real(**arguments)

        self.ecs.run_task = run_task

    def pause(self, seconds: float) -> None:
        """The task ends, and its log arrives, while the first pause lasts."""
        self.waits.append(seconds)
        tasks = self.ecs.list_tasks(cluster="agents", desiredStatus="RUNNING")["taskArns"]
        for task in tasks:
            stream = f"{STREAM}/{task.rpartition('/')[2]}"
            if self.said:
                self.logs.create_log_stream(logGroupName="/t/environment", logStreamName=stream)
                now = int(time.time() * 1000)
                events = [{"timestamp": now, "message": json.dumps(line)} for line in self.said]
                self.logs.put_log_events(logGroupName="/t/environment", logStreamName=stream, logEvents=events)
            self.ecs.stop_task(cluster="agents", task=task, reason="Essential container in task exited")

    def deployed(self, **fields: Any) -> Outputs:
        data = outputs("fargate", subnets=[self.subnet], security_group=self.group, **fields)
        data["sessions"]["desk"]["held"] = ["GH_TOKEN"]
        for session in data["sessions"].values():
            session["task_definition"] = self.definition
            session["overrides"]["containerOverrides"][0]["environment"] = [{"name": "PLAIN", "value": "x"}]
        return Outputs.parse(data)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        made = Aws()
        monkeypatch.setattr(verifying, "clients", lambda session: Clients(made.ecs, made.logs, made.pause))
        monkeypatch.setattr("operate.fargate_runs.LOG_SECONDS", 0)
        yield made


def probed(aws: Aws, progress: Callable[[str], None] = lambda what: None) -> Evidence:
    return verify("desk", aws.deployed(), None, progress)


def test_the_probes_run_in_a_task_of_the_sessions_own_definition(aws: Aws) -> None:
    evidence = probed(aws)
    assert aws.asked["taskDefinition"] == aws.definition
    assert {pair["key"]: pair["value"] for pair in aws.asked["tags"]} == {
        "agentenv:environment": "api-client",
        "agentenv:session": "desk",
    }
    assert aws.asked["propagateTags"] == "TASK_DEFINITION"
    network = aws.asked["networkConfiguration"]["awsvpcConfiguration"]
    assert network == {"subnets": [aws.subnet], "securityGroups": [aws.group], "assignPublicIp": "DISABLED"}
    (container,) = aws.asked["overrides"]["containerOverrides"]
    assert container["command"][:2] == ["/usr/bin/python3", "-I"]
    assert container["environment"] == [{"name": "PLAIN", "value": "x"}]
    assert aws.asked["overrides"]["cpu"] == "1024"
    order = json.loads(container["command"][-1])
    assert order["gateway"] == "gw.t.internal:3128"
    targets = {number: target for number, _, target in order["probes"]}
    assert targets["secrets"] == "GH_TOKEN"
    assert targets["session-chat"] == "chat.t.internal:8080"
    by_id = {result.id: result for result in evidence.results}
    assert by_id["denied-host"].ok
    assert by_id["direct-tcp"].seen == "not finished"
    assert evidence.examined.where.startswith("one-off task arn:aws:ecs:")
    assert not evidence.ok


def test_all_of_it_fits_into_the_overrides(aws: Aws) -> None:
    data = aws.deployed()
    long = [{"name": f"V{n}", "value": "x" * 400} for n in range(20)]
    session = data.sessions["desk"]
    session.overrides["containerOverrides"][0]["environment"] = long  # type: ignore[union-attr]
    verify("desk", data, None, lambda what: None)
    assert len(json.dumps(aws.asked["overrides"])) <= 8192


def test_what_is_waited_for_is_told(aws: Aws) -> None:
    told: list[str] = []
    probed(aws, told.append)
    assert told[0] == "starting a one-off task"
    assert told[-1] == "reading its log"


def test_a_task_that_says_nothing_is_told_with_its_reason(aws: Aws) -> None:
    aws.said = []
    with pytest.raises(Failure, match="Essential container in task exited") as caught:
        probed(aws)
    assert caught.value.code is Exit.UNREACHABLE


def test_a_task_is_stopped_when_nobody_waits_for_it_any_more(aws: Aws) -> None:
    def interrupted(what: str) -> None:
        if what.startswith("task "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        probed(aws, interrupted)
    assert aws.ecs.list_tasks(cluster="agents", desiredStatus="RUNNING")["taskArns"] == []


def test_no_room_is_asked_for_again_and_then_told(aws: Aws) -> None:
    answer = {"tasks": [], "failures": [{"reason": "RESOURCE:FARGATE"}]}
    aws.ecs.run_task = lambda **arguments: answer
    with pytest.raises(Failure, match="RESOURCE:FARGATE"):
        probed(aws)
    assert aws.waits == [1, 2, 4, 8]


def test_a_refusal_that_stays_is_told_at_once(aws: Aws) -> None:
    answer = {"tasks": [], "failures": [{"reason": "MISSING", "detail": "no such cluster"}]}
    aws.ecs.run_task = lambda **arguments: answer
    with pytest.raises(Failure, match="MISSING no such cluster"):
        probed(aws)
    assert aws.waits == []


def test_what_aws_refuses_is_told_in_its_words(aws: Aws) -> None:
    deployed = aws.deployed(cluster="another")
    with pytest.raises(Failure, match="AWS refused RunTask: ClusterNotFound"):
        verify("desk", deployed, None, lambda what: None)


def test_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    # Whoever asked AWS before has left its credentials there.
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(Failure, match="credentials"):
        verify("desk", Outputs.parse(outputs("fargate")), None, lambda what: None)
