"""The stand-in for docker on a real engine: the process that Pulumi starts, called over gRPC."""

import os
import threading
import uuid
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import NotFound
from google.protobuf import empty_pb2

from offline.docker_build import image
from offline.docker_build.build import Builder
from tests.offline.docker_driver import CallError, Deployed, Driver, running

pytestmark = pytest.mark.containers

CONTAINER = "docker:index/container:Container"
IMAGE = "docker:index/remoteImage:RemoteImage"
NETWORK = "docker:index/network:Network"
VOLUME = "docker:index/volume:Volume"
FOREVER = ["sleep", "600"]


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="module")
def process() -> Iterator[Driver]:
    with running({}, os.environ) as driver:
        yield driver


@pytest.fixture
def driver(process: Driver) -> Iterator[Driver]:
    yield process
    process.clean()


@pytest.fixture(scope="module")
def image_id(engine: docker.DockerClient) -> str:
    """The base image as a container is best given it."""
    return str(engine.images.get(os.environ["AGENT_ENVIRONMENTS_BASE_IMAGE"].partition("@")[0]).id)


@pytest.fixture
def name() -> str:
    return f"docker-stand-in-{uuid.uuid4().hex[:10]}"


@pytest.fixture
def subnet(engine: docker.DockerClient) -> IPv4Network:
    """A free /29: other tests make networks on this engine too."""
    taken = [
        IPv4Network(entry["Subnet"])
        for network in engine.networks.list()
        for entry in network.attrs["IPAM"]["Config"] or []
        if ":" not in entry["Subnet"]
    ]
    free = [s for s in IPv4Network("203.0.113.0/24").subnets(new_prefix=29) if not any(s.overlaps(t) for t in taken)]
    return free[uuid.uuid4().int % len(free)]


@pytest.fixture
def sleeping(image_id: str, name: str) -> dict[str, Any]:
    """Inputs of a container that runs until it is killed."""
    return {"name": name, "image": image_id, "command": FOREVER}


def names(engine: docker.DockerClient) -> set[str]:
    return {str(container.name) for container in engine.containers.list(all=True)}


def once(driver: Driver, inputs: dict[str, Any], script: str, **more: Any) -> Deployed:
    """Runs a script in a container to its end."""
    ending = {"mustRun": False, "attach": True, "logs": True, "command": ["sh", "-c", script]}
    return driver.create(CONTAINER, {**inputs, **ending, **more}, f"once-{uuid.uuid4().hex[:6]}")


class TestNetwork:
    def test_life(self, driver: Driver, engine: docker.DockerClient, name: str, subnet: IPv4Network) -> None:
        inputs = {
            "name": name,
            "internal": True,
            "ipamConfigs": [{"subnet": str(subnet), "gateway": str(subnet[1]), "auxAddress": {"gw": str(subnet[2])}}],
            "labels": [{"label": "agentenv.role", "value": "session"}],
            "options": {"com.docker.network.bridge.enable_icc": "false"},
        }
        network = driver.create(NETWORK, inputs)
        found = engine.networks.get(network.id).attrs
        assert (found["Internal"], found["Labels"]) == (True, {"agentenv.role": "session"})
        assert (network.state["scope"], network.state["driver"]) == ("local", "bridge")
        assert driver.diff(network, inputs).changed == set()
        assert driver.refresh(network) == network
        difference = driver.diff(network, {**inputs, "internal": False})
        assert (difference.changed, difference.replaces, difference.delete_first) == ({"internal"}, {"internal"}, True)
        with pytest.raises(CallError, match=f"unable to create network: network with name {name} already exists$"):
            driver.create(NETWORK, {"name": name}, "second")
        engine.networks.get(network.id).remove()
        assert driver.refresh(network) is None
        driver.delete(network)

    def test_it_waits_for_its_containers_to_go(self, driver: Driver, name: str, sleeping: dict[str, Any]) -> None:
        network = driver.create(NETWORK, {"name": name})
        container = driver.create(CONTAINER, {**sleeping, "networksAdvanced": [{"name": name}]}, "user")
        later = threading.Timer(1, driver.delete, [container])
        later.start()
        driver.delete(network)
        later.join()
        assert driver.left == {}


