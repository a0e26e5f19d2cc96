"""The suite's stack: the real program on the real pulumi engine and the real Docker engine, a state of its own."""

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import docker
import yaml
from docker.errors import APIError
from pulumi import automation as auto

from components.models.tags import Tag, label
from operate.outputs import Outputs

ROOT = Path(__file__).resolve().parents[3]
STACK = "attack-suite"


class Deployment:
    """One stack of the project; it and all that runs left behind are removed at the end.

    Attributes:
        stack: As the Automation API has it.
        outputs: Of the last `up`.
    """

    outputs: Outputs

    def __init__(self, folder: Path) -> None:
        project, state = folder / "project", folder / "state"
        project.mkdir()
        state.mkdir()
        (project / "Pulumi.yaml").write_text(
            yaml.safe_dump(
                {
                    "name": "agent-environments",
                    "main": str(ROOT / "infra"),
                    "runtime": {"name": "python", "options": {"toolchain": "pip", "virtualenv": str(ROOT / ".venv")}},
                }
            )
        )
        environment = {
            "PULUMI_BACKEND_URL": f"file://{state}",
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_HOME": os.environ.get("PULUMI_HOME", str(folder / "pulumi")),
        }
        self._project = project
        self.stack = auto.create_or_select_stack(
            STACK, work_dir=str(project), opts=auto.LocalWorkspaceOptions(env_vars=environment)
        )

    def up(self, declaration: dict[str, Any]) -> Outputs:
        """`pulumi up` of this stack file."""
        config = {"config": {"agent-environments:stack": declaration}}
        (self._project / f"Pulumi.{STACK}.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        done = self.stack.up(color="never")
        self.outputs = Outputs.parse({name: output.value for name, output in done.outputs.items()})
        return self.outputs

    def state(self) -> str:
        """All that pulumi keeps of the stack."""
        return str(self.stack.export_stack().deployment)

    def __enter__(self) -> Self:
        remove_leftovers()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.stack.destroy(color="never")
        finally:
            remove_leftovers()


def remove_leftovers() -> None:
    """Remove every container, network and volume that carries the suite's stack label."""
    client = docker.from_env(timeout=60)
    try:
        filters: Any = {"label": f"{label(Tag.STACK)}={STACK}"}
        for container in client.containers.list(all=True, filters=filters):
            with suppress(APIError):
                container.remove(force=True, v=True)
        for network in client.networks.list(filters=filters):
            network.reload()
            for attached in list(network.attrs.get("Containers") or {}):
                with suppress(APIError):
                    network.disconnect(attached, force=True)
            network.remove()
        for volume in client.volumes.list(filters=filters):
            volume.remove(force=True)
    finally:
        client.close()
