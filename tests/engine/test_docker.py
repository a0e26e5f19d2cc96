"""The life of a stack on the machine's own Docker engine. The tests of this module follow on each other."""

import copy
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address
from typing import Any

import docker
import pytest
from pulumi import automation as auto

from components.models.tags import Tag, label
from tests.engine.conftest import STACK, Deployment, project

pytestmark = [pytest.mark.engine, pytest.mark.containers]

LABELS = {label(Tag.STACK): STACK}
PORT = 18231
TOKEN = {"token_sha256": "5e" * 32}
IDLE, PAIR, KEPT = "agentenv_test_shut_idle_session", "agentenv_test_shut_pair_session", "agentenv_test_shut_idle_state"
GREETING = "served from behind the fence"
SERVE = (
    "import http.server, socketserver\n"
    "class Answer(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        self.send_response(200); self.end_headers(); self.wfile.write(b'" + GREETING + "')\n"
    f"socketserver.ThreadingTCPServer(('0.0.0.0', {PORT}), Answer).serve_forever()\n"
)
DECLARED: dict[str, Any] = {
    "team": "research",
    "docker": {"range": "10.221.0.0/16"},
    "environments": [
        {"name": "open", "config": {"type": "cloud", "networking": {"type": "unrestricted"}}},
        {
            "name": "shut",
            "config": {
                "type": "cloud",
                "networking": {"type": "limited", "allowed_hosts": ["a.example.test"], "allow_mcp_servers": True},
            },
        },
    ],
    "sessions": [
        {"name": "digest", "environment": "open", "pattern": "ephemeral", "agent": {"model": "m", "max_turns": 3}},
        {"name": "desk", "environment": "shut", "pattern": "ephemeral", "agent": {"model": "m", "max_turns": 3}},
        {
            "name": "bot",
            "environment": "shut",
            "pattern": "long_running",
            "command": ["python3", "-c", SERVE],
            "ports": [PORT],
        },
        {
            "name": "idle",
            "environment": "shut",
            "pattern": "long_running",
            "agent": {"model": "m", "max_turns": 3},
            "ports": [PORT + 1],
            "idle_timeout": "2h",
        }
        | TOKEN,
        {
            "name": "pair",
            "environment": "shut",
            "pattern": "single_container",
            "agents": [{"name": name, "model": "m", "max_turns": 3} for name in ("reader", "writer")],
            "ports": [PORT + 2, PORT + 3],
        }
        | TOKEN,
    ],
}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """A stack that does not exist yet, with a state of its own."""
    return project(tmp_path_factory, {})


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    # What outlives a stack outlives no test.
    with suppress(docker.errors.APIError):
        client.volumes.get(KEPT).remove()
    client.close()


def of_stack() -> dict[str, Any]:
    return {"label": [f"{key}={value}" for key, value in LABELS.items()]}


def probes(evidence: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {probe["title"]: probe for probe in evidence["probes"]}


def ids(engine: docker.DockerClient) -> dict[str, str]:
    return {str(container.name): str(container.id) for container in engine.containers.list(filters=of_stack())}


def test_up_places_everything_and_a_second_preview_finds_nothing_to_do(
    deployment: Deployment, engine: docker.DockerClient
) -> None:
    deployment.declare(DECLARED)
    steps = deployment.up()
    assert set(steps.operations.values()) == {"create"}
    assert {"agentenv_test_shut_gateway", "agentenv_test_shut_anchor", "agentenv_test_open_gateway"} <= ids(
        engine
    ).keys()
    assert deployment.preview().changed() == []
    assert set(deployment.preview(refresh=True).operations.values()) == {"refresh"}


def test_a_service_answers_on_the_loopback_address_of_the_host_alone(
    deployment: Deployment, engine: docker.DockerClient
) -> None:
    deadline = time.monotonic() + 15
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=3) as answer:
                assert answer.read().decode() == GREETING
                break
        except OSError:
            assert time.monotonic() < deadline, "the service does not answer"
            time.sleep(0.2)
    published = {
        binding["HostIp"]
        for container in engine.containers.list(filters=of_stack())
        for bindings in container.ports.values()
        for binding in bindings or ()
    }
    assert published == {"127.0.0.1"}


