"""Tasks: how starts are tried again, how many are described at a time, and what is made of what ECS says."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from botocore.stub import Stubber

from operate.failures import Failure
from operate.fargate_client import Clients, Refused, asking_aws
from operate.fargate_info import info_of, is_run
from operate.fargate_services import Service, describe
from operate.fargate_tasks import Cluster, Watch
from tests.operate.emulated_aws import quiet

ROOM = {"tasks": [{"taskArn": "arn:aws:ecs:eu-west-1:1:task/agents/t1"}]}
FULL = {"tasks": [], "failures": [{"reason": "RESOURCE:FARGATE"}]}


def refused(code: str, message: str = "no", status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "RunTask",
    )


class Ecs:
    """Answers `RunTask` with these, one after another; time goes by in pauses alone."""

    def __init__(self, *answers: Any) -> None:
        self.answers = [*answers]
        self.tokens: list[str] = []
        self.waits: list[float] = []

    def run_task(self, **asked: Any) -> Any:
        self.tokens.append(asked["clientToken"])
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def start(self, progress: Callable[[str], None] = quiet) -> str:
        clients = Clients(self, None, pause=self.waits.append, clock=lambda: sum(self.waits))
        return str(Cluster(clients, "agents").run({}, "run", progress)["taskArn"])


def test_room_is_asked_for_again_with_another_token() -> None:
    ecs, told = Ecs(FULL, FULL, ROOM), list[str]()
    assert ecs.start(told.append).endswith("t1")
    assert ecs.tokens == ["run-0", "run-1", "run-2"]
    first, second = ecs.waits
    assert 0.5 <= first <= 1 <= second <= 2, "not in step with others that were refused"
    assert told == ["trying again: ECS started no task: RESOURCE:FARGATE"] * 2


def test_no_room_is_told_after_two_minutes() -> None:
    ecs = Ecs(FULL)
    with pytest.raises(Failure, match="ECS started no task: RESOURCE:FARGATE"):
        ecs.start()
    assert sum(ecs.waits) == pytest.approx(120)
    assert 10 <= max(ecs.waits) <= 20


@pytest.mark.parametrize(
    "answer",
    [
        refused("ThrottlingException", "Rate exceeded"),
        refused("ServerException", status=500),
        refused("ClientException", "Capacity is unavailable at this time. Please try again later"),
        refused("LimitExceededException", "You've reached the limit on the vCPUs you can run concurrently"),
    ],
)
def test_an_answer_that_leaves_it_open_is_asked_again_with_the_same_token(answer: ClientError) -> None:
    ecs = Ecs(answer, answer, ROOM)
    ecs.start()
    assert ecs.tokens == ["run-0"] * 3
    ecs = Ecs(answer)
    with pytest.raises(Failure, match=f"AWS refused RunTask: {answer.response['Error']['Code']}: "):
        ecs.start()
    assert sum(ecs.waits) == pytest.approx(120)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"tasks": [], "failures": [{"reason": "MISSING", "detail": "no such cluster"}]}, "MISSING no such cluster"),
        ({"tasks": [], "failures": []}, "it gave no reason"),
        (refused("AccessDeniedException", "not authorized"), "AccessDeniedException: not authorized"),
        (ReadTimeoutError(endpoint_url="https://ecs"), "Whether the task was started is not known"),
    ],
)
def test_what_does_not_pass_is_told_at_once(answer: Any, said: str) -> None:
    ecs = Ecs(answer)
    with pytest.raises(Failure, match=said):
        ecs.start()
    assert ecs.waits == []


def test_the_sdk_keeps_the_token_when_an_answer_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """What AWS started once is not started again: ECS is told the same token by each attempt of one call."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    ecs = boto3.client("ecs", region_name="eu-west-1")
    wanted = {"cluster": "agents", "count": 1, "clientToken": "run-0", "taskDefinition": "t"}
    with Stubber(ecs) as stub:
        stub.add_client_error("run_task", "ThrottlingException", "Rate exceeded", 400, expected_params=wanted)
        stub.add_response("run_task", ROOM, wanted)
        clients = Clients(ecs, None, pause=lambda _: None, clock=lambda: 0)
        task = Cluster(clients, "agents").run({"taskDefinition": "t"}, "run", quiet)
        stub.assert_no_pending_responses()
    assert task == ROOM["tasks"][0]


