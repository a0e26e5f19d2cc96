"""Probes on Fargate, against the emulated AWS: the calls, their tags, and what is made of the answers."""

import json
from collections.abc import Callable, Iterator

import pytest
from moto import mock_aws

from operate.evidence import Evidence
from operate.failures import Exit, Failure
from operate.outputs import Outputs
from operate.verify import verify
from tests.operate.deployed import outputs
from tests.operate.emulated_aws import Aws

SAID = (
    {"event": "probe", "id": "denied-host", "seen": "denied", "detail": "403 host-not-allowed"},
    {"event": "probes_done", "count": 1},
)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        made = Aws()
        made.said = SAID
        monkeypatch.setattr("operate.fargate_client.clients", lambda region: made.clients())
        yield made


def probed(aws: Aws, progress: Callable[[str], None] = lambda what: None) -> Evidence:
    return verify("desk", aws.deployed(), None, progress)


def test_the_probes_run_in_a_task_of_the_sessions_own_definition(aws: Aws) -> None:
    evidence = probed(aws)
    (asked,) = aws.asked
    assert asked["taskDefinition"] == aws.definition
    assert aws.tags == {
        "agentenv:environment": "api-client",
        "agentenv:session": "desk",
        "agentenv:role": "session",
    }
    assert asked["startedBy"] == "agentenv-verify"
    assert asked["propagateTags"] == "TASK_DEFINITION"
    network = asked["networkConfiguration"]["awsvpcConfiguration"]
    assert network == {"subnets": [aws.subnet], "securityGroups": [aws.group], "assignPublicIp": "DISABLED"}
    (container,) = asked["overrides"]["containerOverrides"]
    assert container["command"][:2] == ["/usr/bin/python3", "-I"]
    assert container["environment"] == [{"name": "PLAIN", "value": "x"}]
    assert asked["overrides"]["cpu"] == "1024"
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


@pytest.mark.parametrize(("agents", "uid"), [(1, None), (2, 10401)])
def test_several_agents_are_probed_as_one_of_them(aws: Aws, agents: int, uid: int | None) -> None:
    data = aws.deployed()
    declared = {"name": "AGENTENV_SESSION", "value": json.dumps({"agents": [{"name": f"a{n}"} for n in range(agents)]})}
    session = data.sessions["desk"]
    session.overrides["containerOverrides"][0]["environment"] = [declared]  # type: ignore[union-attr]
    evidence = verify("desk", data, None, lambda what: None)
    (container,) = aws.asked[-1]["overrides"]["containerOverrides"]
    assert json.loads(container["command"][-1]).get("uid") == uid
    (workspace,) = (result for result in evidence.results if result.id == "write-workspace")
    assert workspace.expected == (("writable",) if uid is None else ("refused",))


def test_all_of_it_fits_into_the_overrides(aws: Aws) -> None:
    data = aws.deployed()
    long = [{"name": f"V{n}", "value": "x" * 400} for n in range(20)]
    session = data.sessions["desk"]
    session.overrides["containerOverrides"][0]["environment"] = long  # type: ignore[union-attr]
    verify("desk", data, None, lambda what: None)
    assert len(json.dumps(aws.asked[-1]["overrides"])) <= 8192


def test_what_is_waited_for_is_told(aws: Aws) -> None:
    told: list[str] = []
    probed(aws, told.append)
    assert told[0] == "starting a one-off task"
    assert told[-1] == "reading its log"


def test_a_task_that_says_nothing_is_told_with_its_reason(aws: Aws) -> None:
    aws.said = ()
    with pytest.raises(Failure, match="Essential container in task exited") as caught:
        probed(aws)
    assert caught.value.code is Exit.UNREACHABLE


def test_a_task_is_stopped_when_nobody_waits_for_it_any_more(aws: Aws) -> None:
    def interrupted(what: str) -> None:
        if what.startswith("task "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        probed(aws, interrupted)
    assert aws.running() == []


def test_no_room_is_told_when_there_is_still_none(aws: Aws) -> None:
    aws.answers = [{"tasks": [], "failures": [{"reason": "RESOURCE:FARGATE"}]}] * 99
    with pytest.raises(Failure, match="RESOURCE:FARGATE"):
        probed(aws)


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
