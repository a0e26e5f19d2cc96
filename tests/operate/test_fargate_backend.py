"""Runs and services on Fargate against the emulated AWS: the calls, their tags, and what is made of the answers."""

import json
import os
import re
import signal
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError
from egress_gateway.credentials import Agent
from egress_gateway.ecs import agents_of

from components.models.tags import RunTag, Tag
from components.plans.task import OVERRIDE_LIMIT
from operate import __main__ as command_line
from operate.failures import Exit, Failure
from operate.fargate_backend import FargateRuns
from operate.runs import Order
from operate.tokens import token_hash
from tests.operate.deployed import REGION, environment
from tests.operate.emulated_aws import BUCKET, CLUSTER, RESULT, SAID, Aws, quiet


def test_a_run_is_a_task_with_its_document_and_its_tags(aws: Aws, runs: FargateRuns) -> None:
    info = runs.start(Order("desk", "do it", env={"TONE": "kind"}), quiet)
    asked, policy = aws.asked[-1], aws.data["environments"]["api-client"]["policy_hash"]
    run = aws.variables["AGENTENV_RUN"]
    assert aws.tags == {
        Tag.ENVIRONMENT: "api-client",
        Tag.SESSION: "desk",
        Tag.ROLE: "session",
        RunTag.RUN: run,
        RunTag.IMAGE: "sha256:0",
        RunTag.POLICY: policy,
    }
    assert asked["propagateTags"] == "TASK_DEFINITION"
    assert asked["taskDefinition"] == aws.definition
    assert asked["capacityProviderStrategy"] == [{"capacityProvider": "FARGATE", "weight": 1}]
    network = asked["networkConfiguration"]["awsvpcConfiguration"]
    assert network == {"subnets": [aws.subnet], "securityGroups": [aws.group], "assignPublicIp": "DISABLED"}
    assert aws.task == {"version": 1, "run": run, "prompt": "do it"}
    declared = json.loads(aws.variables["AGENTENV_SESSION"])
    assert (declared["name"], aws.variables["TONE"], aws.variables["PLAIN"]) == ("desk", "kind", "x")
    assert asked["overrides"]["cpu"] == "1024"
    assert aws.running() == [f"arn:aws:ecs:eu-west-1:123456789012:task/{CLUSTER}/{info.id}"]
    assert (info.session, info.environment, info.kind, info.policy_hash) == ("desk", "api-client", "run", policy)


def test_the_gateway_is_told_the_agents_of_a_task_apart(aws: Aws, runs: FargateRuns) -> None:
    runs.start(Order("pair", "x"), quiet)
    tokens = aws.task["agents"]
    assert tokens.keys() == {"writer", "checker"}
    assert agents_of(aws.tags) == tuple(Agent(name, token_hash(tokens[name])) for name in sorted(tokens))
    assert not any(token in value for token in tokens.values() for value in aws.tags.values())
    runs.start(Order("desk", "x"), quiet)
    assert ("agents" in aws.task, agents_of(aws.tags)) == (False, ())


def test_the_image_is_told_where_there_are_several(aws: Aws) -> None:
    deployed = aws.deployed(images={"x86_64": "repo@sha256:0", "arm64": "repo@sha256:9"})
    FargateRuns(deployed, aws.clients()).start(Order("desk", "x"), quiet)
    assert RunTag.IMAGE not in aws.tags
    aws.data["sessions"]["desk"]["image"] = "repo@sha256:9"
    FargateRuns(aws.deployed(), aws.clients()).start(Order("desk", "x"), quiet)
    assert aws.tags[RunTag.IMAGE] == "sha256:9"


def test_the_end_the_log_and_the_result_of_a_run(aws: Aws, runs: FargateRuns) -> None:
    started = runs.start(Order("desk", "do it"), quiet)
    with pytest.raises(Failure, match="waits for its end"):
        runs.result(started)
    followed = [json.loads(line) for line in runs.lines(started, follow=True)]
    assert followed == [*SAID]
    ended = runs.wait(started, quiet)
    assert (ended.status, ended.id) == ("ended", started.id)
    assert runs.result(ended) == RESULT | {"run": started.id}, "the id that everything else names it by"
    for name in (started.id, f"arn:aws:ecs:eu-west-1:1:task/agents/{started.id}", aws.variables["AGENTENV_RUN"]):
        assert runs.find(name).id == started.id
    assert [json.loads(line) for line in runs.lines(ended, follow=False)] == [*SAID]


def test_list_tells_services_and_the_newest_runs_first(aws: Aws, runs: FargateRuns) -> None:
    first = runs.start(Order("desk", "x"), quiet)
    runs.wait(first, quiet)
    second = runs.start(Order("mail", "x"), quiet)
    found = runs.list(None)
    assert [(one.id, one.kind, one.status == "ended") for one in found] == [
        ("chat", "service", False),
        (second.id, "run", False),
        (first.id, "run", True),
    ]
    assert [one.id for one in runs.list("desk")] == [first.id]
    with pytest.raises(Failure, match="did you mean 'desk'"):
        runs.list("dusk")


