"""Runs, conversations and services on a Docker host, against an engine of plain Python."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from docker.errors import NotFound

from components.models.tags import RUN
from operate import docker_runs, keeper
from operate.docker_backend import DockerRuns
from operate.docker_logs import lines
from operate.failures import Exit, Failure
from operate.outputs import Outputs
from operate.records import Records
from operate.runs import Order, RunInfo
from tests.operate.deployed import DESK, outputs
from tests.operate.fake_engine import FakeContainer, FakeEngine

OWN = {"name": "own", "environment": "api-client", "pattern": "ephemeral", "command": ["true"]}
NOTES = DESK | {"name": "notes", "pattern": "hybrid"}
PAIR = {
    "name": "pair",
    "environment": "api-client",
    "pattern": "single_container",
    "agents": [{"name": "writer", "model": "m"}, {"name": "critic", "model": "m"}],
}
FURTHER = (OWN, NOTES, PAIR)
RESULT = {"version": 1, "run": "?", "outcome": "success", "exit_code": 0, "agents": [{"name": "agent", "text": "42"}]}
SAID = json.dumps({"event": "result_part", "part": 0, "parts": 1, "text": json.dumps(RESULT)}).encode()


@pytest.fixture
def fake() -> FakeEngine:
    made = FakeEngine()
    made.stubborn = True
    made.output = b'{"event": "session_started"}\n' + SAID
    return made


@pytest.fixture(autouse=True)
def left(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Runs that a keeper was left behind for."""
    runs: list[str] = []
    monkeypatch.setattr(keeper, "leave", lambda run, records, stop=False: runs.append(run))
    return runs


def backend(fake: FakeEngine, records: Records | None = None, **fields: Any) -> DockerRuns:
    told = outputs(**fields)
    for session in FURTHER:
        told["sessions"][session["name"]] = told["sessions"]["desk"] | {
            "pattern": session["pattern"],
            "session": session,
        }
    return DockerRuns(Outputs.parse(told), fake, records)  # type: ignore[arg-type]


def started(fake: FakeEngine, order: Order) -> tuple[DockerRuns, RunInfo]:
    runs = backend(fake)
    return runs, runs.start(order, quiet)


def quiet(what: str) -> None:
    """Nobody looks."""


def container(fake: FakeEngine, info: RunInfo) -> FakeContainer:
    return fake.containers_by_name[f"agentenv-run-{info.id}-session"]


def variables(found: FakeContainer) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in found.config["Env"])


def refused(act: Callable[[], object], told: str, code: Exit = Exit.USAGE) -> None:
    with pytest.raises(Failure, match=told) as caught:
        act()
    assert caught.value.code is code


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


def test_stop_lets_it_save_and_then_collects(fake: FakeEngine) -> None:
    fake.stubborn = False
    fake.output = b""
    runs, info = started(fake, Order("desk", "go"))
    ended = runs.stop(info, quiet)
    assert (ended.exit_code, ended.outcome) == (143, "stopped")
    assert f"kill agentenv-run-{info.id}-session SIGTERM" in fake.told
    assert not any("SIGKILL" in told for told in fake.told)
    assert fake.networks_by_name == {}
    assert runs.stop(ended, quiet) == ended


def test_what_does_not_end_in_time_is_ended(fake: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "STOP_SECONDS", 0)
    runs, info = started(fake, Order("desk", "go"))
    assert runs.stop(info, quiet).exit_code == 137


def test_what_somebody_keeps_is_left_to_them(fake: FakeEngine) -> None:
    runs, info = started(fake, Order("desk", "go"))
    container(fake, info).end(11)
    assert backend(fake).list(None)[1].outcome == "limit_reached"
    assert f"agentenv-run-{info.id}" in fake.networks_by_name
    assert runs.wait(info, quiet).outcome == "limit_reached"
    assert fake.networks_by_name == {}


def test_a_run_that_goes_on_without_its_keeper_gets_another(fake: FakeEngine, left: list[str]) -> None:
    runs, info = started(fake, Order("desk", "go"))
    assert backend(fake).list(None)[1].status == "running"
    assert left == []
    runs._held[info.id].release()
    backend(fake).list(None)
    assert left == [info.id]


def test_whoever_asks_for_a_result_collects_it(fake: FakeEngine) -> None:
    runs, info = started(fake, Order("desk", "go"))
    runs._held[info.id].release()
    container(fake, info).end(0)
    later = backend(fake)
    assert later.result(later.find(info.id)) == RESULT
    assert fake.networks_by_name == {}