def test_many_tasks_are_listed_by_pages_and_described_a_hundred_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    ecs = boto3.client("ecs", region_name="eu-west-1")
    listed = {"RUNNING": [["a0", "a1"], ["a2"]], "STOPPED": [["a2", *(f"b{n}" for n in range(100))], ["c0"]]}
    every = ["a0", "a1", "a2", *(f"b{n}" for n in range(100)), "c0"]
    with Stubber(ecs) as stub:
        for status, (first, second) in listed.items():
            wanted = {"cluster": "agents", "desiredStatus": status, "family": "t_run"}
            stub.add_response("list_tasks", {"taskArns": first, "nextToken": "n"}, wanted)
            stub.add_response("list_tasks", {"taskArns": second}, wanted | {"nextToken": "n"})
        for some in (every[:100], every[100:]):
            wanted_tasks = {"cluster": "agents", "tasks": some, "include": ["TAGS"]}
            told = [{"taskArn": one} for one in some]
            stub.add_response("describe_tasks", {"tasks": told}, wanted_tasks)
        found = Cluster(Clients(ecs, None), "agents").all(["t_run"])
        stub.assert_no_pending_responses()
    assert [task["taskArn"] for task in found] == every


def test_a_task_is_waited_for_no_longer_than_asked() -> None:
    waits: list[float] = []

    class Slow:
        def describe_tasks(self, **asked: Any) -> dict[str, Any]:
            known = [{"taskArn": "t1", "lastStatus": "PENDING"}]
            return {"tasks": known if asked["tasks"] == ["t1"] else []}

    cluster = Cluster(Clients(Slow(), None, pause=waits.append, clock=lambda: sum(waits)), "agents")
    with pytest.raises(Failure, match="still PENDING after 9 s"):
        cluster.wait("t1", quiet, 9)
    with pytest.raises(Failure, match="does not know task t2"):
        cluster.wait("t2", quiet)
    assert sum(waits) == pytest.approx(72, abs=4)


def test_a_task_that_ecs_does_not_tell_of_yet_is_waited_for() -> None:
    waits: list[float] = []

    class Late:
        """ECS tells of a task some seconds after it took it."""

        def describe_tasks(self, **_: Any) -> dict[str, Any]:
            known = [{"taskArn": "t1", "lastStatus": "STOPPED"}]
            return {"tasks": known if sum(waits) >= 5 else [], "failures": [{"reason": "MISSING"}]}

    told = list[str]()
    cluster = Cluster(Clients(Late(), None, pause=waits.append, clock=lambda: sum(waits)), "agents")
    assert cluster.wait("t1", told.append)["lastStatus"] == "STOPPED"
    assert set(told) == {"starting"}
    waits.clear()
    watch = Watch(cluster, "t1")
    assert not watch.ended()
    waits.append(5)
    assert watch.ended()


def test_a_task_that_was_seen_once_and_is_gone_has_ended() -> None:
    known = [{"taskArn": "t1", "lastStatus": "RUNNING"}]

    class Forgetful:
        def describe_tasks(self, **_: Any) -> dict[str, Any]:
            return {"tasks": [known.pop()] if known else []}

    waits: list[float] = []
    cluster = Cluster(Clients(Forgetful(), None, pause=waits.append, clock=lambda: sum(waits)), "agents")
    watch = Watch(cluster, "t1")
    assert [watch.ended(), watch.ended()] == [False, True]
    known.append({"taskArn": "t1", "lastStatus": "RUNNING"})
    with pytest.raises(Failure, match="does not know task t1 any more"):
        cluster.wait("t1", quiet)
    assert sum(waits) == 2


@pytest.mark.parametrize(
    "busy",
    [
        refused("ThrottlingException", "Rate exceeded"),
        EndpointConnectionError(endpoint_url="https://ecs"),
        ReadTimeoutError(endpoint_url="https://ecs"),
    ],
)
def test_whoever_waits_is_patient_with_aws(busy: Exception) -> None:
    waits: list[float] = []
    left = 9

    class Busy:
        def describe_tasks(self, **_: Any) -> dict[str, Any]:
            nonlocal left
            left -= 1
            if left >= 0:
                raise busy
            return {"tasks": [{"taskArn": "t1", "lastStatus": "STOPPED"}]}

    cluster = Cluster(Clients(Busy(), None, pause=waits.append, clock=lambda: sum(waits)), "agents")
    assert cluster.wait("t1", quiet)["lastStatus"] == "STOPPED"
    assert len(waits) == 9
    assert waits[0] <= 1 < waits[5] <= 20
    left = 10**6
    with pytest.raises(Failure, match="AWS"):
        cluster.wait("t1", quiet)
    assert 600 < sum(waits) < 800