@pytest.fixture
def starter(aws: Aws, notes: list[str]) -> FargateRuns:
    """Of whoever has the starter policy of `api-client` alone; the stack has a second environment, with a run."""
    definition = aws.register("t_theirs", "other")
    aws.data["environments"]["other"] = environment("fargate", log_group="/t/other", **aws.place)
    mail = aws.data["sessions"]["mail"] | {"environment": "other", "task_definition": definition}
    service = aws.ecs.create_service(cluster=CLUSTER, serviceName="up", taskDefinition=definition, desiredCount=1)
    chat = aws.data["sessions"]["chat"] | {"environment": "other", "service": service["service"]["serviceArn"]}
    aws.data["sessions"] |= {"theirs": mail, "up": chat | {"task_definition": definition}}
    FargateRuns(aws.deployed(), aws.clients()).start(Order("theirs", "x", env={}), quiet)
    aws.s3.put_object(Bucket=BUCKET, Key="state/other/theirs/c7/state.tar", Body=b"one")
    aws.s3.put_object(Bucket=BUCKET, Key="state/api-client/mail/c1/state.tar", Body=b"one")
    aws.let_see("api-client")
    return FargateRuns(aws.deployed(), aws.clients(), notes.append)


def test_whoever_starts_runs_of_one_environment_sees_those_and_is_told_of_the_rest(
    aws: Aws, starter: FargateRuns, notes: list[str]
) -> None:
    theirs = aws.running()[0].rpartition("/")[2]
    own = starter.start(Order("desk", "x"), quiet)
    assert [one.id for one in starter.list("desk")] == [own.id]
    assert notes == []
    assert [one.id for one in starter.list(None)] == ["chat", own.id]
    assert [one.id for one in starter.conversations()] == ["c1"]
    (note,) = notes
    assert note.startswith("environment 'other' is left out: AWS refused DescribeTasks: AccessDeniedException")
    assert starter.find(own.id).id == own.id
    assert starter.find("c1").session == "mail"
    resumed = starter.resume(starter.find("c1"), Order("", "on"), quiet)
    assert resumed.conversation == "c1"
    # Neither of another environment nor forgotten: ECS refuses both alike.
    for unknown in (theirs, "b" * 32, "c7"):
        with pytest.raises(Failure, match="There is no run, service or conversation"):
            starter.find(unknown)
    aws.say("d" * 32, SAID)
    assert starter.find("d" * 32).session == "desk"
    with pytest.raises(Failure, match="There is no conversation 'c7'"):
        starter.forget("c7")
    aws.pause(0)
    starter.forget("c1")
    assert starter.conversations() == []


def test_conversations_of_another_environment_alone_are_left_out(
    aws: Aws, starter: FargateRuns, notes: list[str]
) -> None:
    assert starter.conversations()
    del aws.data["sessions"]["mail"]
    notes.clear()
    others = FargateRuns(aws.deployed(), aws.clients(), notes.append)
    assert others.conversations() == []
    (note,) = notes
    assert note.startswith("environment 'other' is left out: AWS refused ListObjectsV2: AccessDenied")
    with pytest.raises(Failure, match="There is no conversation 'c7'"):
        others.forget("c7")


def test_whoever_may_see_nothing_is_refused(aws: Aws, notes: list[str]) -> None:
    FargateRuns(aws.deployed(), aws.clients()).start(Order("desk", "x"), quiet)
    aws.let_see("another")
    with pytest.raises(Failure, match="AWS refused DescribeTasks: AccessDeniedException"):
        FargateRuns(aws.deployed(), aws.clients(), notes.append).list(None)
    assert notes == []


def test_what_schedules_start_is_a_run_and_what_probes_is_none(aws: Aws, runs: FargateRuns) -> None:
    info = runs.start(Order("desk", "x"), quiet)
    for starter in ("chronos-schedule/nightly", "agentenv-verify"):
        tags = [pair for pair in aws.asked[0]["tags"] if pair["key"] != RunTag.RUN]
        asked = aws.asked[0] | {"startedBy": starter, "tags": tags, "clientToken": starter}
        aws.ecs.run_task(**asked)
    found = [one for one in runs.list(None) if one.kind == "run"]
    assert len(found) == 2
    assert info.id in [one.id for one in found]


