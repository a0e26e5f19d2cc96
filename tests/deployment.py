"""A suite's own stack: the real program on the real pulumi engine and the real Docker engine, a state of its own."""

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from pulumi import automation as auto

from operate.outputs import Outputs
from tests.leftovers import remove_leftovers

ROOT = Path(__file__).resolve().parents[1]


class Deployment:
    """One stack of the project; it and all that runs left behind are removed before it and at its end.

    Args:
        folder: Empty, for the project and its state.
        stack: Name of the stack, which no other suite on the host uses.

    Attributes:
        stack: As the Automation API has it.
        outputs: Of the last `up`.
    """

    outputs: Outputs

    def __init__(self, folder: Path, stack: str) -> None:
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
        self._project, self._name = project, stack
        self.stack = auto.create_or_select_stack(
            stack, work_dir=str(project), opts=auto.LocalWorkspaceOptions(env_vars=environment)
        )

    def up(self, declaration: dict[str, Any]) -> Outputs:
        """`pulumi up` of this stack file."""
        config = {"config": {"agent-environments:stack": declaration}}
        (self._project / f"Pulumi.{self._name}.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        done = self.stack.up(color="never")
        self.outputs = Outputs.parse({name: output.value for name, output in done.outputs.items()})
        return self.outputs

    def state(self) -> str:
        """All that pulumi keeps of the stack."""
        return str(self.stack.export_stack().deployment)

    def __enter__(self) -> Self:
        remove_leftovers(self._name)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.stack.destroy(color="never")
        finally:
            remove_leftovers(self._name)