def test_what_aws_refuses_is_not_asked_again() -> None:
    class No:
        def describe_tasks(self, **_: Any) -> dict[str, Any]:
            raise refused("AccessDeniedException")

    waits: list[float] = []
    with pytest.raises(Failure, match="AccessDenied"):
        Cluster(Clients(No(), None, pause=waits.append, clock=lambda: 0), "agents").wait("t1", quiet)
    assert waits == []


def test_an_error_of_aws_is_told_in_its_words() -> None:
    with pytest.raises(Failure, match="AWS refused RunTask: X: no"), asking_aws():
        raise refused("X")
    for denied in ("AccessDenied", "AccessDeniedException"):
        with pytest.raises(Refused, match=f"AWS refused RunTask: {denied}: no"), asking_aws():
            raise refused(denied)


ENDED = {
    "taskArn": "arn:aws:ecs:eu-west-1:1:task/agents/t1",
    "lastStatus": "STOPPED",
    "desiredStatus": "STOPPED",
    "startedAt": datetime(2026, 1, 1, tzinfo=UTC),
    "executionStoppedAt": datetime(2026, 1, 1, 0, 1, tzinfo=UTC),
    "stoppedAt": datetime(2026, 1, 1, 0, 2, tzinfo=UTC),
    "stoppedReason": "Essential container in task exited",
    "tags": [{"key": "agentenv:session", "value": "desk"}, {"key": "agentenv:conversation", "value": "c1"}],
}


@pytest.mark.parametrize(
    ("container", "stopped", "code", "outcome", "reason"),
    [
        ({"exitCode": 0}, None, 0, "success", None),
        ({"exitCode": 11}, None, 11, "limit_reached", None),
        ({"exitCode": 137, "reason": "OutOfMemoryError: killed"}, None, 137, "crash", "OutOfMemoryError: killed"),
        (
            {"reason": "CannotPullContainerError: x"},
            "Task failed to start",
            None,
            "crash",
            "CannotPullContainerError: x; Task failed to start",
        ),
        ({"exitCode": 143}, "Your Spot Task was interrupted.", 143, "stopped", "Your Spot Task was interrupted."),
    ],
)
def test_the_end_of_a_task_is_told_with_awss_own_reason(
    container: Mapping[str, Any], stopped: str | None, code: int | None, outcome: str, reason: str | None
) -> None:
    info = info_of(
        ENDED
        | {"containers": [{"name": "session", "imageDigest": "sha256:1", **container}]}
        | ({"stoppedReason": stopped} if stopped else {})
    )
    assert (info.exit_code, info.outcome, info.reason) == (code, outcome, reason)
    assert (info.id, info.session, info.conversation, info.image) == ("t1", "desk", "c1", "sha256:1")
    assert (info.started, info.ended) == (ENDED["startedAt"], ENDED["executionStoppedAt"])


def test_a_code_that_only_a_command_of_its_own_has_is_its_error() -> None:
    command = ["/opt/agentenv/bin/python", "-I", "/usr/local/lib/agentenv/session.py", "exec", "--", "make"]
    told = ENDED | {"containers": [{"name": "session", "exitCode": 11}]}
    own = {"containerOverrides": [{"name": "session", "command": command}]}
    assert info_of(told | {"overrides": own}).outcome == "agent_error"
    assert info_of(told).outcome == "limit_reached"


@pytest.mark.parametrize(
    ("last", "desired", "status"),
    [
        ("PROVISIONING", "RUNNING", "starting"),
        ("PENDING", "RUNNING", "starting"),
        ("RUNNING", "RUNNING", "running"),
        ("RUNNING", "STOPPED", "stopping"),
        ("PENDING", "STOPPED", "stopping"),
        ("DEPROVISIONING", "STOPPED", "stopping"),
        ("STOPPED", "STOPPED", "ended"),
    ],
)
def test_where_a_task_is_on_its_way(last: str, desired: str, status: str) -> None:
    told = {**ENDED, "lastStatus": last, "desiredStatus": desired, "containers": [{"name": "session", "exitCode": 0}]}
    info = info_of(told)
    assert info.status == status
    assert (info.outcome is None, info.ended is None) == (status != "ended",) * 2