def test_a_result_that_does_not_come_is_told_after_a_time(aws: Aws, runs: FargateRuns) -> None:
    aws.said = SAID[:2]
    ended = runs.wait(runs.start(Order("desk", "x"), quiet), quiet)
    before = len(aws.pauses)
    with pytest.raises(Failure, match="left no result"):
        runs.result(replace(ended, ended=None))
    assert 25 <= sum(aws.pauses[before:]) <= 40
    assert list(runs.lines(ended, follow=True))[-1] == json.dumps(SAID[1], separators=(",", ":"))


def test_a_command_of_its_own_has_its_exit_code_as_its_result(aws: Aws, runs: FargateRuns) -> None:
    started = runs.start(Order("own", "all of it"), quiet)
    assert aws.task["prompt"] == "all of it"
    (container,) = aws.asked[-1]["overrides"]["containerOverrides"]
    assert container["command"][-4:] == ["exec", "--", "make", "all"]
    ended = replace(runs.wait(started, quiet), exit_code=3, outcome="agent_error")
    told = runs.result(ended)
    assert (told["exit_code"], told["outcome"], told["agents"]) == (3, "agent_error", [])


def test_a_task_that_is_too_long_for_ecs_goes_by_the_bucket(aws: Aws, runs: FargateRuns) -> None:
    # Longer than a variable, too.
    prompt = "x" * 150_000
    runs.start(Order("desk", prompt), quiet)
    address = urlsplit(aws.variables["AGENTENV_TASK_URL"])
    assert "AGENTENV_TASK" not in aws.variables
    assert address.scheme == "https"
    assert len(json.dumps(aws.asked[-1]["overrides"])) <= OVERRIDE_LIMIT
    key = address.path.removeprefix("/")
    assert re.fullmatch(r"tasks/api-client/[0-9a-f]{32}\.json", key)
    # What describes a run tells its tags, and is not to tell where its task is.
    assert not [value for value in aws.tags.values() if value in key and value != "api-client"]
    document = json.loads(aws.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    assert document == {"version": 1, "run": aws.variables["AGENTENV_RUN"], "prompt": prompt}


def test_more_than_ecs_takes_is_refused(aws: Aws, runs: FargateRuns) -> None:
    with pytest.raises(Failure, match=r"ECS takes 8,192.*Fix: shorten --env"):
        runs.start(Order("desk", "x", env={f"V{n}": "y" * 4000 for n in range(3)}), quiet)
    with pytest.raises(Failure, match="no bucket"):
        FargateRuns(aws.deployed(state_bucket=""), aws.clients()).start(Order("desk", "x" * 9000), quiet)
    assert aws.asked == []
    assert "Contents" not in aws.s3.list_objects_v2(Bucket=BUCKET), "what was refused leaves no document"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_no_task_stays_that_nobody_was_told_of(aws: Aws, runs: FargateRuns, number: signal.Signals) -> None:
    real = aws.ecs.run_task

    def interrupted(**asked: Any) -> Any:
        started = real(**asked)
        os.kill(os.getpid(), number)
        return started

    aws.ecs.run_task = interrupted
    before = signal.signal(number, command_line.ended_by)
    try:
        with pytest.raises(SystemExit) as ended:
            runs.start(Order("desk", "x"), quiet)
        assert ended.value.code == 128 + number
        assert (len(aws.asked), aws.running()) == (1, [])
        aws.ecs.stop_task = _refused
        with pytest.raises(Failure, match=r"Run \S+ was started and goes on.*Fix: agentenv stop"):
            runs.start(Order("desk", "x"), quiet)
    finally:
        signal.signal(number, before)


def _refused(**_: Any) -> None:
    raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "StopTask")


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (Order("desk"), "needs something to do"),
        (Order("desk", "x", env={"HTTPS_PROXY": "x"}), "set by the runtime"),
        (Order("desk", "x", env={"PLAIN": "y"}), "set by session 'desk' itself"),
        (Order("desk", "x", env={"GH_TOKEN": "y"}), "set by session 'desk' itself"),
        (Order("dusk", "x"), "did you mean 'desk'"),
        (Order("chat", "x"), "nothing on Fargate reaches its port yet"),
        (Order("chat", input=("x",)), "nothing on Fargate reaches its port yet"),
        (Order("chat", env={"TONE": "kind"}), "without --env"),
    ],
)
def test_orders_that_cannot_be_carried_out_start_nothing(aws: Aws, runs: FargateRuns, order: Order, said: str) -> None:
    aws.ecs.update_service(cluster=CLUSTER, service="chat", desiredCount=0)
    with pytest.raises(Failure, match=said):
        runs.start(order, quiet)
    assert aws.asked == []
    assert aws.desired() == 0


def test_an_archived_environment_takes_no_runs(aws: Aws) -> None:
    for session in ("desk", "chat"):
        with pytest.raises(Failure, match="archived"):
            FargateRuns(aws.deployed(archived=True), aws.clients()).start(Order(session, "x"), quiet)
    assert aws.asked == []