def test_a_dead_keepers_run_is_collected_by_the_next_command(fake: FakeEngine) -> None:
    runs, info = started(fake, Order("desk", "go"))
    container(fake, info).end(11)
    # As the kernel does when a process ends.
    runs._held[info.id].release()
    later = backend(fake)
    found = later.list(None)[1]
    assert (found.id, found.outcome) == (info.id, "limit_reached")
    assert later.result(found) == RESULT
    assert fake.networks_by_name == {}


def test_a_run_of_another_machine_is_left_to_it_for_a_while(
    fake: FakeEngine, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, info = started(fake, Order("desk", "go"))
    runs._held[info.id].release()
    records.forget(info.id)
    container(fake, info).end(0)
    later = backend(fake)
    assert later.list(None)[1].status == "ended"
    assert f"agentenv-run-{info.id}" in fake.networks_by_name
    monkeypatch.setattr(docker_runs, "SETTLED", timedelta(0))
    assert later.list(None)[1].outcome == "success"
    assert fake.networks_by_name == {}
    assert later.result(later.find(info.id)) == RESULT


def test_a_run_whose_container_somebody_removed_is_told(fake: FakeEngine) -> None:
    runs, info = started(fake, Order("desk", "go"))
    runs._held[info.id].release()
    del fake.containers_by_name[f"agentenv-run-{info.id}-session"]
    found = backend(fake).find(info.id)
    assert (found.status, found.outcome) == ("ended", "crash")
    ended = backend(fake).wait(info, quiet)
    assert ended.reason == "its container was removed by somebody else"
    assert fake.networks_by_name == {}
    refused(lambda: backend(fake).result(ended), "removed by somebody else", Exit.UNREACHABLE)


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


def test_the_twin_of_a_probe_is_no_run(fake: FakeEngine) -> None:
    runs = backend(fake)
    launcher = docker_runs.Launcher(fake, "api-client", runs._environments["api-client"])  # type: ignore[arg-type]
    with launcher.run(runs._session("desk")[0].session, "session:1"):
        assert [one.id for one in runs.list(None)] == ["chat"]


def test_a_run_that_is_being_made_is_not_lost(fake: FakeEngine) -> None:
    seen: list[str] = []

    def looking(config: dict[str, Any], name: str) -> object:
        seen.extend(f"{one.status}" for one in backend(fake).list("desk"))
        return create(config, name)

    create = fake.api.create_container_from_config
    fake.api.create_container_from_config = looking
    started(fake, Order("desk", "go"))
    assert set(seen) == {"starting"}


def test_a_log_goes_on_where_the_engine_breaks_off(fake: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.output, fake.errors = b"one\ntwo\nthree", b"warning"
    runs, info = started(fake, Order("own"))
    whole = FakeContainer.logs

    def logs(self: FakeContainer, stdout: bool, stderr: bool, stream: bool, follow: bool) -> Any:
        return iter([b"on", b"e\r\ntw"]) if follow else whole(self, stdout, stderr, stream, follow)

    monkeypatch.setattr(FakeContainer, "logs", logs)
    assert list(runs.lines(info, follow=True)) == ["one", "two", "three", "warning"]


def test_a_log_goes_on_in_the_record_when_the_container_is_removed(
    fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.output, fake.errors = b"one\ntwo\nthree", b"warning"
    runs, info = started(fake, Order("own"))
    whole = FakeContainer.logs
    runs.wait(info, quiet)
    again, info = backend(fake), runs.start(Order("own"), quiet)

    def logs(self: FakeContainer, stdout: bool, stderr: bool, stream: bool, follow: bool) -> Any:
        if not follow:
            monkeypatch.setattr(FakeContainer, "logs", whole)
            runs.wait(info, quiet)
            raise NotFound("404", explanation="no such container")
        return iter([b"one\n"])

    monkeypatch.setattr(FakeContainer, "logs", logs)
    assert list(again.lines(info, follow=True)) == ["one", "two", "three", "warning"]
    assert fake.networks_by_name == {}


def test_lines_are_whole_however_they_are_cut() -> None:
    text = b"a\nbb\n\nccc" + b"\xff" + b"d" * 3 * 1024 * 1024
    for size in (1024, 16 * 1024, 10**7):
        found = list(lines(text[at : at + size] for at in range(0, len(text), size)))
        assert found[:3] == ["a", "bb", ""]
        assert "".join(found[3:]) == "ccc\ufffd" + "d" * 3 * 1024 * 1024
        assert max(map(len, found)) <= 1024 * 1024
