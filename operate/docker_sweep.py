"""Runs that nobody looks after any more: collected, then removed."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import IPv4Network
from typing import Any

import docker
from docker.models.containers import Container
from docker.models.networks import Network

from components.models.tags import RUN, Role, Tag, label
from operate.docker_collect import OVER, collect, is_run
from operate.docker_gateway import Gateway
from operate.docker_networks import remove_network, removed, subnet
from operate.engine import asking_engine
from operate.outputs import DockerEnvironment
from operate.records import Hold, Records


@dataclass(frozen=True)
class Sweep:
    """Removes what runs of one environment left behind.

    Attributes:
        client: The engine.
        environment: From the stack's outputs.
        gateway: The environment's.
        records: Of this machine's user.
        settled: Whatever is younger may belong to a run that is being made, or to a keeper on another machine.
    """

    client: docker.DockerClient
    environment: DockerEnvironment
    gateway: Gateway
    records: Records
    settled: timedelta

    def sweep(self) -> list[str]:
        """Remove them, with what they said put on record before.

        Returns:
            Ids of the runs that were removed.

        Raises:
            Failure: the engine or the gateway refused.
        """
        held: list[Hold] = []
        try:
            with asking_engine("removing what earlier runs left"):
                return self._sweep(held)
        finally:
            for hold in held:
                hold.release()

    def _sweep(self, held: list[Hold]) -> list[str]:
        # Asked before networks are listed: a run has its network for longer than it is admitted.
        admitted = self.gateway.sources()
        own = self.environment.labels
        stack, environment = (f"{label(tag)}={own[label(tag)]}" for tag in (Tag.STACK, Tag.ENVIRONMENT))
        filters: Any = {"label": [RUN, stack, environment]}
        containers = self.client.containers.list(all=True, filters=filters, ignore_removed=True)
        networks = {network.attrs["Labels"][RUN]: network for network in self.client.networks.list(filters=filters)}
        sessions = [one for one in containers if one.labels.get(label(Tag.ROLE)) == Role.SESSION]
        alive = {one.labels[RUN] for one in sessions if one.status == "running"}
        alive |= {number for number, network in networks.items() if self._is_young(network.attrs["Created"])}
        for session in sessions:
            if is_run(session) and not self._collected(session, held):
                alive.add(session.labels[RUN])
            elif is_run(session):
                # Whose end is on record is removed, however young its network is.
                alive.discard(session.labels[RUN])
        for container in containers:
            if container.labels[RUN] not in alive:
                removed(partial(container.remove, force=True, v=True))
        for number in networks.keys() - alive:
            removed(partial(remove_network, networks[number], self.gateway))
        self._dismiss_strays(admitted, networks.values())
        return sorted(({container.labels[RUN] for container in containers} | networks.keys()) - alive)

    def _collected(self, container: Container, held: list[Hold]) -> bool:
        """Whether the end of a run is on record, and nobody else is about to remove it."""
        run = container.labels[RUN]
        if container.status not in OVER and container.status != "created":
            return False
        known = self.records.read(run)
        if known is None or container.status == "created":
            # Without a record it was started elsewhere, and its keeper there has the first right to its result.
            since = (
                container.attrs["State"].get("FinishedAt") if container.status in OVER else container.attrs["Created"]
            )
            if not since or self._is_young(since):
                return False
        hold = self.records.hold(run)
        if hold is None:
            return False
        held.append(hold)
        container.reload()
        if known is None or not known.ended:
            collect(container, self.environment.labels[label(Tag.STACK)], self.environment.gateway, self.records)
        return True

    def _dismiss_strays(self, admitted: Iterable[IPv4Network], networks: Iterable[Network]) -> None:
        """Forget runs whose network somebody else has removed; declared sessions are in the lower half of the range."""
        _, runs = self.environment.range.subnets()
        subnets = [subnet(network) for network in networks]
        for source in admitted:
            if source.subnet_of(runs) and not any(source.subnet_of(one) for one in subnets):
                self.gateway.dismiss(source.network_address)

    def _is_young(self, time: str) -> bool:
        return datetime.now(UTC) - datetime.fromisoformat(time) < self.settled
