"""The fence on a real engine: what a session behind it reaches, and what it never does.

Nothing here can leave the rig: limited networks are internal, and the default route of an unrestricted session is
turned to a namespace of the test's own, in which every address is local. So a forbidden address that were let through
would be answered, and seen.
"""

import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import docker
import pytest
from docker import DockerClient
from docker.errors import APIError
from docker.models.containers import Container
from docker.types import IPAMConfig, IPAMPool

from components.base_image import pinned
from components.models.environment import Environment, Packages
from components.models.session import Session
from components.plans.docker import (
    Attachment,
    ContainerPlan,
    SessionNetwork,
    anchor_container,
    fence_container,
    forwarder_container,
    gateway_container,
    gateway_rules,
    run_networks,
    session_container,
)
from components.plans.image import BEHIND_FENCE, fence_image, gateway_image, session_image
from tests.containers.rig import PLATFORM, built
from tests.deployment import BASE

pytestmark = pytest.mark.containers

RANGE = IPv4Network("10.231.0.0/16")
OUTSIDE, HOST = "198.51.100.7", "203.0.113.9"
"""An address that anybody may reach, and one that is declared as the Docker host's own."""
BLOCKED = ("169.254.169.254", "169.254.170.2", "10.9.9.9", "172.16.9.9", "192.168.9.9", "100.64.9.9", HOST)
PORT = 8080
SERVE = (
    "import socket, sys, threading\n"
    "def serve(port):\n"
    "    with socket.create_server(('', port)) as door:\n"
    "        while True:\n"
    "            one = door.accept()[0]; one.sendall(b'served'); one.close()\n"
    "for port in sys.argv[1:]: threading.Thread(target=serve, args=[int(port)]).start()\n"
)
SERVE_UDP = (
    "import socket, sys\n"
    "one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); one.bind((sys.argv[1], int(sys.argv[2])))\n"
    "while True: one.sendto(b'served', one.recvfrom(64)[1])\n"
)
PROBE = (
    "import socket, sys\n"
    "kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])\n"
    "family = socket.AF_INET6 if ':' in address else socket.AF_INET\n"
    "one = socket.socket(family, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)\n"
    "one.settimeout(2)\n"
    "try:\n"
    "    one.connect((address, port))\n"
    "    if kind == 'udp': one.send(b'ask')\n"
    "    print(one.recv(16).decode())\n"
    "except TimeoutError: print('silence')\n"
    "except OSError as error: print(type(error).__name__ + ': ' + str(error))\n"
)
RESOLVE = (
    "import socket, sys\n"
    "try: print(socket.getaddrinfo(sys.argv[1], 443)[0][4][0])\n"
    "except OSError as error: print('nothing')\n"
)


@dataclass
class Rig:
    """Makes containers and networks, and removes them."""

    client: DockerClient
    stack: ExitStack
    fence_image: str
    session_image: str

    def network(self, *, internal: bool) -> tuple[str, SessionNetwork]:
        for plan in run_networks(RANGE):
            pool = IPAMPool(subnet=str(plan.subnet), gateway=str(plan.bridge))
            try:
                made = self.client.networks.create(
                    f"fence-test-{uuid.uuid4().hex[:8]}",
                    internal=internal,
                    ipam=IPAMConfig(pool_configs=[pool]),
                    options={"com.docker.network.bridge.name": f"ft{uuid.uuid4().hex[:8]}"},
                )
            except APIError as error:
                if "overlap" not in str(error):
                    raise
                continue
            self.stack.callback(made.remove)
            return str(made.name), plan
        raise AssertionError(f"no free network in {RANGE}")

    def container(self, plan: ContainerPlan, *, start: bool = True) -> Container:
        api: Any = self.client.api
        made = self.client.containers.get(api.create_container_from_config(plan.engine_config(), plan.name)["Id"])
        self.stack.callback(made.remove, force=True, v=True)
        for further in plan.networks[1:]:
            self.client.networks.get(further.network).connect(made, ipv4_address=str(further.address))
        if start:
            made.start()
        return made

    def plain(self, network: str, address: IPv4Address, *command: str, cap_add: tuple[str, ...] = ()) -> Container:
        """A container without a fence: a server, or the positive control."""
        return self.container(
            ContainerPlan(
                name=name(),
                image=self.fence_image,
                user="0:0",
                labels={},
                memory_bytes=64 * 2**20,
                cpus=1,
                entrypoint=("/usr/bin/python3", "-c"),
                command=command,
                networks=(Attachment(network, address),),
                cap_add=cap_add,
                stop_seconds=1,
            )
        )


