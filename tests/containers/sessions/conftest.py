"""One stack on the Docker engine for all scenes."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.containers.sessions.stage import STACK, Stage, declaration
from tests.deployment import played


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every scene runs real containers."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.containers)


@pytest.fixture(scope="package")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The stack, up, and the stand-in on its gateway's network."""
    folder = tmp_path_factory.mktemp("scenes")
    with played(folder, STACK, declaration) as up:
        yield Stage(up.client, up.deployment.outputs, up.file, folder / "home", up.api, up.key)


@pytest.fixture(scope="package", autouse=True)
def asleep(stage: Stage) -> Iterator[Future[dict[str, Any]]]:
    """The answer to the only message that `dozer` gets before it idles: sent first, so that others pass meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(stage.post, "dozer", "fake: write note.txt 'before the nap'; say 'good night'")
