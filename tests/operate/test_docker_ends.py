"""The ends of runs on a Docker host: collected once, by one, and nothing is left."""

import time
from datetime import timedelta
from typing import Any

import pytest
from docker.errors import NotFound

from operate import docker_runs, keeper
from operate.failures import Exit, unreachable
from operate.records import Records
from operate.runs import Order
from tests.operate.docker_stack import RESULT, backend, container, quiet, refused, started
from tests.operate.fake_engine import FakeContainer, FakeEngine

pytestmark = pytest.mark.usefixtures("left")


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


def test_runs_are_listed_where_no_keeper_can_be_left(
    fake: FakeEngine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(run: str, records: Records) -> None:
        raise unreachable("no process can be made")

    runs, info = started(fake, Order("desk", "go"))
    runs._release(info.id)
    monkeypatch.setattr(keeper, "leave", none)
    assert backend(fake).list("desk") == [info]
    assert f"run {info.id}: no process can be made" in capsys.readouterr().err


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


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_runs, "SETTLED", timedelta(0))


@pytest.mark.usefixtures("old")
def test_a_network_whose_run_somebody_looks_after_stays(fake: FakeEngine) -> None:
    runs, info = started(fake, Order("desk", "go"))
    del fake.containers_by_name[f"agentenv-run-{info.id}-session"]
    backend(fake).list(None)
    assert f"agentenv-run-{info.id}" in fake.networks_by_name
    runs._held[info.id].release()
    backend(fake).list(None)
    assert fake.networks_by_name == {}


def test_what_another_one_took_off_a_network_is_off_it(fake: FakeEngine) -> None:
    runs, info = started(fake, Order("desk", "go"))
    network = fake.networks_by_name[f"agentenv-run-{info.id}"]
    disconnect = network.disconnect

    def twice(container: str, force: bool) -> None:
        disconnect(container, force)
        disconnect(container, force)

    network.disconnect = twice  # type: ignore[method-assign]
    assert runs.wait(info, quiet).outcome == "success"
    assert fake.networks_by_name == {}