class TestVolume:
    def test_life(self, driver: Driver, engine: docker.DockerClient, name: str) -> None:
        inputs = {"name": name, "labels": [{"label": "a", "value": "b"}]}
        volume = driver.create(VOLUME, inputs)
        assert volume.id == name
        assert volume.state["mountpoint"] == engine.volumes.get(name).attrs["Mountpoint"]
        assert driver.diff(volume, inputs).changed == set()
        assert driver.refresh(volume) == volume
        assert driver.diff(volume, {"name": name}).replaces == {"labels"}
        driver.delete(volume)
        with pytest.raises(NotFound):
            engine.volumes.get(name)
        assert driver.refresh(volume) is None
        driver.delete(volume)


class TestContainer:
    def test_hardening_is_in_force(self, driver: Driver, image_id: str, name: str) -> None:
        inputs = {
            "name": name,
            "image": image_id,
            "user": "10001:10001",
            "groupAdds": ["12345"],
            "envs": ["GREETING=hello"],
            "workingDir": "/work",
            "hostname": "session",
            "readOnly": True,
            "capabilities": {"drops": ["ALL"]},
            "securityOpts": ["no-new-privileges:true"],
            "tmpfs": {"/work": "rw,size=1m,uid=10001,gid=10001,mode=0700"},
            "mounts": [{"type": "tmpfs", "target": "/tmp", "tmpfsOptions": {"sizeBytes": 1 << 20, "mode": 0o1777}}],
            "memory": 64,
            "memorySwap": 64,
            "cpus": "0.5",
            "shmSize": 1,
            "ulimits": [{"name": "nproc", "soft": 77, "hard": 77}],
            "sysctls": {"net.ipv4.ip_unprivileged_port_start": "1024"},
            "networkMode": "none",
            "hosts": [{"host": "gateway.test", "ip": "198.51.100.2"}],
            "init": True,
            "logDriver": "json-file",
            "logOpts": {"max-size": "1m"},
            "stopTimeout": 120,
            "stopSignal": "SIGINT",
        }
        script = (
            "exec 2>&1; id -u; id -G; echo $GREETING; pwd; hostname; "
            "grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status; "
            "touch /etc/x || echo root is read-only; touch /work/x /tmp/x && echo scratch is writable; "
            "bash -c 'ulimit -u'; "
            "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; grep -c gateway.test /etc/hosts; "
            "cat /proc/1/comm; exit 3"
        )
        container = once(driver, inputs, script)
        lines = container.state["containerLogs"].splitlines()
        assert lines == [
            *("10001", "10001 12345", "hello", "/work", "session"),
            *("CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"),
            *("touch: cannot touch '/etc/x': Read-only file system", "root is read-only", "scratch is writable"),
            *("77", "1024", "1", "docker-init"),
        ]
        assert container.state["exitCode"] == 3
        host = docker.from_env().containers.get(container.id).attrs["HostConfig"]
        assert (host["Memory"], host["MemorySwap"], host["NanoCpus"]) == (64 << 20, 64 << 20, 5 * 10**8)
        more = {"mustRun": False, "attach": True, "logs": True, "command": ["sh", "-c", script]}
        assert driver.diff(container, {**inputs, **more}).changed == set()
        assert driver.refresh(container) == container

    def test_address_on_its_network_and_a_shared_namespace(
        self, driver: Driver, name: str, subnet: IPv4Network, sleeping: dict[str, Any]
    ) -> None:
        ipam = [{"subnet": str(subnet), "gateway": str(subnet[1])}]
        driver.create(NETWORK, {"name": name, "internal": True, "ipamConfigs": ipam}, "network")
        joined = [{"name": name, "ipv4Address": str(subnet[3]), "aliases": ["fence"]}]
        fence = driver.create(CONTAINER, {**sleeping, "networksAdvanced": joined}, "fence")
        (data,) = fence.state["networkDatas"]
        assert (data["networkName"], data["ipAddress"], data["gateway"]) == (name, str(subnet[3]), str(subnet[1]))
        assert data["ipPrefixLength"] == 29
        assert driver.diff(fence, {**sleeping, "networksAdvanced": joined}).changed == set()
        inside = {"name": f"{name}-inside", "image": sleeping["image"], "networkMode": f"container:{fence.id}"}
        session = once(driver, inside, "cat /etc/hosts")
        assert str(subnet[3]) in session.state["containerLogs"]
        assert "networkMode" not in driver.diff(session, inside).changed

    def test_image_given_by_name_is_another_at_each_deployment(self, driver: Driver, sleeping: dict[str, Any]) -> None:
        by_name = {**sleeping, "image": os.environ["AGENT_ENVIRONMENTS_BASE_IMAGE"].partition("@")[0]}
        container = driver.create(CONTAINER, by_name)
        assert container.state["image"] == sleeping["image"]
        difference = driver.diff(container, by_name)
        assert (difference.replaces, difference.delete_first) == ({"image"}, True)
        assert driver.diff(container, by_name, ignore=("image",)).changed == set()
        assert driver.diff(container, sleeping).changed == set()

    def test_limits_and_restarts_change_in_place(
        self, driver: Driver, engine: docker.DockerClient, sleeping: dict[str, Any]
    ) -> None:
        container = driver.create(CONTAINER, {**sleeping, "memory": 32, "memorySwap": 32})
        changed = {**sleeping, "memory": 64, "memorySwap": 128, "restart": "on-failure", "maxRetryCount": 2}
        updated = driver.update(container, changed)
        host = engine.containers.get(container.id).attrs["HostConfig"]
        assert (host["Memory"], host["MemorySwap"]) == (64 << 20, 128 << 20)
        assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}
        assert driver.diff(updated, changed).changed == set()
        assert driver.refresh(updated) == updated
        engine.containers.get(container.id).update(mem_limit="96m")
        refreshed = driver.refresh(updated)
        assert refreshed is not None
        assert refreshed.inputs["memory"] == 96
        assert driver.diff(refreshed, changed).changed == {"memory"}

    def test_tmpfs_is_not_changed_in_place_which_a_refresh_shows(
        self, driver: Driver, sleeping: dict[str, Any]
    ) -> None:
        container = driver.create(CONTAINER, {**sleeping, "tmpfs": {"/t": "size=1m"}})
        changed = {**sleeping, "tmpfs": {"/t": "size=2m"}}
        updated = driver.update(container, changed)
        assert driver.diff(updated, changed).changed == set()
        refreshed = driver.refresh(updated)
        assert refreshed is not None
        assert driver.diff(refreshed, changed).changed == {"tmpfs"}

    def test_stopped_container_is_taken_away_by_a_refresh(
        self, driver: Driver, engine: docker.DockerClient, sleeping: dict[str, Any]
    ) -> None:
        container = driver.create(CONTAINER, sleeping)
        engine.containers.get(container.id).kill()
        assert driver.refresh(container) is None
        assert sleeping["name"] not in names(engine)

    def test_stopped_container_that_need_not_run_stays(
        self, driver: Driver, engine: docker.DockerClient, sleeping: dict[str, Any]
    ) -> None:
        container = driver.create(CONTAINER, {**sleeping, "mustRun": False})
        engine.containers.get(container.id).kill()
        refreshed = driver.refresh(container)
        assert refreshed is not None
        assert refreshed.state["exitCode"] == 137

    def test_removed_container_is_gone_and_deleting_it_is_fine(
        self, driver: Driver, engine: docker.DockerClient, sleeping: dict[str, Any]
    ) -> None:
        container = driver.create(CONTAINER, sleeping)
        engine.containers.get(container.id).remove(force=True)
        driver.delete(container)
        assert driver.refresh(container) is None

    def test_grace_lets_it_end_by_itself(self, driver: Driver, name: str, image_id: str) -> None:
        volume = driver.create(VOLUME, {"name": name}, "kept")
        mounts = [{"type": "volume", "source": name, "target": "/kept"}]
        script = "trap 'echo bye >/kept/end; exit' TERM; while :; do sleep 0.1; done"
        inputs = {"name": name, "image": image_id, "command": ["sh", "-c", script], "mounts": mounts}
        container = driver.create(CONTAINER, {**inputs, "destroyGraceSeconds": 10})
        driver.delete(container)
        reader = {"name": f"{name}-reader", "image": image_id, "mounts": mounts}
        assert once(driver, reader, "cat /kept/end").state["containerLogs"] == "bye\n"
        assert volume.id == name

    def test_port_of_the_engines_choice_stays(self, driver: Driver, sleeping: dict[str, Any]) -> None:
        inputs = {**sleeping, "ports": [{"internal": 8080, "ip": "127.0.0.1"}]}
        container = driver.create(CONTAINER, inputs)
        (port,) = container.state["ports"]
        assert (port["internal"], port["ip"], port["protocol"]) == (8080, "127.0.0.1", "tcp")
        assert port["external"] > 0
        assert driver.diff(container, inputs).changed == set()
        updated = driver.update(container, {**inputs, "restart": "always"})
        assert updated.state["ports"] == [port]
        assert driver.diff(updated, {**sleeping, "restart": "always"}).replaces == {"ports"}

    def test_files_are_there_before_it_starts_also_in_a_volume(self, driver: Driver, name: str, image_id: str) -> None:
        driver.create(VOLUME, {"name": name}, "policy")
        inputs = {
            "name": name,
            "image": image_id,
            "mounts": [{"type": "volume", "source": name, "target": "/policy"}],
            "uploads": [
                {"file": "/policy/incoming.json", "content": '{"version": 1}'},
                {"file": "/usr/local/bin/hello", "contentBase64": "IyEvYmluL3NoCmVjaG8gaGVsbG8K", "executable": True},
            ],
        }
        assert (
            once(driver, inputs, "hello; cat /policy/incoming.json").state["containerLogs"] == 'hello\n{"version": 1}'
        )
        reader = {"name": f"{name}-reader", "image": image_id, "mounts": inputs["mounts"], "readOnly": True}
        assert once(driver, reader, "cat /policy/incoming.json").state["containerLogs"] == '{"version": 1}'

    def test_secrets_stay_secret(self, driver: Driver, sleeping: dict[str, Any]) -> None:
        inputs = {**sleeping, "envs": ["TOKEN=hush-hush"]}
        container = driver.create(CONTAINER, inputs, secrets=("envs",))
        assert container.secrets == {"envs"}
        failing = {**inputs, "name": f"{sleeping['name']}-2", "command": ["sh", "-c", "echo $TOKEN is wrong; exit 1"]}
        with pytest.raises(CallError, match=r"with exit code 1: \[secret\] is wrong"):
            driver.create(CONTAINER, failing, "failing", secrets=("envs",))

    def test_healthy_container_is_waited_for(self, driver: Driver, sleeping: dict[str, Any]) -> None:
        check = {"tests": ["CMD", "test", "-f", "/ready"], "interval": "500ms", "timeout": "5s", "retries": 30}
        command = ["sh", "-c", "sleep 1; touch /ready; sleep 600"]
        inputs = {**sleeping, "command": command, "healthcheck": check, "wait": True, "waitTimeout": 30}
        container = driver.create(CONTAINER, inputs)
        health = docker.from_env().containers.get(container.id).attrs["State"]["Health"]
        assert health["Status"] == "healthy"
        assert driver.diff(container, inputs).changed == set()


