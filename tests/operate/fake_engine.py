"""As much of a Docker engine as runs and probes use, in plain Python; it remembers what it was told."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from docker.errors import APIError, NotFound
from requests import Response


class FakeContainer:
    """A container that ends when somebody looks, or only when it is told to."""

    def __init__(self, fake: "FakeEngine", name: str, config: dict[str, Any]) -> None:
        self.fake, self.name, self.config = fake, name, config
        self.labels = config.get("Labels", {})
        self.status = "created"
        now = datetime.now(UTC).isoformat()
        self.attrs: dict[str, Any] = {
            "Image": "sha256:cafe",
            "Config": {"Cmd": config.get("Cmd", [])},
            "Created": now,
            "State": {"ExitCode": 0, "StartedAt": "0001-01-01T00:00:00Z", "FinishedAt": "0001-01-01T00:00:00Z"},
        }

    def start(self) -> None:
        self.fake.told.append(f"start {self.name}")
        if self.fake.broken and self.name.endswith(self.fake.broken):
            raise APIError("500", explanation="no such runtime")
        self.status = "running"
        self.attrs["State"]["StartedAt"] = datetime.now(UTC).isoformat()

    def end(self, code: int = 0) -> None:
        """What the program in it does by itself."""
        self.status = "exited"
        self.attrs["State"] |= {"ExitCode": code, "FinishedAt": datetime.now(UTC).isoformat()}

    def reload(self) -> None:
        if self.status == "running" and not self.fake.stubborn:
            self.end(self.fake.exit_code)

    def wait(self, timeout: float | None) -> None:
        self.fake.told.append(f"wait {self.name}")
        if self.fake.waiting is not None:
            self.fake.waiting(self)
        if self.status == "running":
            self.end(self.fake.exit_code)

    def kill(self, signal: str) -> None:
        self.fake.told.append(f"kill {self.name} {signal}")
        if self.status != "running":
            refusal = Response()
            refusal.status_code = 409
            raise APIError("409", response=refusal, explanation="it does not run")
        if signal == "SIGKILL" or not self.fake.stubborn:
            self.end(137 if signal == "SIGKILL" else 143)

    def stop(self, timeout: int) -> None:
        self.fake.told.append(f"stop {self.name} {timeout}")
        self.end(0)

    def remove(self, force: bool, v: bool) -> None:
        self.fake.told.append(f"remove {self.name}")
        del self.fake.containers_by_name[self.name]

    def logs(self, stdout: bool, stderr: bool, stream: bool = False, follow: bool = False) -> Any:
        if follow:
            return self._followed()
        if stream:
            return iter([self.fake.output if stdout else self.fake.errors])
        return self.fake.answer(self.config["Cmd"]).encode() if stdout else b""

    def _followed(self) -> Iterator[bytes]:
        yield self.fake.output
        if self.status == "running":
            self.wait(None)

    def exec_run(self, command: list[str], demux: bool) -> Any:
        self.fake.told.append(f"exec {self.name} {' '.join(command[3:])}")
        code, out, err = self.fake.executed(command)
        return SimpleNamespace(exit_code=code, output=(out, err))


class FakeNetwork:
    """A network that cannot be removed while something is on it."""

    def __init__(self, fake: "FakeEngine", name: str, settings: dict[str, Any]) -> None:
        self.fake, self.name, self.settings = fake, name, settings
        now = datetime.now(UTC).isoformat()
        pools = settings["ipam"]["Config"] if "ipam" in settings else []
        self.attrs: dict[str, Any] = {
            "Labels": settings["labels"],
            "Created": now,
            "Containers": {},
            "IPAM": {"Config": pools},
        }
        self.address = ""

    def connect(self, container: str, ipv4_address: str) -> None:
        self.fake.told.append(f"connect {container} {self.name}")
        if self.fake.broken and container.endswith(self.fake.broken):
            raise APIError("404", explanation=f"No such container: {container}")
        self.attrs["Containers"][container] = {}
        self.address = ipv4_address

    def disconnect(self, container: str, force: bool) -> None:
        self.fake.told.append(f"disconnect {container} {self.name}")
        if container not in self.attrs["Containers"]:
            raise APIError("500", explanation=f"container {container} is not connected to network {self.name}")
        del self.attrs["Containers"][container]

    def reload(self) -> None:
        """Nothing here is out of date."""

    def remove(self) -> None:
        assert not self.attrs["Containers"], "the engine refuses to remove a network that is in use"
        self.fake.told.append(f"remove network {self.name}")
        del self.fake.networks_by_name[self.name]


class FakeEngine:
    """A DockerClient.

    Attributes:
        told: What was done, in order.
        broken: End of the name of a container that neither starts nor comes to a network.
        taken: How many places of a range are taken.
        seen: Probe -> what its line says.
        policy: What the gateway says of its policy.
        exec_code: Exit code of the gateway's commands.
        stubborn: Whether containers go on until they are killed or waited for.
        exit_code: What a container ends with by itself.
        waiting: Called while a container is waited for.
        output: What a run's container wrote to its output.
        errors: What it wrote to its errors.
    """

    def __init__(self, version: str = "1.41") -> None:
        self.told: list[str] = []
        self.broken = ""
        self.taken = 0
        self.seen: dict[str, str] = {}
        self.policy: dict[str, Any] = {"in_force": True, "policy_hash": "", "policy": {"hosts": []}, "identities": []}
        self.exec_code = 0
        self.stubborn = False
        self.exit_code = 0
        self.waiting: Callable[[FakeContainer], None] | None = None
        self.output = b""
        self.errors = b""
        self.volumes_by_name: dict[str, SimpleNamespace] = {}
        self.containers_by_name: dict[str, FakeContainer] = {}
        self.networks_by_name: dict[str, FakeNetwork] = {}
        self.containers = SimpleNamespace(get=self._container, list=self._containers)
        self.networks = SimpleNamespace(get=self._network, list=self._networks)
        self.images = SimpleNamespace(get=lambda name: SimpleNamespace(id="sha256:cafe"))
        self.volumes = SimpleNamespace(get=self._volume, list=self._volumes, create=self._make_volume)
        self.api = SimpleNamespace(
            api_version=version,
            create_container_from_config=self._make_container,
            create_network=self._make_network,
            connect_container_to_network=lambda anchor, name, ipv4_address: self._network(name).connect(
                anchor, ipv4_address
            ),
            remove_container=lambda name, force, v: self._container(name).remove(force, v),
            start=lambda name: self._container(name).start(),
        )
        for name in ("t-anchor", "t-gateway", "t-chat"):
            config = {"Labels": {"agentenv.stack": "t", "agentenv.role": "fence"}}
            self.containers_by_name[name] = FakeContainer(self, name, config)

    def version(self) -> dict[str, str]:
        return {"Version": "20.10"}

    def _container(self, name: str) -> FakeContainer:
        if name not in self.containers_by_name:
            raise NotFound("404", explanation=f"No such container: {name}")
        return self.containers_by_name[name]

    def _network(self, name: str) -> FakeNetwork:
        if name not in self.networks_by_name:
            raise NotFound("404", explanation=f"No such network: {name}")
        return self.networks_by_name[name]

    def _containers(
        self,
        all: bool,  # noqa: A002 - as the SDK has it
        filters: dict[str, list[str]],
        ignore_removed: bool,
    ) -> list[FakeContainer]:
        assert all, "a container that has ended is looked for too"
        assert ignore_removed, "one that goes meanwhile is no fault"
        return [one for one in self.containers_by_name.values() if _labelled(one.labels, filters)]

    def _networks(self, filters: dict[str, list[str]]) -> list[FakeNetwork]:
        return [one for one in self.networks_by_name.values() if _labelled(one.attrs["Labels"], filters)]

    def _volume(self, name: str) -> SimpleNamespace:
        if name not in self.volumes_by_name:
            raise NotFound("404", explanation=f"get {name}: no such volume")
        return self.volumes_by_name[name]

    def _volumes(self, filters: dict[str, list[str]]) -> list[SimpleNamespace]:
        return [one for one in self.volumes_by_name.values() if _labelled(one.attrs["Labels"], filters)]

    def _make_volume(self, name: str, labels: dict[str, str]) -> None:
        def remove() -> None:
            self.told.append(f"remove volume {name}")
            del self.volumes_by_name[name]

        self.told.append(f"volume {name}")
        attributes = {"Labels": labels, "CreatedAt": datetime.now(UTC).isoformat()}
        self.volumes_by_name[name] = SimpleNamespace(name=name, attrs=attributes, remove=remove)

    def _make_network(self, name: str, **settings: Any) -> None:
        if self.taken:
            self.taken -= 1
            raise APIError("403", explanation="Pool overlaps with other one on this address space")
        self.told.append(f"network {name}")
        self.networks_by_name[name] = FakeNetwork(self, name, settings)

    def _make_container(self, config: dict[str, Any], name: str) -> dict[str, str]:
        self.told.append(f"create {name}")
        self.containers_by_name[name] = FakeContainer(self, name, config)
        return {"Id": name}

    def answer(self, command: list[str]) -> str:
        """What the probe program prints."""
        numbers = [number for number, _, _ in json.loads(command[-1])["probes"]]
        lines = [{"event": "probe", "id": one, "seen": self.seen.get(one, "?"), "detail": ""} for one in numbers]
        return "\n".join(map(json.dumps, [*lines, {"event": "probes_done", "count": len(lines)}]))

    def executed(self, command: list[str]) -> tuple[int, bytes, bytes | None]:
        """What a command in a container comes to."""
        if command[2:] == ["egress_gateway", "policy"]:
            return self.exec_code, json.dumps(self.policy).encode(), None
        if command[2] == "egress_gateway":
            return self.exec_code, b"{}", b"warning\nno such thing" if self.exec_code else None
        return 0, self.answer(command).encode(), None


def _labelled(labels: dict[str, str], filters: dict[str, list[str]]) -> bool:
    """Whether there is each label, with its value where one is named."""
    pairs = [wanted.partition("=") for wanted in filters["label"]]
    return all(name in labels and (not sign or labels[name] == value) for name, sign, value in pairs)
