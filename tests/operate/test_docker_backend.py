"""Runs, conversations and services on a Docker host, against an engine of plain Python."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from docker.errors import APIError
from requests import Response

from components.models.tags import RUN
from operate.failures import Exit
from operate.records import Records
from operate.runs import Order
from tests.operate.docker_stack import RESULT, SAID, backend, container, quiet, refused, started, variables
from tests.operate.fake_engine import FakeContainer, FakeEngine

pytestmark = pytest.mark.usefixtures("left")


def test_a_run_is_told_its_task_and_carries_its_labels(fake: FakeEngine) -> None:
    runs, info = started(fake, Order("desk", "go", env={"COLOUR": "blue"}))
    found = container(fake, info)
    told = variables(found)
    assert json.loads(told["AGENTENV_TASK"]) == {"version": 1, "run": info.id, "prompt": "go"}
    assert (told["AGENTENV_RUN"], told["COLOUR"]) == (info.id, "blue")
    assert "AGENTENV_STATE" not in told
    policy = backend(fake)._outputs.environment("api-client").policy_hash
    assert found.labels[RUN] == info.id
    assert (found.labels["agentenv.image"], found.labels["agentenv.policy"]) == ("sha256:cafe", policy)
    assert found.labels["agentenv.stack"] == "t"
    assert (info.status, info.session, info.environment, info.kind) == ("running", "desk", "api-client", "run")
    assert runs.find(info.id) == info
    assert runs.list(None)[1:] == [info]


def test_the_end_is_waited_for_put_on_record_and_removed(fake: FakeEngine, records: Records) -> None:
    runs, info = started(fake, Order("desk", "go"))
    before = set(fake.containers_by_name)
    ended = runs.wait(info, quiet)
    assert (ended.status, ended.exit_code, ended.outcome) == ("ended", 0, "success")
    assert ended.started is not None
    assert ended.ended is not None
    assert before - set(fake.containers_by_name) == {f"agentenv-run-{info.id}-{part}" for part in ("session", "fence")}
    assert fake.networks_by_name == {}
    assert any("dismiss" in told for told in fake.told)
    # Another command of this machine knows it too.
    later = backend(fake)
    assert later.find(info.id) == ended
    assert later.result(ended) == RESULT
    assert list(later.lines(ended, follow=True)) == ['{"event": "session_started"}', SAID.decode()]
    assert ended in later.list("desk")


@pytest.mark.parametrize(("code", "outcome"), [(10, "agent_error"), (12, "refused_by_policy"), (137, "crash")])
def test_a_run_that_fails_says_how(fake: FakeEngine, code: int, outcome: str) -> None:
    fake.exit_code, fake.output, fake.errors = code, b"", b"Killed\n"
    runs, info = started(fake, Order("desk", "go"))
    container(fake, info).attrs["State"]["OOMKilled"] = code == 137
    ended = runs.wait(info, quiet)
    assert (ended.exit_code, ended.outcome) == (code, outcome)
    assert ended.reason == ("it used more memory than resources.memory_gib" if code == 137 else None)
    refused(lambda: runs.result(ended), "left no result.*Killed", Exit.UNREACHABLE)


def test_a_command_of_the_teams_own_has_its_code_as_result(fake: FakeEngine) -> None:
    fake.exit_code = 3
    runs, info = started(fake, Order("own"))
    assert json.loads(variables(container(fake, info))["AGENTENV_TASK"]) == {"version": 1, "run": info.id}
    ended = runs.wait(info, quiet)
    assert (ended.outcome, runs.result(ended)["exit_code"]) == ("agent_error", 3)


def test_agents_that_share_a_container_have_tokens_that_only_they_and_the_gateway_know(fake: FakeEngine) -> None:
    _, info = started(fake, Order("pair", "go"))
    found = container(fake, info)
    tokens = json.loads(variables(found)["AGENTENV_TASK"])["agents"]
    assert list(tokens) == ["writer", "critic"]
    assert len(set(tokens.values())) == 2
    (admitted,) = (told for told in fake.told if "admit" in told)
    for name, token in tokens.items():
        assert len(token) == 43
        assert f"{name}={hashlib.sha256(token.encode()).hexdigest()}" in admitted
        assert token not in admitted
        assert token not in json.dumps(found.labels)


@pytest.mark.parametrize(
    ("order", "told"),
    [
        (Order("desk"), "needs something to do"),
        (Order("des", "go"), "did you mean 'desk'"),
        (Order("desk", "x" * 100_000), "100,000"),
    ],
)
def test_a_refused_order_leaves_nothing(fake: FakeEngine, records: Records, order: Order, told: str) -> None:
    refused(lambda: started(fake, order), told)
    assert fake.told == []
    assert records.all("t") == []


def test_an_archived_environment_takes_neither_runs_nor_services(fake: FakeEngine) -> None:
    for order in (Order("desk", "go"), Order("chat"), Order("notes", "go")):
        refused(lambda order=order: backend(fake, archived=True).start(order, quiet), "archived")  # type: ignore[misc]
    assert fake.told == []
    assert fake.volumes_by_name == {}


def test_a_run_that_does_not_start_leaves_nothing(fake: FakeEngine, records: Records) -> None:
    fake.broken = "-session"
    refused(lambda: started(fake, Order("notes", "go")), "no such runtime", Exit.UNREACHABLE)
    assert (fake.networks_by_name, fake.volumes_by_name, records.all("t")) == ({}, {}, [])
    assert set(fake.containers_by_name) == {"t-anchor", "t-gateway", "t-chat"}


def test_a_conversation_is_kept_and_gone_on_with(fake: FakeEngine) -> None:
    runs, first = started(fake, Order("notes", "go"))
    conversation = first.conversation
    assert conversation is not None
    mounts = container(fake, first).config["HostConfig"]["Mounts"]
    assert [(one["Source"], one["Target"], one["ReadOnly"]) for one in mounts if one["Type"] == "volume"] == [
        (f"agentenv-state-{conversation}", "/var/lib/agentenv/state", False)
    ]
    assert variables(container(fake, first))["AGENTENV_STATE"] == "volume"
    assert "agentenv.role" not in fake.volumes_by_name[f"agentenv-state-{conversation}"].attrs["Labels"]
    (kept,) = runs.conversations()
    assert (kept.id, kept.session, kept.environment, kept.run) == (conversation, "notes", "api-client", first.id)
    refused(lambda: runs.resume(first, Order("", "on"), quiet), f"Run {first.id} goes on with conversation")
    refused(lambda: runs.forget(conversation), f"Run {first.id} goes on")
    ended = runs.wait(first, quiet)
    for name in (ended.id, conversation):
        second = runs.resume(runs.find(name), Order("", "on"), quiet)
        assert (second.conversation, second.session) == (conversation, "notes")
        assert second.id != first.id
        task = json.loads(variables(container(fake, second))["AGENTENV_TASK"])
        assert task == {
            "version": 1,
            "run": second.id,
            "prompt": "on",
            "conversation": conversation,
            "resume": True,
        }
        assert runs.find(conversation) == second
        runs.wait(second, quiet)
    runs.forget(conversation)
    assert fake.volumes_by_name == {}
    assert runs.conversations() == []
    refused(lambda: runs.resume(ended, Order("", "on"), quiet), "has kept no conversation")
    refused(lambda: runs.forget(conversation), "There is no conversation")


def test_a_conversation_that_an_uncollected_run_has_is_forgotten_after_it(fake: FakeEngine) -> None:
    runs, info = started(fake, Order("notes", "go"))
    container(fake, info).end()
    volume = fake.volumes_by_name[f"agentenv-state-{info.conversation}"]
    remove = volume.remove

    def in_use() -> None:
        refusal = Response()
        refusal.status_code = 409
        raise APIError("409", response=refusal, explanation="volume is in use")

    volume.remove = in_use
    refused(lambda: runs.forget(info.conversation or ""), "still in use.*Fix: run agentenv list")
    volume.remove = remove
    runs._release(info.id)
    runs.list(None)
    runs.forget(info.conversation or "")
    assert fake.volumes_by_name == {}


def test_a_conversation_outlives_what_is_remembered_of_its_runs(fake: FakeEngine, records: Records) -> None:
    runs, first = started(fake, Order("notes", "go"))
    runs.wait(first, quiet)
    records.forget(first.id)
    refused(lambda: runs.find(first.id), "There is no run")
    assert runs.find(first.conversation or "").session == "notes"


def test_two_that_start_at_once_do_not_share_a_conversation(fake: FakeEngine, records: Records) -> None:
    runs, first = started(fake, Order("notes", "go"))
    runs.wait(first, quiet)
    conversation = first.conversation
    create = fake.api.create_container_from_config

    def creating(config: dict[str, Any], name: str) -> object:
        made = create(config, name)
        if name.endswith("-session"):
            other = FakeContainer(fake, "other", {"Labels": config["Labels"] | {RUN: "other"}})
            fake.containers_by_name["other"] = other
        return made

    fake.api.create_container_from_config = creating
    fake.told.clear()
    refused(lambda: runs.resume(first, Order("", "on"), quiet), "Run other goes on")
    assert not any(told.startswith("start") and told.endswith("-session") for told in fake.told)
    assert fake.networks_by_name == {}
    assert f"agentenv-state-{conversation}" in fake.volumes_by_name


def test_a_session_that_keeps_nothing_is_not_resumed(fake: FakeEngine) -> None:
    runs, info = started(fake, Order("desk", "go"))
    refused(lambda: runs.resume(info, Order("", "on"), quiet), "is not hybrid.*agentenv start desk")


def test_a_result_that_is_not_there_yet_is_told(fake: FakeEngine) -> None:
    runs, info = started(fake, Order("desk", "go"))
    refused(lambda: runs.result(info), "is running.*--follow")
    gone = replace(info, id="elsewhere", status="ended")
    refused(lambda: runs.result(gone), "not on this machine", Exit.UNREACHABLE)


def test_a_service_is_stopped_and_started_again(fake: FakeEngine) -> None:
    fake.stubborn = True
    runs = backend(fake)
    for name in ("t-chat", "t-chat-fence"):
        fake.containers_by_name[name] = FakeContainer(fake, name, {"Labels": {"agentenv.role": "x"}})
    info = runs.start(Order("chat"), quiet)
    assert fake.told == ["start t-chat-fence", "start t-chat"]
    assert (info.id, info.kind, info.status) == ("chat", "service", "running")
    assert runs.find("chat") == info
    assert runs.list("chat") == [info]
    fake.told.clear()
    assert runs.start(Order("chat", "hello"), quiet).status == "running"
    assert fake.told == [], "it runs already"
    stopped = runs.stop(info, quiet)
    assert fake.told == ["stop t-chat 120"]
    assert (stopped.status, stopped.outcome) == ("ended", "success")
    assert runs.resume(stopped, Order(""), quiet).status == "running"
    refused(lambda: runs.wait(info, quiet), "does not end by itself")
    refused(lambda: runs.result(info), "has no result")
    del fake.containers_by_name["t-chat"]
    refused(lambda: runs.start(Order("chat"), quiet), "pulumi up", Exit.UNREACHABLE)
