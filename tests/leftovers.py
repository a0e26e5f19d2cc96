"""What a suite that was killed has left on the Docker engine: its names and address ranges are the next run's too."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.models.networks import Network

from components.models.tags import Tag, label

STACKS = frozenset({"attack-suite", "readme", "session-scenes", "test"})
"""Stacks of the suites: no other has one of these names on a host where they run."""
PREFIXES = ("agentenv-test-", "docker-stand-in-", "fence-test-")
"""Of what single tests name, followed by what is new in each run."""

Own = Callable[[str, str], bool]
"""Whether something is a suite's own, by its name and its stack's (empty, where it says none)."""


def of_suites(name: str, stack: str) -> bool:
    """Whether a suite of this project made it, and nobody else."""
    return stack in STACKS or stack.startswith(PREFIXES) or name.startswith(PREFIXES)


def remove_leftovers(stack: str) -> None:
    """Remove every container, network and volume that carries a stack's label.

    Args:
        stack: Its name, as the label `agentenv.stack` has it.
    """
    remove_own(lambda _, labelled: labelled == stack)


def remove_own(own: Own) -> list[str]:
    """Remove every container, network and volume that is `own`.

    Returns:
        Their names, sorted.
    """
    with closing(docker.from_env(timeout=60)) as client:
        removed: list[str] = []
        for one in _own(client.containers.list(all=True, ignore_removed=True), own):
            removed.append(str(one.name))
            with suppress(APIError):
                one.remove(force=True, v=True)
        for one in _own(client.networks.list(), own):
            removed.append(str(one.name))
            _remove_network(one)
        for one in _own(client.volumes.list(), own):
            removed.append(str(one.name))
            with suppress(NotFound):
                one.remove(force=True)
        return sorted(removed)


def _own(found: Iterable[Any], own: Own) -> Iterator[Any]:
    for one in found:
        labels: Mapping[str, str] = one.attrs.get("Labels") or one.attrs.get("Config", {}).get("Labels") or {}
        if own(str(one.name), labels.get(label(Tag.STACK), "")):
            yield one


def _remove_network(network: Network) -> None:
    try:
        network.reload()
        for attached in list(network.attrs.get("Containers") or {}):
            with suppress(APIError):
                network.disconnect(attached, force=True)
        network.remove()
    except NotFound:
        pass  # Whoever else removes what it made was faster.