@dataclass
class Held:
    """A session behind its fence."""

    network: SessionNetwork
    network_name: str
    fence: Container
    session: Container


def name() -> str:
    return f"fence-test-{uuid.uuid4().hex[:8]}"


def held(
    rig: Rig,
    networking: str,
    ports: tuple[int, ...] = (),
    command: tuple[str, ...] = ("sleep", "600"),
    *,
    service: bool = False,
) -> Held:
    network_name, network = rig.network(internal=networking == "limited")
    fence = rig.container(
        fence_container(
            name=name(),
            image=rig.fence_image,
            networking=networking,
            network=network,
            network_name=network_name,
            labels={},
            host_addresses=[IPv4Address(HOST)],
            ports=ports,
            service=service,
        )
    )
    plan = session_plan(rig, str(fence.name), network, command)
    return Held(
        network,
        network_name,
        fence,
        rig.container(replace(plan, restart="unless-stopped") if service else plan),
    )


def session_plan(rig: Rig, fence: str, network: SessionNetwork, command: tuple[str, ...]) -> ContainerPlan:
    environment = Environment.model_validate({"name": "e", "config": {"type": "cloud"}})
    session = Session.model_validate(
        {"name": "s", "environment": "e", "pattern": "ephemeral", "command": command, "resources": {"disk_gib": 1}}
    )
    return session_container(
        name=name(),
        image=rig.session_image,
        environment=environment,
        session=session,
        network=network,
        fence=fence,
        labels={},
    )


def ran(container: Container, *command: str) -> str:
    done = container.exec_run(list(command))
    assert isinstance(done.output, bytes)
    assert done.exit_code == 0, done.output.decode()
    return done.output.decode().strip()


def probe(container: Container, address: object, port: int = PORT, kind: str = "tcp") -> str:
    return ran(container, "/usr/bin/python3", "-c", PROBE, kind, str(address), str(port))


def asked(script: str) -> str:
    """What `script` prints on the host."""
    done = subprocess.run(["python3", "-c", script], capture_output=True, text=True, timeout=20, check=False)
    return done.stdout.strip()


def eventually(answer: Callable[[], str]) -> str:
    """What `answer` gives; servers take a moment to start."""
    end = time.monotonic() + 10
    while (last := answer()) != "served" and time.monotonic() < end:
        time.sleep(0.05)
    return last


def ended(container: Container) -> tuple[int, Any]:
    code = container.wait(timeout=60)["StatusCode"]
    return code, json.loads(container.logs().decode().splitlines()[-1])


def in_namespace(container: Container, *command: str) -> str:
    container.reload()
    entered = ["nsenter", "--target", str(container.attrs["State"]["Pid"]), "--net", "--", *command]
    return subprocess.run(entered, check=True, capture_output=True, text=True, timeout=30).stdout


@contextmanager
def a_rig(images: tuple[str, str]) -> Iterator[Rig]:
    client = docker.from_env(timeout=60)
    try:
        with ExitStack() as stack:
            yield Rig(client, stack, *images)
    finally:
        client.close()


@pytest.fixture(scope="module")
def images() -> tuple[str, str]:
    base = pinned(BASE)
    fence = built(fence_image(base=base, platform=PLATFORM, context_hash="test"))
    return fence, built(session_image(Packages(), base=base, platform=PLATFORM, context_hash="test"))


