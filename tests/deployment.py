"""A suite's own stack: the real program on the real pulumi engine and the real Docker engine, a state of its own."""

import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import docker
import yaml
from docker import DockerClient
from pulumi import automation as auto

from components.models.tags import Tag, label
from components.plans.image import GATEWAY_UID
from offline.model_api.authority import Authority
from offline.model_api.container import ModelApiContainer, model_api
from operate.outputs import Outputs
from tests.leftovers import remove_leftovers

ROOT = Path(__file__).resolve().parents[1]
# What the set-up made where no registry of images is reachable; Debian's own elsewhere.
BASE = os.environ.get("AGENT_ENVIRONMENTS_BASE_IMAGE", "debian:trixie-slim")
Declare = Callable[[Path, str], dict[str, Any]]
"""The stack file, given the file with the model's key and the PEM text of the authority to trust."""


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


@dataclass(frozen=True)
class Played:
    """A stack that is up, with a stand-in for the Messages API behind its gateway.

    Attributes:
        deployment: The stack.
        client: The Docker engine.
        told: Outputs of the stack.
        file: The same, for `--outputs`.
        api: The stand-in, which takes no other key.
        key: The model's key, which the gateway adds.
    """

    deployment: Deployment
    client: DockerClient
    told: dict[str, Any]
    file: Path
    api: ModelApiContainer
    key: str


def model_key(folder: Path) -> Path:
    """A file with a made-up key, which the gateway's user alone reads."""
    file = folder / "model-key"
    file.write_text(f"key-{secrets.token_hex(16)}\n")
    os.chown(file, GATEWAY_UID, GATEWAY_UID)
    file.chmod(0o400)
    return file


@contextmanager
def played(folder: Path, stack: str, declare: Declare, answers: Mapping[str, str] | None = None) -> Iterator[Played]:
    """A stack of one environment whose model is played, until the end of the block.

    Args:
        folder: See :class:`Deployment`.
        stack: The same.
        declare: Makes the stack file.
        answers: Words -> the script for prompts with these words.
    """
    authority, key = Authority.shared(), model_key(folder)
    value = key.read_text().strip()
    with ExitStack() as opened:
        client = opened.enter_context(closing(docker.from_env(timeout=120)))
        deployment = opened.enter_context(Deployment(folder, stack=stack))
        deployment.up(declare(key, authority.certificate.decode()))
        told = {name: output.value for name, output in deployment.stack.outputs().items()}
        file = folder / "outputs.json"
        file.write_text(json.dumps(told))
        (environment,) = told["environments"].values()
        api = opened.enter_context(
            model_api(
                client,
                environment["images"]["gateway"],
                [environment["egress_network"]],
                authority,
                name=f"{stack}-model-api",
                labels={label(Tag.STACK): stack},
                expected_key=value,
                answers=answers,
            )
        )
        yield Played(deployment, client, told, file, api, value)