def test_a_run_that_ecs_has_forgotten_is_found_by_its_log(aws: Aws, runs: FargateRuns) -> None:
    name = "a" * 32
    aws.say(name, SAID)
    found = runs.find(name)
    assert (found.session, found.status, found.outcome, found.exit_code) == ("desk", "ended", "success", 0)
    assert found.started is not None
    assert found.started.isoformat() == "2027-01-31T10:00:00+00:00"
    assert "forgotten" in str(found.reason)
    assert runs.result(found) == RESULT | {"run": name}
    assert runs.wait(found, quiet) == found
    lying = "d" * 32
    said = RESULT | {"session": "payroll", "started": "0001-01-01T00:00:00+23:59", "ended": "2027-01-31T10:00:00"}
    aws.say(lying, [{"event": "result_part", "part": 0, "parts": 1, "text": json.dumps(said)}])
    found = runs.find(lying)
    assert found.session == "", "no session of this environment has that name"
    assert (found.started is not None, found.ended) == (True, datetime(2027, 1, 31, 10, tzinfo=UTC))
    cut = "c" * 32
    aws.say(cut, SAID[:2])
    assert (runs.find(cut).session, runs.find(cut).outcome) == ("desk", None)
    for unknown in ("b" * 32, "nobody", "../x"):
        with pytest.raises(Failure, match="There is no run"):
            runs.find(unknown)


def test_a_run_is_stopped_and_its_end_waited_for(aws: Aws, runs: FargateRuns) -> None:
    info = runs.start(Order("desk", "x"), quiet)
    runs.detach(replace(info, status="stopping"))
    assert len(aws.running()) == 1
    stopped = runs.stop(info, quiet)
    assert stopped.status == "ended"
    assert stopped.reason == "agentenv stop"
    assert runs.stop(stopped, quiet) == stopped


def test_a_service_goes_to_no_task_and_back(aws: Aws, runs: FargateRuns) -> None:
    service = runs.find("chat")
    assert (service.kind, service.id, service.status) == ("service", "chat", "starting")
    stopped = runs.stop(service, quiet)
    assert (aws.desired(), stopped.status) == (0, "ended")
    assert runs.resume(stopped, Order(""), quiet).status == "running"
    assert aws.desired() == 1
    for asked, said in ((runs.result, "stays up"), (lambda one: runs.wait(one, quiet), "does not end by itself")):
        with pytest.raises(Failure, match=said):
            asked(service)
    with pytest.raises(Failure, match="knows no task of service chat"):
        runs.lines(service, follow=False)


def test_the_commands_speak_of_runs_on_fargate_as_of_others(
    aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("operate.fargate_client.clients", lambda region: aws.clients() if region == REGION else None)
    file = tmp_path / "outputs.json"
    file.write_text(json.dumps(aws.data))

    def agentenv(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["agentenv", *arguments, "--outputs", str(file)])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        return int(ended.value.code or 0), capsys.readouterr().out

    code, out = agentenv("start", "desk", "--prompt", "go", "--follow", "--json")
    assert [json.loads(line)["event"] for line in out.splitlines()] == [line["event"] for line in SAID]
    assert code == Exit.OK
    _, out = agentenv("start", "desk", "--prompt", "go")
    run = out.strip()
    aws.pause(0)
    assert agentenv("result", run, "--json") == (0, json.dumps(RESULT | {"run": run}, indent=2) + "\n")
    _, out = agentenv("list", "--json", "--session", "desk")
    assert json.loads(out)["runs"][0]["id"] == run
    assert agentenv("logs", run)[1].splitlines()[1] == "hi"
    assert agentenv("stop", "chat") == (0, "chat has ended: None\n")


def test_nothing_of_a_run_is_kept_on_this_machine(
    runs: FargateRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    runs.detach(runs.start(Order("desk", "x"), quiet))
    assert [*tmp_path.iterdir()] == []


def test_a_run_that_ecs_does_not_tell_of_yet_is_followed(aws: Aws, runs: FargateRuns) -> None:
    started = runs.start(Order("desk", "x"), quiet)
    known, looks = aws.ecs.describe_tasks, 0

    def late(**asked: Any) -> Any:
        nonlocal looks
        looks += 1
        return known(**asked) if looks > 3 else {"tasks": [], "failures": [{"reason": "MISSING"}]}

    aws.ecs.describe_tasks = late
    said, aws.said = aws.said, ()
    pause = aws.pause

    def pausing(seconds: float) -> None:
        aws.said = said if looks == 3 else ()
        if looks == 3 or not looks:
            pause(seconds)
        else:
            aws._time += seconds

    followed = FargateRuns(aws.deployed(), replace(aws.clients(), pause=pausing)).lines(started, follow=True)
    assert [json.loads(line) for line in followed] == [*SAID]
