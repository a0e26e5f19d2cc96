"""Runs and probes on a Docker host, against an engine of plain Python."""

import os
import signal
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from docker.errors import APIError, NotFound

from components.models.errors import validate
from components.models.session import Session
from components.models.tags import RUN
from operate import engine
from operate.docker_gateway import Gateway, ask
from operate.docker_networks import GATEWAY_MODE
from operate.docker_runs import Launcher, Particulars
from operate.failures import Exit, Failure, unreachable
from operate.outputs import DockerEnvironment, Outputs
from operate.signals import signals_held
from operate.verify import verify
from tests.operate.deployed import DESK, outputs
from tests.operate.fake_engine import FakeContainer, FakeEngine, FakeNetwork

OLD = "2020-01-01T00:00:00.123456789Z"


@pytest.fixture
def fake() -> FakeEngine:
    return FakeEngine()


def deployed(**fields: Any) -> DockerEnvironment:
    found = Outputs.parse(outputs(**fields)).environment("api-client")
    assert isinstance(found, DockerEnvironment)
    return found


SESSION = validate(Session, DESK)


def launcher(fake: FakeEngine, **fields: Any) -> Launcher:
    return Launcher(fake, "api-client", deployed(**fields))  # type: ignore[arg-type]


def test_a_run_is_made_in_order_and_removed_in_reverse(fake: FakeEngine) -> None:
    with launcher(fake).run(SESSION, "session:1") as run:
        name, address = f"agentenv-run-{run.id}", run.network.session
        # The gateway comes while the fence rises.
        assert (fake.told[0], fake.told[-1]) == (f"network {name}", f"start {name}-session")
        assert [told for told in fake.told if "anchor" in told or "gateway" in told] == [
            f"connect t-anchor {name}",
            f"exec t-gateway admit --session desk --source {address}/32",
        ]
        # The session is made while the fence rises, and starts when it is there.
        made = [told for told in fake.told if told.startswith(("create", "start"))]
        assert (made[0], made[-1]) == (f"create {name}-fence", f"start {name}-session")
        assert sorted(made[1:-1]) == [f"create {name}-session", f"start {name}-fence"]
        network = fake.networks_by_name[name]
        assert network.settings["internal"] is True
        assert network.address == str(run.network.gateway)
        assert run.network.subnet.subnet_of(IPv4Network("10.200.0.0/13"))
        session = fake.containers_by_name[f"{name}-session"]
        assert session.config["HostConfig"]["NetworkMode"] == f"container:{name}-fence"
        assert session.config["HostConfig"]["PidsLimit"]
        fake.told.clear()
    assert fake.told == [
        f"remove {name}-session",
        f"remove {name}-fence",
        f"exec t-gateway dismiss --source {address}/32",
        f"disconnect t-anchor {name}",
        f"remove network {name}",
    ]


def test_another_command_changes_nothing_else_of_a_session_of_several_agents(fake: FakeEngine) -> None:
    agents = [{"name": name, "model": "m"} for name in ("writer", "checker")]
    session = validate(Session, DESK | {"pattern": "single_container", "agent": None, "agents": agents})
    made = []
    for command in (None, lambda _: ["probe"]):
        with launcher(fake).run(session, "session:1", command) as run:
            made.append(fake.containers_by_name[f"agentenv-run-{run.id}-session"].config)
    declared, probed = made
    assert (probed["User"], probed["HostConfig"]["CapAdd"]) == ("0:10001", ["CAP_SETGID", "CAP_SETUID"])
    assert probed["HostConfig"]["Tmpfs"] == declared["HostConfig"]["Tmpfs"]
    assert probed["Cmd"][-2:] == ["--", "probe"]


def test_everything_of_a_run_carries_its_labels(fake: FakeEngine) -> None:
    with launcher(fake).run(SESSION, "session:1") as run:
        name = f"agentenv-run-{run.id}"
        labels = [
            fake.networks_by_name[name].settings["labels"],
            fake.containers_by_name[f"{name}-session"].labels,
            fake.containers_by_name[f"{name}-fence"].labels,
        ]
    expected = {
        "agentenv.stack": "t",
        "agentenv.team": "team",
        "agentenv.session": "desk",
        "agentenv.environment": "api-client",
        RUN: run.id,
    }
    for found, role in zip(labels, ("session", "session", "fence"), strict=True):
        assert found == expected | {"agentenv.role": role}