def test_a_gateway_that_is_gone_keeps_no_network(fake: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    runs, info = started(fake, Order("desk", "go"))
    del fake.containers_by_name["t-gateway"]
    assert runs.result(runs.wait(info, quiet)) == RESULT
    assert fake.networks_by_name == {}
    assert [one.id for one in backend(fake).list(None)] == ["chat", info.id]
    assert capsys.readouterr().err == ""


def test_what_cannot_be_removed_hides_no_result(fake: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    runs, info = started(fake, Order("desk", "go"))
    fake.exec_code = 1
    assert runs.result(runs.wait(info, quiet)) == RESULT
    assert fake.networks_by_name == {}, "the network goes whatever the gateway says"
    told = capsys.readouterr().err
    assert info.id in told
    assert "refused dismiss" in told


def test_a_gateway_that_does_not_answer_hides_no_runs(fake: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    _, info = started(fake, Order("desk", "go"))
    fake.exec_code = 1
    assert [one.id for one in backend(fake).list(None)] == ["chat", info.id]
    assert "environment api-client" in capsys.readouterr().err


def test_a_service_that_is_gone_hides_no_runs(fake: FakeEngine) -> None:
    _, info = started(fake, Order("desk", "go"))
    del fake.containers_by_name["t-chat"]
    chat, run = backend(fake).list(None)
    assert (chat.id, chat.status, chat.kind, chat.reason) == (
        "chat",
        "ended",
        "service",
        "its container is gone; run pulumi up",
    )
    assert run == info


def test_a_run_that_its_keeper_ends_meanwhile_is_left_to_it(fake: FakeEngine, records: Records) -> None:
    runs, info = started(fake, Order("desk", "go"))
    runs._release(info.id)
    found = container(fake, info)
    found.end()
    listed = fake.networks.list

    def meanwhile(filters: dict[str, list[str]]) -> Any:
        networks = listed(filters)
        fake.networks.list = listed
        hold = records.hold(info.id)
        assert hold is not None
        keeper.keep(fake, info.id, records)  # type: ignore[arg-type]
        hold.release()
        return networks

    def removed() -> None:
        raise NotFound("404", explanation="No such container")

    found.reload = removed  # type: ignore[method-assign]
    fake.networks.list = meanwhile
    assert backend(fake).list("desk")[0].outcome == "success"
    assert backend(fake).result(info) == RESULT


def test_a_run_that_was_never_started_is_stopped(fake: FakeEngine) -> None:
    runs, info = started(fake, Order("desk", "go"))
    runs._release(info.id)
    container(fake, info).status = "created"
    later = backend(fake)
    ended = later.stop(later.find(info.id), quiet)
    assert (ended.status, ended.outcome, ended.reason) == ("ended", "crash", "it was never started")
    assert fake.networks_by_name == {}


def test_a_run_that_is_just_being_started_is_stopped_as_soon_as_it_runs(
    fake: FakeEngine, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, info = started(fake, Order("desk", "go"))
    found = container(fake, info)
    found.status = "created"
    pauses: list[float] = []

    def pausing(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            found.status, fake.stubborn = "running", False

    def ending(_: FakeContainer) -> None:
        raise AssertionError("the engine does not wait for what it has not started")

    monkeypatch.setattr(time, "sleep", pausing)
    fake.waiting = ending
    # Whoever starts it ends it, too.
    wait: Any = keeper.wait

    def waiting(*told: Any, **more: Any) -> Any:
        ended = wait(*told, **more)
        runs._release(info.id)
        return ended

    monkeypatch.setattr(keeper, "wait", waiting)
    assert backend(fake).stop(info, quiet).outcome == "stopped"
    assert pauses == [1.0] * 3
    assert fake.networks_by_name == {}
    assert records.read(info.id) is not None


def test_one_that_waits_does_not_spin_while_nothing_runs(fake: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, info = started(fake, Order("desk", "go"))
    found = container(fake, info)
    found.status = "removing"
    pauses: list[float] = []

    def pausing(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            del fake.containers_by_name[f"agentenv-run-{info.id}-session"]

    monkeypatch.setattr(time, "sleep", pausing)
    assert runs.wait(info, quiet).reason == "its container was removed by somebody else"
    assert pauses == [1.0, 1.0]


def test_a_run_of_another_machine_that_is_stopped_here_is_removed_there(
    fake: FakeEngine, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, info = started(fake, Order("desk", "go"))
    owner._release(info.id)
    elsewhere = records.read(info.id)
    records.forget(info.id)
    fake.stubborn = False
    runs = backend(fake)
    ended = runs.stop(info, quiet)
    assert (ended.outcome, runs.result(ended)) == ("stopped", RESULT)
    assert backend(fake).list("desk") == [ended]
    assert f"agentenv-run-{info.id}-session" in fake.containers_by_name, "its owner has not read it yet"
    assert elsewhere is not None
    assert elsewhere.owned
    monkeypatch.setattr(docker_runs, "SETTLED", timedelta(0))
    assert backend(fake).list("desk") == [ended]
    assert fake.networks_by_name == {}


def test_nothing_stays_of_what_a_killed_probe_left(
    fake: FakeEngine, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = backend(fake)
    launcher = docker_runs.Launcher(fake, "api-client", runs._environments["api-client"], records)  # type: ignore[arg-type]
    with launcher.run(runs._session("desk")[0].session, "session:1") as twin:
        twin.container.status = "exited"  # type: ignore[misc]
        monkeypatch.setattr(docker_runs, "SETTLED", timedelta(0))
        assert launcher.sweep() == [twin.id]
        assert not records.path(twin.id, "lock").exists()


def test_a_record_of_another_version_is_not_removed(fake: FakeEngine, records: Records) -> None:
    runs, info = started(fake, Order("desk", "go"))
    runs._release(info.id)
    container(fake, info).end()
    records.path(info.id, "json").write_text('{"version": 2}')
    backend(fake).list(None)
    assert records.path(info.id, "json").exists()
