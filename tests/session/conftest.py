"""The real session program in a folder of its own, with the stand-in for the model's API."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from offline.model_api.running import running_model_api
from offline.model_api.server import ModelApi
from tests.session.box import Box


@pytest.fixture(scope="session")
def model() -> Iterator[ModelApi]:
    """The stand-in; prompts say what it answers."""
    with running_model_api() as api:
        yield api


@pytest.fixture
def box(tmp_path: Path, model: ModelApi) -> Iterator[Box]:
    """An empty container; nothing that runs in it outlives the test."""
    made = Box(tmp_path / "root", model.url)
    yield made
    made.end()