def test_a_service_is_verified_in_its_own_container_and_a_run_in_a_twin(deployment: Deployment) -> None:
    # The declared host exists nowhere: the gateway lets it through, and says what failed behind it.
    for session in ("bot", "desk"):
        evidence = deployment.agentenv("verify", session)
        assert all(probe["ok"] for probe in evidence["probes"]), evidence
        assert "TCP past the gateway" in probes(evidence)


def test_several_agents_in_one_container_keep_two_capabilities_and_gain_none(engine: docker.DockerClient) -> None:
    pair = engine.containers.get(PAIR)
    assert pair.status == "running"
    _, status = pair.exec_run(["cat", "/proc/1/status"])
    assert isinstance(status, bytes)
    said = dict(line.split(":\t", 1) for line in status.decode().splitlines() if ":\t" in line)
    # Bits 6 and 7: CAP_SETGID, CAP_SETUID.
    assert said["CapBnd"] == f"{1 << 6 | 1 << 7:016x}"
    assert said["Uid"].split() == ["0"] * 4
    assert said["NoNewPrivs"] == "1"


def test_a_service_that_has_ended_after_a_time_without_work_is_left_alone(
    deployment: Deployment, engine: docker.DockerClient
) -> None:
    idle = engine.containers.get(IDLE)
    # One of the two files that the image puts there; no other can be made.
    file = "/var/lib/agentenv/state/a.tar"
    code, said = idle.exec_run(["chmod", "0666", file], user="10001")
    assert code == 0, said
    assert idle.exec_run(["touch", "/var/lib/agentenv/state/probe"])[0] != 0
    idle.stop()
    steps = deployment.up(refresh=True)
    assert set(steps.operations.values()) == {"refresh"}
    idle.reload()
    assert (idle.status, idle.attrs["RestartCount"]) == ("exited", 0)
    idle.start()
    assert idle.exec_run(["stat", "-c", "%a", file])[1] == b"666\n"


def test_another_policy_is_in_force_at_once_and_restarts_no_gateway(
    deployment: Deployment, engine: docker.DockerClient
) -> None:
    before = ids(engine)
    assert deployment.agentenv("explain", "shut", "b.example.test")["verdict"] == "denied"
    changed = copy.deepcopy(DECLARED)
    changed["environments"][1]["config"]["networking"]["allowed_hosts"].append("b.example.test")
    deployment.declare(changed)
    steps = deployment.up()
    assert {name.partition(" ")[2] for name in steps.changed()} == {"shut_gateway-policy"}
    assert ids(engine) == before
    assert deployment.agentenv("explain", "shut", "b.example.test")["verdict"] == "allowed"
    (in_force,) = [p for title, p in probes(deployment.agentenv("verify", "desk")).items() if "policy" in title]
    assert in_force["ok"], in_force


def test_a_session_that_needs_nothing_of_its_own_is_no_resource(deployment: Deployment) -> None:
    changed = copy.deepcopy(DECLARED)
    changed["environments"][1]["config"]["networking"]["allowed_hosts"].append("b.example.test")
    changed["sessions"].append(
        {"name": "second", "environment": "shut", "pattern": "ephemeral", "agent": {"model": "m", "max_turns": 3}}
    )
    deployment.declare(changed)
    assert deployment.up().changed() == []
    assert "second" in deployment.outputs()["sessions"]


