"""The stand-in for docker under the real `pulumi`: a network, a volume and a container from first up to destroy."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from pulumi import automation as auto

pytestmark = [pytest.mark.engine, pytest.mark.containers]

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import pulumi
import pulumi_docker as docker

config = pulumi.Config()
name = config.require("name")
options = pulumi.ResourceOptions(delete_before_replace=config.get_bool("deleteFirst"))
network = docker.Network("network", name=name, internal=config.get_bool("internal"))
volume = docker.Volume("volume")
container = docker.Container(
    "container",
    name=name,
    image=config.require("image"),
    command=["sleep", "600"],
    read_only=True,
    memory=config.require_int("memory"),
    memory_swap=config.require_int("memory"),
    capabilities={"drops": ["ALL"]},
    envs=[config.require_secret("token").apply(lambda token: f"TOKEN={token}")],
    networks_advanced=[{"name": network.name, "aliases": ["box"]}],
    mounts=[{"type": "volume", "source": volume.name, "target": "/data"}],
    opts=options,
)
pulumi.export("volume", volume.name)
pulumi.export("address", container.network_datas[0].ip_address)
"""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[auto.Stack]:
    (tmp_path / "project").mkdir()
    (tmp_path / "state").mkdir()
    (tmp_path / "project" / "__main__.py").write_text(PROGRAM)
    (tmp_path / "project" / "Pulumi.yaml").write_text(
        f"name: box\nruntime:\n  name: python\n  options: {{toolchain: pip, virtualenv: {ROOT / '.venv'}}}\n"
    )
    variables = {"PULUMI_BACKEND_URL": f"file://{tmp_path / 'state'}", "PULUMI_CONFIG_PASSPHRASE": "test"}
    options = auto.LocalWorkspaceOptions(env_vars=variables)
    made = auto.create_stack("test", work_dir=str(tmp_path / "project"), opts=options)
    base = os.environ["AGENT_ENVIRONMENTS_BASE_IMAGE"].partition("@")[0]
    client = docker.from_env()
    for key, value in (
        ("name", f"docker-stand-in-{uuid.uuid4().hex[:10]}"),
        ("image", str(client.images.get(base).id)),
        ("memory", "32"),
        ("internal", "true"),
    ):
        made.set_config(key, auto.ConfigValue(value))
    made.set_config("token", auto.ConfigValue("hush-hush", secret=True))
    client.close()
    yield made
    made.destroy(color="never")


class Steps:
    """What the engine does to each resource, where it does anything."""

    def __init__(self) -> None:
        self.of: dict[str, list[str]] = {}

    def note(self, event: auto.EngineEvent) -> None:
        before = event.resource_pre_event
        if before is not None and before.metadata.op not in (auto.OpType.SAME, auto.OpType.READ):
            name = before.metadata.urn.rpartition("::")[2]
            if name in ("network", "volume", "container"):
                self.of.setdefault(name, []).append(auto.OpType(before.metadata.op).value)


def up(stack: auto.Stack, **config: str) -> Steps:
    steps = Steps()
    for key, value in config.items():
        stack.set_config(key, auto.ConfigValue(value))
    stack.up(on_event=steps.note, color="never")
    return steps


def test_from_first_up_to_destroy(stack: auto.Stack, tmp_path: Path) -> None:
    name = stack.get_config("name").value
    engine = docker.from_env()

    def box() -> Any:
        return engine.containers.get(name)

    assert up(stack).of == {key: ["create"] for key in ("network", "volume", "container")}
    outputs = {key: output.value for key, output in stack.outputs().items()}
    assert outputs["volume"].startswith("volume-")
    assert outputs["address"] == box().attrs["NetworkSettings"]["Networks"][name]["IPAddress"]
    stack.preview(expect_no_changes=True, color="never")
    assert "hush-hush" not in (tmp_path / "state/.pulumi/stacks/box/test.json").read_text()

    first = box().id
    assert up(stack, memory="48").of == {"container": ["update"]}
    assert (box().id, box().attrs["HostConfig"]["Memory"]) == (first, 48 << 20)
    stack.refresh(expect_no_changes=True, color="never")

    box().kill()
    stack.refresh(color="never")
    assert up(stack).of == {"container": ["create"]}
    second = box()
    assert (second.status, second.id == first) == ("running", False)

    # The container has the network's name as an input, which stays, so that only the network is replaced.
    second.remove(force=True)
    stack.refresh(color="never")
    replaced = up(stack, internal="false").of
    assert replaced["network"] == ["delete-replaced", "replace", "create-replacement"]
    assert not engine.networks.get(name).attrs["Internal"]

    with pytest.raises(auto.CommandError, match=r"Conflict\. The container name"):
        up(stack, token="another", deleteFirst="false")
    third = box().id
    assert up(stack, deleteFirst="true").of["container"] == ["delete-replaced", "replace", "create-replacement"]
    assert box().id != third

    stack.destroy(color="never")
    assert [c.name for c in engine.containers.list(all=True, filters={"name": name})] == []
    assert engine.networks.list(names=[name]) == []
    assert [v.name for v in engine.volumes.list(filters={"name": outputs["volume"]})] == []
    engine.close()