@pytest.fixture(scope="module")
def limited(images: tuple[str, str]) -> Iterator[tuple[Rig, Held, Container, Container]]:
    """A limited session, a gateway that serves two ports, and a container beside it that no fence holds."""
    with a_rig(images) as rig:
        one = held(rig, "limited")
        gateway = rig.plain(one.network_name, one.network.gateway, SERVE, "3128", "9901")
        free = rig.plain(one.network_name, one.network.forwarder, SERVE, str(PORT))
        yield rig, one, gateway, free


def test_a_limited_session_reaches_the_gateway(limited: tuple[Rig, Held, Container, Container]) -> None:
    _, one, _, _ = limited
    assert probe(one.session, one.network.gateway, 3128) == "served"


@pytest.mark.parametrize(("address", "port"), [("gateway", 9901), ("forwarder", PORT)])
def test_a_limited_session_reaches_nothing_else_on_its_network(
    limited: tuple[Rig, Held, Container, Container], address: str, port: int
) -> None:
    _, one, gateway, free = limited
    target = getattr(one.network, address)
    assert probe(free if address == "gateway" else gateway, target, port) == "served"
    assert probe(one.session, target, port).startswith("ConnectionRefused")


def test_a_limited_session_reaches_no_port_of_the_host(limited: tuple[Rig, Held, Container, Container]) -> None:
    _, one, _, free = limited
    server = subprocess.Popen(["python3", "-c", SERVE.replace("''", repr(str(one.network.bridge))), "18080"])
    try:
        assert eventually(lambda: probe(free, one.network.bridge, 18080)) == "served"
        assert probe(one.session, one.network.bridge, 18080).startswith("ConnectionRefused")
    finally:
        server.kill()
        server.wait()


def test_a_limited_session_resolves_nothing(limited: tuple[Rig, Held, Container, Container]) -> None:
    _, one, gateway, free = limited
    assert ran(free, "/usr/bin/python3", "-c", RESOLVE, str(gateway.name)) == str(one.network.gateway)
    assert ran(one.session, "/usr/bin/python3", "-c", RESOLVE, str(gateway.name)) == "nothing"


def test_a_limited_session_has_no_udp(limited: tuple[Rig, Held, Container, Container]) -> None:
    _, one, gateway, free = limited
    gateway.exec_run(["/usr/bin/python3", "-c", SERVE_UDP, str(one.network.gateway), "3128"], detach=True)
    assert eventually(lambda: probe(free, one.network.gateway, 3128, "udp")) == "served"
    assert probe(one.session, one.network.gateway, 3128, "udp").startswith("PermissionError")


def test_a_limited_session_has_no_ipv6(limited: tuple[Rig, Held, Container, Container]) -> None:
    """Even were there addresses of the kind: here the test gives one to each side."""
    _, one, gateway, free = limited
    for container, address in ((one.fence, "2001:db8::3"), (free, "2001:db8::4"), (gateway, "2001:db8::2")):
        for interface in ("all", "eth0"):
            in_namespace(container, "sysctl", "-qw", f"net.ipv6.conf.{interface}.disable_ipv6=0")
        in_namespace(container, "ip", "-6", "address", "add", f"{address}/64", "dev", "eth0", "nodad")
    serve = SERVE.replace("('', port)", "('2001:db8::2', port), family=socket.AF_INET6")
    gateway.exec_run(["/usr/bin/python3", "-c", serve, "3128"], detach=True)
    assert eventually(lambda: probe(free, "2001:db8::2", 3128)) == "served"
    mac = json.loads(in_namespace(gateway, "ip", "-j", "link", "show", "eth0"))[0]["address"]
    in_namespace(one.fence, "ip", "-6", "neighbour", "replace", "2001:db8::2", "lladdr", mac, "dev", "eth0")
    assert probe(one.session, "2001:db8::2", 3128).startswith("ConnectionRefused")


