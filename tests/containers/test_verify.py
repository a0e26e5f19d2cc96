"""`agentenv verify` on a real engine: a fence that stands, one that does not, and nothing left of either."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import docker
import pytest

from components.models.errors import validate
from components.models.session import Session
from components.models.tags import RUN, Role
from components.plans.docker import (
    Attachment,
    ContainerPlan,
    fence_container,
    session_container,
)
from operate import __main__ as command_line
from operate import docker_runs
from operate.docker_runs import Launcher
from operate.outputs import DockerEnvironment, Outputs
from tests.containers.rig import environment, network, until

pytestmark = pytest.mark.containers

RANGE = IPv4Network("10.231.0.0/16")
STRANGERS, STRANGER = IPv4Network("203.0.113.8/29"), IPv4Address("203.0.113.10")
NAME = f"agentenv-test-verify-{os.getpid()}"
STACK = {"agentenv.stack": NAME, "agentenv.environment": "api-client", "agentenv.role": "session"}
DESK = {"name": "desk", "environment": "api-client", "pattern": "ephemeral", "agent": {"model": "m"}}
AGENTS = [{"name": name, "model": "m"} for name in ("writer", "checker")]
PAIR = {"name": "pair", "environment": "api-client", "pattern": "single_container", "agents": AGENTS}
OPEN_RULES = "table inet open { chain output { type filter hook output priority filter; policy accept; }; }\n"
# Answers whatever comes as a TLS server would begin, and tells what came.
UPSTREAM = """
import socket, threading
def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.bind(("", 443))
        while True:
            data, client = door.recvfrom(4096)
            print("udp", len(data), flush=True)
            door.sendto(b"yes", client)
threading.Thread(target=udp, daemon=True).start()
with socket.create_server(("", 443)) as door:
    print("ready", flush=True)
    while True:
        link, _ = door.accept()
        with link:
            print("tcp", len(link.recv(4096)), flush=True)
            link.sendall(bytes.fromhex("160303007a020000"))
