"""What killed suites leave is found, and nothing else."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any

import docker
import pytest
from docker.errors import NotFound
from docker.models.networks import Network
from docker.types import IPAMConfig, IPAMPool

from components.models.tags import Tag, label
from tests.leftovers import STACKS, of_suites, remove_leftovers

NAME = f"agentenv-test-leftovers-{os.getpid()}"
KEPT = f"{NAME}-kept"
IMAGE = os.environ.get("AGENT_ENVIRONMENTS_BASE_IMAGE", "debian:trixie-slim")


@pytest.mark.parametrize("stack", sorted(STACKS))
def test_the_suites_own_stacks_are_theirs(stack: str) -> None:
    assert of_suites("agentenv_x", stack)
    assert not of_suites(f"agentenv_{stack}_x", "")


@pytest.mark.parametrize("name", ["agentenv-test-runs-77-gateway", "fence-test-0a", "docker-stand-in-0a"])
def test_what_single_tests_name_is_theirs(name: str) -> None:
    assert of_suites(name, "")
    assert of_suites("agentenv-run-abc", name)


@pytest.mark.parametrize("name", ["", "demo", "research", "tests", "attack-suite-2", "my-test", "agentenv-run-1"])
def test_what_else_is_there_is_not(name: str) -> None:
    assert not of_suites(name, name)


@pytest.fixture
def engine() -> Iterator[docker.DockerClient]:
    with closing(docker.from_env(timeout=60)) as client:
        yield client


@pytest.mark.containers
def test_a_stacks_containers_networks_and_volumes_go_and_its_neighbours_stay(engine: docker.DockerClient) -> None:
    with ExitStack() as opened:
        for name, subnet in ((NAME, "10.208.255.0/29"), (KEPT, "10.208.255.8/29")):
            made: dict[str, Any] = {"labels": {label(Tag.STACK): name}}
            ipam = IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)])
            network = engine.networks.create(name, ipam=ipam, **made)
            volume = engine.volumes.create(name, **made)
            container = engine.containers.create(IMAGE, ["sleep", "60"], name=name, network=name, **made)
            for one in (network, volume, container):
                opened.callback(_gone, one)
            container.start()
        remove_leftovers(NAME)
        for kind in (engine.containers, engine.networks, engine.volumes):
            with pytest.raises(NotFound):
                kind.get(NAME)
            assert kind.get(KEPT).attrs
        # Nothing is there any more: that is no error either.
        remove_leftovers(NAME)


def _gone(one: Any) -> None:
    with suppress(NotFound):
        if isinstance(one, Network):
            one.remove()
        else:
            one.remove(force=True)