def test_nothing_gets_out_while_the_gateway_is_dead_and_up_brings_it_back(
    deployment: Deployment, engine: docker.DockerClient
) -> None:
    engine.containers.get("agentenv_test_shut_gateway").kill()
    session = engine.containers.get("agentenv_test_shut_bot_session")
    for way in ((), ("--noproxy", "*"), ("--noproxy", "*", "--resolve", "a.example.test:443:198.51.100.1")):
        code, said = session.exec_run(["curl", "-sS", "-m", "5", *way, "https://a.example.test/"])
        assert code in (5, 6, 7, 97), said  # nobody resolves it, nobody answers
    deployment.agentenv("verify", "bot", code=3)
    steps = deployment.up(refresh=True)
    assert "docker:index/container:Container shut_gateway" in steps.operations
    assert all(probe["ok"] for probe in deployment.agentenv("verify", "bot")["probes"])


def test_the_gateway_goes_out_by_its_own_network_whatever_else_it_is_on(
    deployment: Deployment, engine: docker.DockerClient
) -> None:
    anchor = engine.containers.get("agentenv_test_shut_anchor")
    # As a run's network is named and made.
    pool = docker.types.IPAMPool(subnet="10.221.200.0/29")
    run = engine.networks.create(
        "agentenv-run-0123456789ab", internal=False, ipam=docker.types.IPAMConfig(pool_configs=[pool]), labels=LABELS
    )
    try:
        run.connect(anchor)
        _, table = anchor.exec_run(["cat", "/proc/net/route"])
        assert isinstance(table, bytes)
        (hop,) = [line.split()[2] for line in table.decode().splitlines()[1:] if line.split()[1] == "00000000"]
        egress = engine.networks.get(deployment.outputs()["environments"]["shut"]["egress_network"])
        bridge = IPv4Address(egress.attrs["IPAM"]["Config"][0]["Gateway"])
        assert IPv4Address(int.from_bytes(bytes.fromhex(hop), "little")) == bridge
    finally:
        run.disconnect(anchor)
        run.remove()


def test_other_labels_reach_everything(deployment: Deployment, engine: docker.DockerClient) -> None:
    deployment.declare({**DECLARED, "tags": {"project": "x"}})
    deployment.up()
    volumes = engine.volumes.list(filters=of_stack())
    networks = engine.networks.list(filters=of_stack())
    assert len(volumes) == 5
    assert networks
    # What is kept is not made anew for a label's sake.
    labelled = [volume.attrs["Labels"] for volume in volumes if volume.name != KEPT]
    labelled += [network.attrs["Labels"] for network in networks]
    labelled += [container.labels for container in engine.containers.list(all=True, filters=of_stack())]
    assert all(labels.get("project") == "x" for labels in labelled)
    assert all(probe["ok"] for probe in deployment.agentenv("verify", "desk")["probes"])


def test_what_the_policy_pack_refuses_is_not_created(deployment: Deployment, engine: docker.DockerClient) -> None:
    changed = copy.deepcopy(DECLARED)
    changed["sessions"].append(
        {"name": "endless", "environment": "shut", "pattern": "ephemeral", "agent": {"model": "m"}}
    )
    deployment.declare(changed)
    before = ids(engine)
    with pytest.raises(auto.CommandError, match="max_turns"):
        deployment.up()
    assert ids(engine) == before


def test_what_the_runtime_cannot_run_is_one_clear_error(deployment: Deployment) -> None:
    changed = copy.deepcopy(DECLARED)
    changed["sessions"][0]["schedule"] = {"expression": "rate(1 hour)"}
    deployment.declare(changed)
    with pytest.raises(auto.CommandError) as caught:
        deployment.preview()
    assert "sessions[0].schedule" in str(caught.value)


def test_destroy_leaves_nothing_on_the_engine_but_conversations(
    deployment: Deployment, engine: docker.DockerClient
) -> None:
    deployment.declare(DECLARED)
    deployment.stack.destroy(color="never")
    assert engine.containers.list(all=True, filters=of_stack()) == []
    assert engine.networks.list(filters=of_stack()) == []
    assert [volume.name for volume in engine.volumes.list(filters=of_stack())] == [KEPT]
    assert deployment.resources() == []