"""


@dataclass
class Rig:
    """An environment on the engine, made by hand, with one allowed host and one stranger.

    Attributes:
        client: The engine.
        outputs: What a stack would say of it.
        allowed: Container that plays the allowed host.
        stranger: Container at an address that no policy allows, on a network that sessions are put on too.
        folder: For files.
    """

    client: docker.DockerClient
    outputs: dict[str, Any]
    allowed: Any
    stranger: Any
    folder: Path

    def file(self) -> Path:
        path = self.folder / "outputs.json"
        path.write_text(json.dumps(self.outputs))
        return path

    def arrived(self, container: Any) -> list[str]:
        return [line for line in container.logs().decode().splitlines() if line != "ready"]

    def leftovers(self) -> list[str]:
        containers = self.client.containers.list(all=True, filters={"label": RUN}, ignore_removed=True)
        networks = self.client.networks.list(filters={"label": RUN})
        labels = [one.labels for one in containers] + [one.attrs["Labels"] for one in networks]
        return [found[RUN] for found in labels if found["agentenv.stack"] == NAME]


def served(client: docker.DockerClient, made: ExitStack, image: str, name: str, on: Any, address: str) -> Any:
    container = client.containers.create(
        image,
        ["/usr/bin/python3", "-c", UPSTREAM],
        name=name,
        network=on.name,
        sysctls={"net.ipv4.ip_unprivileged_port_start": "0"},
    )
    made.callback(container.remove, force=True, v=True)
    on.disconnect(container)
    on.connect(container, ipv4_address=address, aliases=["allowed.test"])
    container.start()
    until(lambda: b"ready" in container.logs())
    return container


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with ExitStack() as made:
        client = made.enter_context(closing(docker.from_env()))
        outputs = environment(client, made, name=NAME, range_=RANGE, sessions=[DESK], labels=STACK)
        image = outputs["sessions"]["desk"]["image"]
        egress = client.networks.get(f"{NAME}-egress")
        strangers = network(client, made, f"{NAME}-strangers", STRANGERS)
        allowed = served(client, made, image, f"{NAME}-allowed", egress, str(next(RANGE.subnets(new_prefix=29))[5]))
        stranger = served(client, made, image, f"{NAME}-stranger", strangers, str(STRANGER))
        yield Rig(client, outputs, allowed, stranger, tmp_path_factory.mktemp("verify"))


def among_strangers(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Put fences on the stranger's network too: their rules alone then keep a session from it."""

    def fence(**arguments: Any) -> ContainerPlan:
        plan = fence_container(**arguments)
        free = STRANGERS[3 + int(arguments["network"].session) // 8 % 4]
        attached = (*plan.networks, Attachment(f"{NAME}-strangers", free))
        return replace(plan, networks=attached, **changes)

    monkeypatch.setattr("operate.docker_runs.fence_container", fence)


def agentenv(*arguments: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["agentenv", *arguments])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
    code = ended.value.code
    assert isinstance(code, int)
    return code


def verified(rig: Rig, session: str, code: int) -> dict[str, Any]:
    """The probes of one `agentenv verify`, by id."""
    evidence = rig.folder / "evidence.json"
    began = time.monotonic()
    ended = agentenv("verify", session, "--outputs", str(rig.file()), "--evidence", str(evidence))
    told = json.loads(evidence.read_text())
    assert ended == code, [probe for probe in told["probes"] if not probe["ok"]]
    assert time.monotonic() - began < 60
    assert told["ok"] is (code == 0)
    return {probe["id"]: probe for probe in told["probes"]} | {"": told}


def test_a_fence_that_stands_is_seen_to_stand(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    among_strangers(monkeypatch)
    before = rig.arrived(rig.allowed)
    seen = verified(rig, "desk", 0)
    assert seen["allowed-host"]["seen"] == "reached"
    assert seen["other-sni"]["seen"] == "cut"
    assert seen["denied-host"]["detail"] == "403 host-not-allowed"
    assert seen["direct-tcp"]["seen"] == seen["direct-udp"]["seen"] == "blocked"
    assert seen["policy"]["ok"]
    assert rig.arrived(rig.stranger) == []
    # The gateway connects before it reads the ClientHello, and sends nothing of one that names another server.
    empty, hello = sorted(rig.arrived(rig.allowed)[len(before) :], key=len)
    assert empty == "tcp 0"
    assert hello.startswith("tcp ")
    assert seen[""]["image"].startswith("sha256:")
    assert rig.leftovers() == []


def test_a_fence_without_rules_is_a_difference(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    among_strangers(monkeypatch, environment={"FENCE_RULES": OPEN_RULES})
    seen = verified(rig, "desk", 1)
    assert seen["direct-tcp"]["seen"] == "connected"
    assert seen["direct-udp"]["seen"] == "answered"
    for name in ("dns", "dns-tunnel", "dns-gateway", "host-udp"):
        assert not seen[name]["ok"], name
    assert seen["capabilities"]["ok"]
    assert len(rig.arrived(rig.stranger)) == 2
    assert rig.leftovers() == []


def test_a_privileged_session_is_a_difference(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def loose(**arguments: Any) -> ContainerPlan:
        plan = session_container(**arguments)
        return replace(
            plan,
            user="0:0",
            read_only=False,
            # Without the first, its own filter of system calls could not be set and nothing would run.
            security_opt=("no-new-privileges", "seccomp=unconfined"),
            cap_drop=(),
            pids_limit=None,
            environment={**plan.environment, "GH_TOKEN": "not-to-be-shown"},
        )

    monkeypatch.setattr("operate.docker_runs.session_container", loose)
    seen = verified(rig, "desk", 1)
    for name in ("user", "root-fs", "capabilities", "seccomp", "pids", "secrets"):
        assert not seen[name]["ok"], name
    assert "GH_TOKEN" in seen["secrets"]["detail"]
    assert "not-to-be-shown" not in json.dumps(seen)


def test_a_policy_that_is_not_in_force_is_a_difference(rig: Rig) -> None:
    deployed = rig.outputs["environments"]["api-client"]
    changed = {**deployed, "policy_hash": "0" * 64}
    other = replace(rig, outputs={**rig.outputs, "environments": {"api-client": changed}})
    assert not verified(other, "desk", 1)["policy"]["ok"]


def test_a_service_is_probed_in_its_own_container_and_others_do_not_reach_it(rig: Rig) -> None:
    environment = Outputs.parse(rig.outputs).environment("api-client")
    assert isinstance(environment, DockerEnvironment)
    image = environment.images.session
    chat = DESK | {"name": "chat", "pattern": "long_running", "ports": [8080], "token_sha256": "ab" * 32}
    command = ["/usr/bin/python3", "-m", "http.server", "8080"]
    launcher = Launcher(rig.client, "api-client", environment)
    with launcher.run(validate(Session, DESK | {"name": "chat"}), image, lambda _: command) as run:
        service = {
            "runtime": "docker",
            "pattern": "long_running",
            "environment": "api-client",
            "session": chat,
            "image": image,
            "container": run.container.name,
            "address": str(run.network.session),
            "ports": {"8080": "127.0.0.1:8080"},
        }
        both = replace(rig, outputs={**rig.outputs, "sessions": {**rig.outputs["sessions"], "chat": service}})
        until(lambda: b"8080" in run.container.exec_run(["/usr/bin/cat", "/proc/1/cmdline"]).output)
        seen = verified(both, "chat", 0)
        assert seen[""]["where"] == f"running container {run.container.name}"
        assert verified(both, "desk", 0)["session-chat"]["seen"] == "blocked"
    assert rig.leftovers() == []


def pair(image: str, **fields: Any) -> dict[str, Any]:
    told = {"runtime": "docker", "pattern": PAIR["pattern"], "environment": "api-client", "session": PAIR}
    return told | {"image": image} | fields


def test_several_agents_are_probed_as_one_of_them_in_a_twin_and_where_they_run(rig: Rig) -> None:
    environment = Outputs.parse(rig.outputs).environment("api-client")
    assert isinstance(environment, DockerEnvironment)
    image = environment.images.session
    twin = replace(rig, outputs={**rig.outputs, "sessions": {"pair": pair(image)}})
    launcher = Launcher(rig.client, "api-client", environment)
    with launcher.run(validate(Session, PAIR), image, lambda _: ["/usr/bin/sleep", "600"]) as run:
        assert run.container.attrs["Config"]["User"] == "0:10001"
        assert run.container.attrs["HostConfig"]["CapAdd"] == ["CAP_SETGID", "CAP_SETUID"]
        up = pair(image, container=run.container.name, address=str(run.network.session))
        until(lambda: b"sleep" in run.container.exec_run(["/usr/bin/cat", "/proc/1/cmdline"]).output)
        for seen in (
            verified(twin, "pair", 0),
            verified(replace(rig, outputs={**rig.outputs, "sessions": {"pair": up}}), "pair", 0),
        ):
            assert (seen["user"]["seen"], seen["user"]["detail"]) == ("not root", "uid 10401, gid 10401")
            assert seen["capabilities"]["ok"]
            assert seen["write-workspace"]["seen"] == "refused"
    assert rig.leftovers() == []


def test_a_terminated_command_leaves_nothing(rig: Rig) -> None:
    command = [sys.executable, "-m", "operate", "verify", "desk", "--outputs", str(rig.file())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
        until(lambda: len(rig.leftovers()) > 1)
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 143
    assert rig.leftovers() == []
    identities = json.loads(_gateway(rig, "policy"))["identities"]
    assert identities == []


def test_what_a_killed_command_left_is_swept(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-m", "operate", "verify", "desk", "--outputs", str(rig.file())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
        until(lambda: _running(rig))
        running.kill()
    environment = Outputs.parse(rig.outputs).environment("api-client")
    assert isinstance(environment, DockerEnvironment)
    launcher = Launcher(rig.client, "api-client", environment)
    assert launcher.sweep() == [], "it may still be in the making"
    monkeypatch.setattr(docker_runs, "SETTLED", docker_runs.SETTLED * 0)
    until(lambda: not _running(rig))
    assert len(launcher.sweep()) == 1
    assert rig.leftovers() == []


def test_explain_asks_the_gateway(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    assert agentenv("explain", "api-client", "allowed.test", "--json", "--outputs", str(rig.file())) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["field"]) == ("allowed", "config.networking.allowed_hosts[0]")
    assert told["told_by"] == f"told by gateway {NAME}-gateway"


def _gateway(rig: Rig, command: str) -> str:
    gateway = rig.client.containers.get(f"{NAME}-gateway")
    output: Any = gateway.exec_run(["python3", "-m", "egress_gateway", command]).output
    return str(output, "utf-8")


def _running(rig: Rig) -> bool:
    wanted: Any = {"label": [RUN, f"agentenv.role={Role.SESSION}"]}
    found = rig.client.containers.list(filters=wanted, ignore_removed=True)
    return any(one.labels["agentenv.stack"] == NAME for one in found)