@pytest.mark.parametrize("part", ["fence", "session"])
def test_nothing_is_left_of_a_run_that_does_not_start(fake: FakeEngine, part: str) -> None:
    fake.broken = f"-{part}"
    with pytest.raises(Failure, match="no such runtime") as caught, launcher(fake).run(SESSION, "session:1"):
        pytest.fail("a run came to be")
    assert caught.value.code is Exit.UNREACHABLE
    assert fake.networks_by_name == {}
    assert set(fake.containers_by_name) == {"t-anchor", "t-gateway", "t-chat"}


def test_nothing_is_left_when_the_gateway_is_gone(fake: FakeEngine) -> None:
    fake.broken = "anchor"
    with pytest.raises(Failure, match="No such container: t-anchor") as caught:
        launcher(fake).launch(SESSION, "session:1", Particulars())
    assert fake.networks_by_name == {}
    assert set(fake.containers_by_name) == {"t-anchor", "t-gateway", "t-chat"}
    assert not hasattr(caught.value, "__notes__"), "what did not come to be is no trouble to remove"
    assert not any(told.startswith("start") and told.endswith("-session") for told in fake.told)


def test_nothing_is_left_when_the_gateway_refuses(fake: FakeEngine) -> None:
    fake.exec_code = 1
    with pytest.raises(Failure, match="no such thing"), launcher(fake).run(SESSION, "session:1"):
        pytest.fail("a run came to be")
    assert fake.networks_by_name == {}


def test_what_fails_at_the_end_does_not_hide_what_failed_first(
    fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Gateway, source: IPv4Address) -> None:
        raise unreachable(f"gateway refused dismiss of {source}")

    monkeypatch.setattr(Gateway, "dismiss", refuse)
    fake.broken = "-session"
    with pytest.raises(Failure, match="no such runtime") as caught, launcher(fake).run(SESSION, "session:1"):
        pytest.fail("a run came to be")
    assert [note.partition(" of ")[0] for note in caught.value.__notes__] == ["gateway refused dismiss"]
    assert fake.networks_by_name == {}
    fake.broken = ""
    with pytest.raises(Failure, match="refused dismiss"), launcher(fake).run(SESSION, "session:1"):
        pass


def test_what_the_engine_does_not_remove_is_told(fake: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: FakeContainer, force: bool, v: bool) -> None:
        raise APIError("500", explanation="device or resource busy")

    monkeypatch.setattr(FakeContainer, "remove", refuse)
    with pytest.raises(Failure, match=r"removing run .*resource busy"), launcher(fake).run(SESSION, "session:1"):
        pass


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_nothing_is_left_of_a_run_that_is_interrupted(fake: FakeEngine, interruption: type[BaseException]) -> None:
    with pytest.raises(interruption), launcher(fake).run(SESSION, "session:1"):
        raise interruption
    assert fake.networks_by_name == {}
    assert set(fake.containers_by_name) == {"t-anchor", "t-gateway", "t-chat"}


def test_a_signal_waits_until_what_was_asked_for_is_there() -> None:
    before = signal.getsignal(signal.SIGINT)
    done = []

    def interrupted() -> None:
        with signals_held():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("the rest of it")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done
    assert signal.getsignal(signal.SIGINT) is before