def test_gateways_and_tasks_of_services_are_no_runs() -> None:
    assert is_run(ENDED)
    assert not is_run(ENDED | {"tags": [{"key": "agentenv:role", "value": "gateway"}]})
    assert not is_run(ENDED | {"group": "service:chat"})


SERVICE_ARN = "arn:aws:ecs:eu-west-1:1:service/agents/chat"


class Scaled:
    """ECS with one service, whose tasks follow the wanted number one look later."""

    def __init__(self, wanted: int, running: int, *, rival: bool = False) -> None:
        self.wanted, self.is_running, self.rival = wanted, running, rival
        self.asked: list[int] = []

    def describe_services(self, **asked: Any) -> dict[str, Any]:
        told = self._told()
        self.is_running = self.wanted
        if self.asked and self.rival:
            self.wanted = 1
        return {"services": [told for one in asked["services"] if one == SERVICE_ARN]}

    def update_service(self, **asked: Any) -> dict[str, Any]:
        self.asked.append(asked["desiredCount"])
        self.wanted = asked["desiredCount"]
        return {"service": self._told()}

    def _told(self) -> dict[str, Any]:
        return {
            "serviceArn": SERVICE_ARN,
            "status": "ACTIVE",
            "desiredCount": self.wanted,
            "runningCount": self.is_running,
            "pendingCount": 0,
            "events": [{"message": "was unable to place a task"}],
        }

    def get_paginator(self, _: str) -> "Scaled":
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        return [{"taskArns": ["t0", "t1", "other"]}]

    def describe_tasks(self, **_: Any) -> dict[str, Any]:
        of = {**ENDED, "group": "service:chat", "containers": [{"name": "session", "exitCode": 0}]}
        first = of | {"taskArn": "t0", "createdAt": datetime(2026, 1, 1, tzinfo=UTC)}
        last = of | {"taskArn": "t1", "createdAt": datetime(2026, 1, 2, tzinfo=UTC)}
        if self.is_running:
            last |= {"lastStatus": "RUNNING", "desiredStatus": "RUNNING"}
        return {"tasks": [first, last, of | {"taskArn": "other", "group": "service:mail"}]}

    def service(self, arn: str = SERVICE_ARN) -> Service:
        clients = Clients(self, None, pause=lambda _: None)
        return Service(Cluster(clients, "agents"), "chat", arn, "api-client", "hash")


def test_a_service_ends_when_it_has_no_task_any_more() -> None:
    ecs, told = Scaled(1, 1), list[str]()
    assert (ecs.service().info().status, ecs.service().info().started) == ("running", ENDED["startedAt"])
    stopped = ecs.service().stop(told.append)
    assert (stopped.status, stopped.exit_code, stopped.outcome) == ("ended", 0, "success")
    assert (stopped.id, stopped.kind, stopped.conversation) == ("chat", "service", None)
    assert ecs.asked == [0]
    assert set(told) == {"saving and ending"}
    ecs.service().stop(quiet)
    assert ecs.asked == [0]
    assert [task["taskArn"] for task in ecs.service().tasks()] == ["t1", "t0"]


def test_a_service_starts_once() -> None:
    ecs = Scaled(0, 0)
    started = ecs.service().start()
    assert (started.status, started.reason, started.exit_code) == ("starting", "was unable to place a task", None)
    ecs.service().start()
    assert ecs.asked == [1]


def test_a_service_that_somebody_starts_while_it_ends_is_told() -> None:
    with pytest.raises(Failure, match="started again while it ended"):
        Scaled(1, 1, rival=True).service().stop(quiet)


def test_a_service_that_is_gone_is_told() -> None:
    ecs = Scaled(1, 1)
    gone = ecs.service("arn:aws:ecs:eu-west-1:1:service/agents/none")
    with pytest.raises(Failure, match=r"is gone\. Fix: run pulumi up"):
        gone.info()
    assert [one is None for one in describe([gone, ecs.service()])] == [True, False]
    assert (gone.gone().status, gone.gone().kind) == ("ended", "service")
