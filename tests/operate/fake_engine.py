"""As much of a Docker engine as runs and probes use, in plain Python; it remembers what it was told."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from docker.errors import APIError, NotFound


class FakeContainer:
    """A container that ends when somebody looks."""

    def __init__(self, fake: "FakeEngine", name: str, config: dict[str, Any]) -> None:
        self.fake, self.name, self.config = fake, name, config
        self.labels = config.get("Labels", {})
        self.status = "created"
        self.attrs: dict[str, Any] = {"Image": "sha256:cafe", "State": {"ExitCode": 0}}

    def start(self) -> None:
        self.fake.told.append(f"start {self.name}")
        if self.fake.broken and self.name.endswith(self.fake.broken):
            raise APIError("500", explanation="no such runtime")
        self.status = "running"

    def reload(self) -> None:
        self.status = "exited"

    def remove(self, force: bool, v: bool) -> None:
        self.fake.told.append(f"remove {self.name}")
        del self.fake.containers_by_name[self.name]

    def logs(self, stdout: bool, stderr: bool) -> bytes:
        return self.fake.answer(self.config["Cmd"]).encode() if stdout else b""

    def exec_run(self, command: list[str], demux: bool) -> Any:
        self.fake.told.append(f"exec {self.name} {' '.join(command[3:])}")
        code, out, err = self.fake.executed(command)
        return SimpleNamespace(exit_code=code, output=(out, err))


class FakeNetwork:
    """A network that cannot be removed while something is on it."""

    def __init__(self, fake: "FakeEngine", name: str, settings: dict[str, Any]) -> None:
        self.fake, self.name, self.settings = fake, name, settings
        now = datetime.now(UTC).isoformat()
        self.attrs: dict[str, Any] = {"Labels": settings["labels"], "Created": now, "Containers": {}}
        self.address = ""

    def connect(self, container: str, ipv4_address: str) -> None:
        self.fake.told.append(f"connect {container} {self.name}")
        self.attrs["Containers"][container] = {}
        self.address = ipv4_address

    def disconnect(self, container: str, force: bool) -> None:
        self.fake.told.append(f"disconnect {container} {self.name}")
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
        broken: End of the name of a container that does not start.
        taken: How many places of a range are taken.
        seen: Probe -> what its line says.
        policy: What the gateway says of its policy.
        exec_code: Exit code of the gateway's commands.
    """

    def __init__(self, version: str = "1.41") -> None:
        self.told: list[str] = []
        self.broken = ""
        self.taken = 0
        self.seen: dict[str, str] = {}
        self.policy: dict[str, Any] = {"in_force": True, "policy_hash": "", "policy": {"hosts": []}, "identities": []}
        self.exec_code = 0
        self.containers_by_name: dict[str, FakeContainer] = {}
        self.networks_by_name: dict[str, FakeNetwork] = {}
        self.containers = SimpleNamespace(get=self._container, list=self._containers)
        self.networks = SimpleNamespace(get=self._network, list=self._networks, create=self._make_network)
        self.api = SimpleNamespace(
            version=lambda: {"ApiVersion": version}, create_container_from_config=self._make_container
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

    def _containers(self, all: bool, filters: dict[str, list[str]]) -> list[FakeContainer]:  # noqa: A002 - as the SDK has it
        assert all, "a container that has ended is looked for too"
        return [one for one in self.containers_by_name.values() if _labelled(one.labels, filters)]

    def _networks(self, filters: dict[str, list[str]]) -> list[FakeNetwork]:
        return [one for one in self.networks_by_name.values() if _labelled(one.attrs["Labels"], filters)]

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