def test_the_fence_has_given_up_every_privilege(limited: tuple[Rig, Held, Container, Container]) -> None:
    _, one, _, _ = limited
    numbers = [row[1] for row in one.fence.top()["Processes"]]
    # No init beside it, which would have kept them.
    assert len(numbers) == 1
    for number in numbers:
        status = Path(f"/proc/{number}/status").read_text()
        lines = dict(line.split(":", 1) for line in status.splitlines())
        assert set(lines["Uid"].split()) == {"65534"}
        assert lines["Groups"].split() == []
        assert [int(lines[sort], 16) for sort in ("CapInh", "CapPrm", "CapEff", "CapAmb")] == [0, 0, 0, 0]
        assert lines["NoNewPrivs"].strip() == "1"


def test_the_fence_leaves_no_dead_process_and_ends_when_told(images: tuple[str, str]) -> None:
    with a_rig(images) as rig:
        one = held(rig, "limited")
        one.fence.exec_run(["/bin/sh", "-c", "/bin/sh -c 'sleep 0.2' & exit 0"])
        time.sleep(0.5)
        assert len(one.fence.top()["Processes"]) == 1
        start = time.monotonic()
        one.fence.stop(timeout=30)
        assert time.monotonic() - start < 5
        assert one.fence.wait()["StatusCode"] == 0