UNHEALTHY = {"tests": ["CMD", "false"], "interval": "200ms", "retries": 100}


class TestFailures:
    @pytest.mark.parametrize(
        ("more", "message"),
        [
            ({"image": "sha256:" + "0" * 64}, "unable to find image sha256:0{64}: .*No such image"),
            ({"networksAdvanced": [{"name": "no-such-network"}]}, "network no-such-network not found"),
            ({"command": ["no-such-program"]}, "unable to start container: .*no-such-program"),
            ({"command": ["sh", "-c", "echo why; exit 4"]}, "container exited immediately with exit code 4: why$"),
            ({"start": False}, "start is false; set mustRun to false"),
            ({"wait": True}, "neither the container nor its image has a health check"),
            ({"wait": True, "waitTimeout": 1, "healthcheck": UNHEALTHY}, "healthy state within 1 s: it is starting"),
            ({"readOnly": True, "uploads": [{"file": "/x", "content": "a"}]}, "unable to upload files: .*read-only"),
            ({"uploads": [{"file": "/x", "source": "/no/such/file"}]}, "/no/such/file"),
            ({"healthcheck": {**UNHEALTHY, "startInterval": "1s"}}, "needs a Docker engine with API 1.44"),
            ({"restart": "always", "rm": True}, "unable to create container: can't create 'AutoRemove' container"),
        ],
    )
    def test_one_clear_line_and_nothing_left(
        self, driver: Driver, engine: docker.DockerClient, sleeping: dict[str, Any], more: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(CallError, match=rf"^{CONTAINER} 'subject': .*({message})") as caught:
            driver.create(CONTAINER, {**sleeping, **more})
        assert "\n" not in str(caught.value)
        assert sleeping["name"] not in names(engine)

    def test_name_that_is_taken(self, driver: Driver, engine: docker.DockerClient, sleeping: dict[str, Any]) -> None:
        first = driver.create(CONTAINER, sleeping, "first")
        with pytest.raises(
            CallError, match=r"unable to create container: Conflict\. The container name .* already in use"
        ):
            driver.create(CONTAINER, sleeping, "second")
        assert engine.containers.get(first.id).status == "running"
        driver.delete(first)
        assert driver.create(CONTAINER, sleeping, "second").id != first.id

    def test_cancelling_ends_a_wait_and_removes_the_container(
        self, engine: docker.DockerClient, sleeping: dict[str, Any]
    ) -> None:
        with running({}, os.environ) as driver:
            later = threading.Timer(1, driver.stub.Cancel, [empty_pb2.Empty()])
            later.start()
            with pytest.raises(CallError, match="cancelled"):
                driver.create(CONTAINER, {**sleeping, "attach": True, "mustRun": False})
            later.join()
        assert sleeping["name"] not in names(engine)


class TestHost:
    @pytest.mark.parametrize("where", ["variables", "environment"])
    def test_address_is_taken_from_the_configuration_or_the_environment(self, where: str, name: str) -> None:
        real = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
        nowhere = {**os.environ, "DOCKER_HOST": "tcp://127.0.0.1:9"}
        variables = {"docker:config:host": real} if where == "variables" else {}
        environment = nowhere if where == "variables" else {**os.environ, "DOCKER_HOST": real}
        with running(variables, environment) as driver:
            assert driver.create(VOLUME, {"name": name}).id == name
        with running({}, nowhere) as driver, pytest.raises(CallError, match="cannot connect to the Docker engine"):
            driver.create(VOLUME, {"name": name})


class TestRemoteImage:
    @pytest.fixture
    def alias(self, engine: docker.DockerClient, image_id: str, name: str) -> Iterator[str]:
        tag = f"{name}:1"
        engine.images.get(image_id).tag(tag)
        yield tag
        if tag in engine.images.get(image_id).tags:
            engine.images.remove(tag)

    @pytest.mark.parametrize("keep", [True, False])
    def test_life(self, driver: Driver, engine: docker.DockerClient, image_id: str, alias: str, keep: bool) -> None:
        inputs = {"name": alias, "keepLocally": keep}
        found = driver.create(IMAGE, inputs)
        assert found.state["imageId"] == image_id
        assert driver.diff(found, inputs).changed == set()
        assert driver.refresh(found) == found
        assert driver.diff(found, {**inputs, "triggers": {"a": "b"}}).replaces == {"triggers"}
        driver.delete(found)
        assert (alias in engine.images.get(image_id).tags) is keep
        if not keep:
            assert driver.refresh(found) is None

    def test_image_that_is_nowhere(self, driver: Driver) -> None:
        with pytest.raises(CallError, match=r"unable to find image nowhere\.invalid/team/app:1: "):
            driver.create(IMAGE, {"name": "nowhere.invalid/team/app:1"})


def test_built_image_is_loaded_and_its_digest_is_what_a_container_wants(
    driver: Driver, engine: docker.DockerClient, name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    base = os.environ["AGENT_ENVIRONMENTS_BASE_IMAGE"]
    tag = f"{name}:1"
    context = {"location": str(tmp_path)}
    inputs = {
        "load": True,
        "tags": [tag],
        "context": context,
        "dockerfile": {"inline": f"FROM {base}\nENV BUILT={name}\n"},
    }
    built = image.make(Builder(), inputs, [], preview=False, on_line=lambda _: None)
    request.addfinalizer(lambda: engine.images.remove(tag, force=True))
    container = once(driver, {"name": name, "image": built["digest"]}, "echo $BUILT")
    assert container.state["containerLogs"].strip() == name
    by_tag = once(driver, {"name": f"{name}-2", "image": built["ref"]}, "echo $BUILT")
    assert by_tag.state["image"] == built["digest"] == container.state["image"]
