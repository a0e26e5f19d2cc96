"""A stack on the real engine: the real program and policy pack, on an emulated AWS and a state of its own."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from pulumi import automation as auto

ROOT = Path(__file__).resolve().parents[2]
POLICIES = str(ROOT / "policies")
STACK = "test"
REGION = "eu-west-1"


@dataclass
class Steps:
    """What the engine did, by resource name: only what it changed."""

    operations: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def note(self, event: auto.EngineEvent) -> None:
        """Take one event of the engine."""
        before = event.resource_pre_event
        operation = auto.OpType(before.metadata.op).value if before is not None else "same"
        if before is not None and operation not in ("same", "read"):
            kind, _, name = before.metadata.urn.rpartition("::")
            self.operations[f"{kind.rpartition('$')[2].rpartition('::')[2]} {name}"] = operation
        if event.diagnostic_event is not None:
            self.messages.append(event.diagnostic_event.message)
        if event.policy_event is not None:
            self.messages.append(event.policy_event.message)

    def changed(self, *kinds: str) -> list[str]:
        """Names of changed resources, components left out, whose type ends in one of `kinds` (all, without any)."""
        named = [name for name in self.operations if not name.startswith(("agent-environments:", "pulumi:"))]
        return sorted(n for n in named if not kinds or n.partition(" ")[0].endswith(kinds))


@dataclass
class Deployment:
    """One stack of the project, ready to be changed and brought up."""

    stack: auto.Stack
    folder: Path
    environment: dict[str, str]

    def declare(self, declaration: dict[str, Any]) -> None:
        """Write the team's stack file."""
        config = {
            "aws:region": REGION,
            "aws:skipCredentialsValidation": "true",
            "aws:skipMetadataApiCheck": "true",
            "aws:s3UsePathStyle": "true",
            "agent-environments:stack": declaration,
        }
        (self.folder / f"Pulumi.{STACK}.yaml").write_text(yaml.safe_dump({"config": config}, sort_keys=False))

    def up(self, **options: Any) -> Steps:
        """`pulumi up --policy-pack policies`: the preview, which judges the whole stack, and then the update."""
        self.preview(**options)
        steps = Steps()
        self.stack.up(policy_packs=[POLICIES], on_event=steps.note, color="never", **options)
        return steps

    def preview(self, **options: Any) -> Steps:
        """`pulumi preview --policy-pack policies`."""
        steps = Steps()
        self.stack.preview(policy_packs=[POLICIES], on_event=steps.note, color="never", **options)
        return steps

    def client(self, service: str) -> Any:
        """A boto3 client of this stack's emulated AWS."""
        return boto3.client(
            service,  # type: ignore[call-overload]
            region_name=REGION,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def outputs(self) -> dict[str, Any]:
        """Of the last `up`."""
        return {name: output.value for name, output in self.stack.outputs().items()}

    def agentenv(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """`agentenv ... --json` on this stack's outputs, as a person types it; without an answer where it has none."""
        file = self.folder / "outputs.json"
        file.write_text(json.dumps(self.outputs()))
        done = subprocess.run(
            [sys.executable, "-m", "operate", *arguments, "--outputs", str(file), "--json"],
            cwd=ROOT,
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        answer = json.loads(done.stdout or "{}")
        assert isinstance(answer, dict)
        return answer

    def resources(self) -> list[str]:
        """Types of what is in the state, components and providers left out."""
        deployment = self.stack.export_stack().deployment or {}
        types = [resource["type"] for resource in deployment.get("resources", [])]
        return [t for t in types if not t.startswith(("agent-environments:", "pulumi:"))]


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An emulated AWS of this module's own: the variables that point at it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("moto") / "log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=out, stderr=out
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/moto-api/", server, log)
        yield {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": REGION,
            "AGENT_ENVIRONMENTS_OFFLINE_STATE": str(tmp_path_factory.mktemp("offline")),
        }
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(scope="module")
def deployment(emulator: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """A stack that does not exist yet; whatever is left of it at the end goes with the emulator."""
    return project(tmp_path_factory, emulator)


def project(tmp_path_factory: pytest.TempPathFactory, variables: dict[str, str]) -> Deployment:
    """The project with a folder and a state of its own; `variables` for the engine and its plugins."""
    folder, state = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("state")
    (folder / "Pulumi.yaml").write_text(
        yaml.safe_dump(
            {
                "name": "agent-environments",
                "main": str(ROOT / "infra"),
                "runtime": {"name": "python", "options": {"toolchain": "pip", "virtualenv": str(ROOT / ".venv")}},
            }
        )
    )
    environment = variables | {
        "PULUMI_BACKEND_URL": f"file://{state}",
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_HOME": os.environ.get("PULUMI_HOME", str(tmp_path_factory.mktemp("pulumi"))),
    }
    stack = auto.create_or_select_stack(
        STACK, work_dir=str(folder), opts=auto.LocalWorkspaceOptions(env_vars=environment)
    )
    return Deployment(stack, folder, environment)


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            pytest.fail(f"moto_server ended with {server.returncode}: {log.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"moto_server did not answer within 60 s: {log.read_text()[-2000:]}")