def until(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def began(container: Container) -> str:
    container.reload()
    return str(container.attrs["State"]["StartedAt"])


@pytest.mark.parametrize("end", ["restart", "crash"])
def test_a_service_comes_back_behind_its_new_fence_by_itself(images: tuple[str, str], end: str) -> None:
    with a_rig(images) as rig:
        one = held(rig, "limited", service=True)
        rig.plain(one.network_name, one.network.gateway, SERVE, "3128", "9901")
        assert eventually(lambda: probe(one.session, one.network.gateway, 3128)) == "served"
        before = began(one.session)
        if end == "restart":
            one.fence.restart(timeout=5)
        else:
            # As when it is out of memory: `docker kill` would count as a wish that it stays down.
            one.fence.reload()
            os.kill(one.fence.attrs["State"]["Pid"], signal.SIGKILL)
        assert probe(one.session, one.network.gateway, 3128).startswith("OSError: [Errno 101]")
        assert began(one.session) == before
        assert until(lambda: began(one.session) != before and one.session.status == "running", 30)
        assert eventually(lambda: probe(one.session, one.network.gateway, 3128)) == "served"
        assert probe(one.session, one.network.gateway, 9901).startswith("ConnectionRefused")


def test_a_session_has_no_socket_to_the_hypervisor(images: tuple[str, str]) -> None:
    with a_rig(images) as rig:
        ask = ("/usr/bin/python3", "-I", "/usr/local/lib/agentenv/verify_fence.py")
        order = {"gateway": "127.0.0.1:1", "seconds": 0.1, "probes": [["vsock", "syscall", "vsock"]]}
        session = held(rig, "limited", command=(*ask, json.dumps(order))).session
        assert session.wait(timeout=60)["StatusCode"] == 0
        lines = map(json.loads, session.logs().decode().splitlines())
        # The runner says what it prepared before the command's own lines begin.
        seen = [(line["seen"], line["detail"]) for line in lines if "seen" in line]
        assert seen == [("refused", "Operation not permitted")]


def test_nothing_runs_where_no_filter_of_system_calls_can_be_set(images: tuple[str, str]) -> None:
    with a_rig(images) as rig:
        one = held(rig, "limited")
        plan = session_plan(rig, str(one.fence.name), one.network, ("echo", "ran"))
        session = rig.container(replace(plan, security_opt=()))
        code, line = ended(session)
        assert (code, line["event"]) == (78, "no_filter")
        assert "ran" not in session.logs().decode().splitlines()


def test_a_supervisor_reads_a_secret_that_the_group_of_sessions_may_read(
    images: tuple[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "crm"
    file.write_text("hunter2\n")
    os.chown(file, 10002, 10001)
    file.chmod(0o440)
    agents = [{"name": one, "model": "m", "max_turns": 1} for one in ("a", "b")]
    pair = Session.model_validate(
        {
            "name": "s",
            "environment": "e",
            "pattern": "single_container",
            "agents": agents,
            "secrets": [{"name": "CRM", "source": f"file:{file}"}],
            "resources": {"disk_gib": 1},
        }
    )
    say = "import json, os; print(json.dumps([os.environ['CRM'], os.getuid()]))"
    with a_rig(images) as rig:
        one = held(rig, "limited")
        plan = session_container(
            name=name(),
            image=rig.session_image,
            environment=Environment.model_validate({"name": "e", "config": {"type": "cloud"}}),
            session=pair,
            network=one.network,
            fence=str(one.fence.name),
            labels={},
        )
        code, said = ended(rig.container(replace(plan, command=("/usr/bin/python3", "-c", say))))
        assert (code, said) == (0, ["hunter2", 0])


def test_a_command_of_docker_exec_is_filtered_too_and_leaves_no_watcher(images: tuple[str, str]) -> None:
    with a_rig(images) as rig:
        session = held(rig, "limited").session
        ask = "import socket\ntry: socket.socket(40)\nexcept OSError as error: print(error.strerror)"
        assert ran(session, *BEHIND_FENCE, "/usr/bin/python3", "-c", ask) == "Operation not permitted"
        # The init, the command, and its own watcher.
        assert until(lambda: len(session.top()["Processes"]) == 3, 5), session.top()


def test_a_gateway_comes_back_in_the_namespace_of_its_new_anchor(images: tuple[str, str]) -> None:
    image = built(gateway_image(base=pinned(BASE), platform=PLATFORM, context_hash="test"))
    with a_rig(images) as rig:
        egress_name, egress = rig.network(internal=False)
        session_name, network = rig.network(internal=True)
        attached = (Attachment(egress_name, egress.gateway), Attachment(session_name, network.gateway))
        anchor = rig.container(
            anchor_container(
                name=name(),
                image=rig.fence_image,
                range_=RANGE,
                egress=egress,
                networks=attached,
                resolvers=(),
                labels={},
            )
        )
        volumes = [rig.client.volumes.create(name()) for _ in range(2)]
        for volume in volumes:
            rig.stack.callback(volume.remove)
        gateway = rig.container(
            gateway_container(
                name=name(),
                image=image,
                anchor=str(anchor.name),
                policy_volume=str(volumes[0].name),
                state_volume=str(volumes[1].name),
                secrets={},
                labels={},
            )
        )
        inside = rig.plain(session_name, network.session, "import time; time.sleep(600)")
        # There is no policy, so a gateway that is there says no.
        ask = (
            f"import urllib.request, urllib.error\n"
            f"try: urllib.request.urlopen('http://{network.gateway}:3128/', timeout=3)\n"
            "except urllib.error.HTTPError: print('served')\n"
            "except OSError as error: print(error)"
        )
        check = ["python3", "-m", "egress_gateway", "check"]
        assert eventually(lambda: ran(inside, "/usr/bin/python3", "-c", ask)) == "served"
        assert gateway.exec_run(check).exit_code == 0
        before = began(gateway)
        anchor.restart(timeout=5)
        assert gateway.exec_run(check).exit_code == 1
        assert ran(inside, "/usr/bin/python3", "-c", ask) != "served"
        assert until(lambda: began(gateway) != before and gateway.status == "running", 40)
        assert eventually(lambda: ran(inside, "/usr/bin/python3", "-c", ask)) == "served"


def test_nothing_runs_in_a_namespace_without_a_fence(images: tuple[str, str]) -> None:
    with a_rig(images) as rig:
        network_name, network = rig.network(internal=True)
        bare = rig.plain(network_name, network.session, "import time; time.sleep(600)")
        session = rig.container(session_plan(rig, str(bare.name), network, ("echo", "ran")))
        code, line = ended(session)
        assert (code, line["event"]) == (78, "no_fence")
        assert "ran" not in session.logs().decode().splitlines()


def test_the_agents_own_user_cannot_stand_in_for_the_fence(images: tuple[str, str]) -> None:
    with a_rig(images) as rig:
        network_name, network = rig.network(internal=True)
        impostor = (
            "import os, socket, time; os.setgid(10001); os.setuid(10001); one = socket.socket(socket.AF_UNIX);"
            "one.bind('\\0agentenv-fence'); one.listen(); time.sleep(600)"
        )
        bare = rig.plain(network_name, network.session, impostor, cap_add=("CAP_SETUID", "CAP_SETGID"))
        code, line = ended(rig.container(session_plan(rig, str(bare.name), network, ("echo", "ran"))))
        assert (code, line["event"]) == (78, "no_fence")


@pytest.mark.parametrize(("rules", "said"), [("", "FENCE_RULES is empty"), ("nonsense", "nft does not take")])
def test_a_fence_that_cannot_set_its_rules_does_not_stand(images: tuple[str, str], rules: str, said: str) -> None:
    with a_rig(images) as rig:
        network_name, network = rig.network(internal=True)
        plan = fence_container(
            name=name(),
            image=rig.fence_image,
            networking="limited",
            network=network,
            network_name=network_name,
            labels={},
        )
        code, line = ended(rig.container(replace(plan, environment={"FENCE_RULES": rules})))
        assert code == 78
        assert said in line["message"]


@pytest.fixture(scope="module")
def unrestricted(images: tuple[str, str]) -> Iterator[tuple[Rig, Held]]:
    """An unrestricted session whose way out leads to a namespace in which every address is local."""
    with a_rig(images) as rig:
        one = held(rig, "unrestricted", ports=(PORT,))
        bridge = rig.client.networks.get(one.network_name).attrs["Options"]["com.docker.network.bridge.name"]
        beside = one.network.subnet[5]
        with outside(bridge, f"{beside}/{one.network.subnet.prefixlen}"):
            in_namespace(one.fence, "ip", "route", "replace", "default", "via", str(beside))
            assert eventually(lambda: probe(one.session, OUTSIDE)) == "served"
            yield rig, one


@contextmanager
def outside(bridge: str, address: str) -> Iterator[None]:
    """A namespace on this bridge in which every address is local, and served."""
    with ExitStack() as stack:

        def start(*command: str) -> int:
            started = subprocess.Popen(command)
            stack.callback(started.wait)
            stack.callback(started.kill)
            return started.pid

        holder = start("unshare", "--net", "--", "sleep", "600")
        inside = ("nsenter", "--target", str(holder), "--net", "--")
        peer = f"ft{uuid.uuid4().hex[:8]}"
        while Path(f"/proc/{holder}/ns/net").readlink() == Path("/proc/self/ns/net").readlink():
            time.sleep(0.01)
        for command in (
            [*inside, "ip", "link", "set", "lo", "up"],
            [*inside, "ip", "route", "add", "local", "0.0.0.0/0", "dev", "lo"],
            ["ip", "link", "add", peer, "type", "veth", "peer", "name", "eth0", "netns", str(holder)],
            ["ip", "link", "set", peer, "master", bridge, "up"],
            [*inside, "ip", "address", "add", address, "dev", "eth0"],
            [*inside, "ip", "link", "set", "eth0", "up"],
        ):
            subprocess.run(command, check=True, timeout=30)
        start(*inside, "python3", "-c", SERVE, str(PORT), "53")
        start(*inside, "python3", "-c", SERVE_UDP, OUTSIDE, str(PORT))
        yield


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_an_unrestricted_session_reaches_the_outside(unrestricted: tuple[Rig, Held], kind: str) -> None:
    assert probe(unrestricted[1].session, OUTSIDE, PORT, kind) == "served"


@pytest.mark.parametrize("address", BLOCKED)
def test_an_unrestricted_session_never_reaches_the_blocklist(unrestricted: tuple[Rig, Held], address: str) -> None:
    _, one = unrestricted
    assert probe(one.session, address).startswith("ConnectionRefused")
    # It is the fence that refuses: without its rules the same address answers.
    rules = in_namespace(one.fence, "nft", "list", "table", "inet", "agentenv")
    in_namespace(one.fence, "nft", "delete", "table", "inet", "agentenv")
    try:
        assert probe(one.session, address) == "served"
    finally:
        subprocess.run(
            ["nsenter", "--target", str(one.fence.attrs["State"]["Pid"]), "--net", "--", "nft", "-f", "-"],
            input=rules,
            text=True,
            check=True,
        )
    assert probe(one.session, address).startswith("ConnectionRefused")


def test_an_unrestricted_session_asks_no_resolver_but_its_own(unrestricted: tuple[Rig, Held]) -> None:
    _, one = unrestricted
    assert probe(one.session, "10.9.9.9", 53).startswith("ConnectionRefused")
    rules = one.fence.attrs["Config"]["Env"]
    assert "dport 53" not in next(line for line in rules if line.startswith("FENCE_RULES="))


def test_a_port_of_an_unrestricted_service_answers_on_loopback_alone(unrestricted: tuple[Rig, Held]) -> None:
    rig, one = unrestricted
    one.session.exec_run(["/usr/bin/python3", "-c", SERVE, str(PORT), "8081"], detach=True)
    neighbour = rig.plain(one.network_name, one.network.forwarder, "import time; time.sleep(600)")
    assert eventually(lambda: probe(one.session, "127.0.0.1")) == "served"
    assert asked("import socket; print(socket.create_connection(('127.0.0.1', 8080), 5).recv(16).decode())") == "served"
    # Neither another port nor another neighbour.
    assert probe(neighbour, one.network.session, PORT) == "silence"
    assert probe(neighbour, one.network.session, 8081) == "silence"


def test_a_port_of_a_limited_service_is_relayed(images: tuple[str, str]) -> None:
    with a_rig(images) as rig:
        one = held(rig, "limited", (18081,), ("/usr/bin/python3", "-c", SERVE, "18081"))
        ingress_name, ingress = rig.network(internal=False)
        rig.container(
            forwarder_container(
                name=name(),
                image=rig.fence_image,
                ingress=ingress,
                ingress_name=ingress_name,
                network=one.network,
                network_name=one.network_name,
                ports=(18081,),
                labels={},
            )
        )
        ask = "import socket; print(socket.create_connection(('127.0.0.1', 18081), 5).recv(16).decode())"
        assert eventually(lambda: asked(ask)) == "served"
        # Nobody else is served, on the side of the ports neither.
        stranger = rig.plain(ingress_name, ingress.forwarder, "import time; time.sleep(600)")
        assert probe(stranger, ingress.session, 18081) in (
            "",
            "ConnectionResetError: [Errno 104] Connection reset by peer",
        )
        # A neighbour of the session that even sets a route to the other side gets no answer.
        neighbour = rig.plain(
            one.network_name, one.network.gateway, "import time; time.sleep(600)", cap_add=("CAP_NET_ADMIN",)
        )
        in_namespace(
            neighbour, "ip", "route", "add", str(ingress.session), "via", str(one.network.forwarder), "dev", "eth0"
        )
        assert probe(neighbour, ingress.session, 18081) == "silence"
        assert probe(one.session, ingress.session, 18081).startswith("ConnectionRefused")


def test_a_gateways_namespace_serves_sessions_alone(images: tuple[str, str]) -> None:
    with a_rig(images) as rig:
        egress_name, egress = rig.network(internal=False)
        session_name, network = rig.network(internal=True)
        server = rig.plain(egress_name, egress.gateway, SERVE, "3128", "9901", cap_add=("CAP_NET_ADMIN",))
        rig.client.networks.get(session_name).connect(server, ipv4_address=str(network.gateway))
        inside = rig.plain(session_name, network.session, "import time; time.sleep(600)")
        without = rig.plain(egress_name, egress.session, "import time; time.sleep(600)")
        assert probe(without, egress.gateway, 3128) == "served"
        subprocess.run(
            ["docker", "exec", "-i", str(server.name), "/usr/sbin/nft", "-f", "-"],
            input=gateway_rules(RANGE, egress),
            text=True,
            check=True,
        )
        assert probe(inside, network.gateway, 3128) == "served"
        assert probe(inside, network.gateway, 9901) == "silence"
        assert probe(without, egress.gateway, 3128) == "silence"