def test_nothing_is_left_when_a_signal_comes_while_a_run_is_made(
    fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = FakeContainer.start

    def interrupted(self: FakeContainer) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        start(self)

    monkeypatch.setattr(FakeContainer, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), launcher(fake).run(SESSION, "session:1"):
        pytest.fail("the command went on")
    assert fake.networks_by_name == {}
    assert set(fake.containers_by_name) == {"t-anchor", "t-gateway", "t-chat"}


def test_a_place_that_is_taken_is_passed_over(fake: FakeEngine) -> None:
    fake.taken = 3
    with launcher(fake).run(SESSION, "session:1") as run:
        assert f"network agentenv-run-{run.id}" in fake.told
    fake.taken = 1000
    with pytest.raises(Failure, match=r"10\.200\.0\.0/13"), launcher(fake).run(SESSION, "session:1"):
        pytest.fail("a run came to be")


@pytest.mark.parametrize(("version", "options"), [("1.41", None), ("1.48", {GATEWAY_MODE: "isolated"})])
def test_the_host_is_kept_out_of_the_network_where_the_engine_can(version: str, options: Any) -> None:
    fake = FakeEngine(version)
    with launcher(fake).run(SESSION, "session:1") as run:
        settings = fake.networks_by_name[f"agentenv-run-{run.id}"].settings
        assert settings["options"] == options
        bridge = None if options else str(run.network.bridge)
        assert settings["ipam"]["Config"][0]["Gateway"] == bridge


def test_an_unrestricted_run_is_on_an_ordinary_network() -> None:
    fake = FakeEngine("1.48")
    session = SESSION.model_copy(update={"secrets": ()})
    with launcher(fake, networking={"type": "unrestricted"}, sessions=[]).run(session, "session:1") as run:
        settings = fake.networks_by_name[f"agentenv-run-{run.id}"].settings
        assert (settings["internal"], settings["options"]) == (False, None)


def test_an_archived_environment_takes_no_run(fake: FakeEngine) -> None:
    with pytest.raises(Failure, match="archived") as caught, launcher(fake, archived=True).run(SESSION, "session:1"):
        pytest.fail("a run came to be")
    assert caught.value.code is Exit.USAGE
    assert fake.told == []


def leftover(fake: FakeEngine, number: str, created: str, status: str, stack: str = "t") -> None:
    name = f"agentenv-run-{number}"
    labels = {
        RUN: number,
        "agentenv.stack": stack,
        "agentenv.environment": "api-client",
        "agentenv.role": "session",
    }
    fake.networks_by_name[name] = FakeNetwork(fake, name, {"labels": labels})
    fake.networks_by_name[name].attrs |= {
        "Created": created,
        "Containers": {"t-anchor": {}},
        "IPAM": {"Config": [{"Subnet": "10.204.0.8/29"}]},
    }
    fake.containers_by_name[f"{name}-session"] = FakeContainer(fake, f"{name}-session", {"Labels": labels})
    fake.containers_by_name[f"{name}-session"].status = status


def test_what_a_killed_process_left_is_swept_and_nothing_else(fake: FakeEngine) -> None:
    leftover(fake, "dead", OLD, "exited")
    leftover(fake, "alive", OLD, "running")
    leftover(fake, "young", datetime.now(UTC).isoformat(), "created")
    leftover(fake, "foreign", OLD, "exited", stack="other")
    assert launcher(fake).sweep() == ["dead"]
    assert set(fake.networks_by_name) == {"agentenv-run-alive", "agentenv-run-young", "agentenv-run-foreign"}
    assert "agentenv-run-dead-session" not in fake.containers_by_name
    assert "t-gateway" in fake.containers_by_name
    assert "exec t-gateway dismiss --source 10.204.0.11/32" in fake.told


def test_an_admission_that_outlived_its_network_is_dismissed(fake: FakeEngine) -> None:
    leftover(fake, "alive", OLD, "running")
    declared, alive, stray = "10.200.0.11/32", "10.204.0.11/32", "10.204.0.19/32"
    fake.policy["identities"] = [{"session": "desk", "source": source} for source in (declared, alive, stray)]
    assert launcher(fake).sweep() == []
    assert [told for told in fake.told if "dismiss" in told] == [f"exec t-gateway dismiss --source {stray}"]


def test_a_container_that_another_sweep_is_removing_is_no_fault(
    fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: FakeContainer, force: bool, v: bool) -> None:
        raise APIError("409", explanation=reason)

    leftover(fake, "dead", OLD, "exited")
    monkeypatch.setattr(FakeContainer, "remove", refuse)
    reason = "removal of container dead is already in progress"
    assert launcher(fake).sweep() == ["dead"]
    leftover(fake, "dead", OLD, "exited")
    reason = "container dead is in use"
    with pytest.raises(Failure, match="is in use"):
        launcher(fake).sweep()


def test_a_network_that_another_sweep_has_removed_is_no_fault(
    fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(self: FakeNetwork) -> None:
        raise NotFound("404", explanation="network not found")

    leftover(fake, "dead", OLD, "exited")
    monkeypatch.setattr(FakeNetwork, "reload", gone)
    assert launcher(fake).sweep() == ["dead"]


def test_the_age_of_a_run_does_not_depend_on_where_the_host_is(fake: FakeEngine) -> None:
    for number, hours in (("west", -5), ("east", 9)):
        now = datetime.now(timezone(timedelta(hours=hours)))
        # The engine writes nanoseconds.
        leftover(fake, number, now.isoformat().replace(now.strftime(".%f"), now.strftime(".%f789")), "created")
    old = datetime.now(timezone(timedelta(hours=9))) - timedelta(minutes=5)
    leftover(fake, "old", old.strftime("%Y-%m-%dT%H:%M:%S.%f789+09:00"), "created")
    assert launcher(fake).sweep() == ["old"]


def test_the_gateway_tells_what_it_enforces(fake: FakeEngine) -> None:
    fake.policy = {
        "in_force": True,
        "policy_hash": "abc",
        "policy": {
            "hosts": [
                {"host": "a.test", "port": 443, "field": "config.networking.allowed_hosts[0]"},
                {"host": "mirror.test", "port": 443, "field": "config.networking.allow_package_managers"},
            ]
        },
    }
    told = Gateway(fake, deployed()).in_force()  # type: ignore[arg-type]
    assert told.policy_hash == "abc"
    assert told.registries is not None
    assert [registry.host for registry in told.registries] == ["mirror.test"]
    fake.policy = {"in_force": False, "rule": "no-policy"}
    assert Gateway(fake, deployed()).in_force().policy_hash == "no-policy"  # type: ignore[arg-type]
    fake.policy = {"something": "else"}
    with pytest.raises(Failure, match="pulumi up"):
        Gateway(fake, deployed()).in_force()  # type: ignore[arg-type]


def test_explain_goes_on_without_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    told = ask(deployed())
    assert (told.registries, told.policy_hash) == (None, None)
    assert "engine cannot be reached" in told.told_by


def verified(fake: FakeEngine, session: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(engine, "connect", lambda: fake)
    known = Outputs.parse(outputs())
    fake.policy["policy_hash"] = known.environment("api-client").policy_hash
    return verify(session, known, None, lambda what: None)


def test_a_session_for_runs_is_probed_in_a_twin(fake: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.seen = {"direct-tcp": "blocked"}
    evidence = verified(fake, "desk", monkeypatch)
    by_id = {result.id: result for result in evidence.results}
    assert by_id["direct-tcp"].ok
    assert not by_id["user"].ok
    assert by_id["policy"].ok
    assert by_id["session-chat"].tried == "tcp 10.200.0.11:8080"
    assert by_id["host-198.51.100.7"].tried == "udp 198.51.100.7:443"
    assert evidence.examined.where.startswith("throw-away twin agentenv-run-")
    assert (evidence.examined.image, evidence.examined.engine) == ("sha256:cafe", "docker 20.10 (runc)")
    assert fake.networks_by_name == {}


def test_a_service_is_probed_where_it_runs(fake: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = verified(fake, "chat", monkeypatch)
    assert evidence.examined.where == "running container t-chat"
    assert "session-chat" not in {result.id for result in evidence.results}
    by_id = {result.id: result for result in evidence.results}
    # The session's address says which network it is on: the bridge is the first of eight.
    assert by_id["host-udp"].tried == "udp 10.200.0.9:53"
    assert not any(line.startswith("network") for line in fake.told)


def test_a_service_that_is_gone_is_told(fake: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    del fake.containers_by_name["t-chat"]
    with pytest.raises(Failure, match=r"t-chat.*pulumi up") as caught:
        verified(fake, "chat", monkeypatch)
    assert caught.value.code is Exit.UNREACHABLE


def test_an_image_without_the_program_is_told(fake: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeEngine, "answer", lambda self, command: "can't open file")
    with pytest.raises(Failure, match="older than this agentenv"):
        verified(fake, "desk", monkeypatch)
    assert fake.networks_by_name == {}
