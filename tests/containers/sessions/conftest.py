"""One stack on the Docker engine for all scenes."""

import json
import os
import secrets
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import docker
import pytest

from components.models.tags import Tag, label
from components.plans.image import GATEWAY_UID
from offline.model_api.authority import Authority
from offline.model_api.container import model_api
from tests.containers.sessions.stage import ENVIRONMENT, STACK, Stage, declaration
from tests.deployment import Deployment

BASE = os.environ.get("AGENT_ENVIRONMENTS_BASE_IMAGE", "debian:trixie-slim")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every scene runs real containers."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.containers)


@pytest.fixture(scope="package")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The stack, up, and the stand-in on its gateway's network."""
    folder = tmp_path_factory.mktemp("scenes")
    key = folder / "model-key"
    value = f"key-{secrets.token_hex(16)}"
    key.write_text(value + "\n")
    os.chown(key, GATEWAY_UID, GATEWAY_UID)
    key.chmod(0o400)
    authority = Authority.shared()
    with ExitStack() as opened:
        client = docker.from_env(timeout=120)
        opened.callback(client.close)
        deployment = opened.enter_context(Deployment(folder, stack=STACK))
        outputs = deployment.up(declaration(BASE, authority.certificate.decode(), key))
        told = {name: output.value for name, output in deployment.stack.outputs().items()}
        file = folder / "outputs.json"
        file.write_text(json.dumps(told))
        environment = told["environments"][ENVIRONMENT]
        api = opened.enter_context(
            model_api(
                client,
                environment["images"]["gateway"],
                [environment["egress_network"]],
                authority,
                name=f"{STACK}-model-api",
                labels={label(Tag.STACK): STACK},
                expected_key=value,
            )
        )
        yield Stage(client, outputs, file, folder / "home", api, value)


@pytest.fixture(scope="package", autouse=True)
def asleep(stage: Stage) -> Iterator[Future[dict[str, Any]]]:
    """The answer to the only message that `dozer` gets before it idles: sent first, so that others pass meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(stage.post, "dozer", "fake: write note.txt 'before the nap'; say 'good night'")
