"""Runs that nobody looks after any more: collected, then removed."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import IPv4Network
from typing import Any

import docker
from docker.errors import NotFound
from docker.models.containers import Container
from docker.models.networks import Network

from components.models.tags import RUN, Role, Tag, label
from operate.docker_collect import OVER, collect, is_run
from operate.docker_gateway import Gateway
from operate.docker_networks import remove_network, removed, subnet
from operate.engine import asking_engine
from operate.outputs import DockerEnvironment
from operate.records import Hold, Record, Records


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
        held: dict[str, Hold] = {}
        try:
            with asking_engine("removing what earlier runs left"):
                return self._sweep(held)
        finally:
            for run, hold in held.items():
                if not self.records.path(run, "json").exists():
                    # A twin that probed: nothing is remembered of it.
                    self.records.forget(run)
                hold.release()

    def _sweep(self, held: dict[str, Hold]) -> list[str]:
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
        # What somebody holds is theirs: it is being made, or being removed.
        everything = {one.labels[RUN] for one in containers} | networks.keys()
        alive |= {run for run in everything - alive if not self._is_held(run, held)}
        for container in containers:
            if container.labels[RUN] not in alive:
                removed(partial(container.remove, force=True, v=True))
        for number in networks.keys() - alive:
            removed(partial(remove_network, networks[number], self.gateway))
        self._dismiss_strays(admitted, networks.values())
        return sorted(everything - alive)

    def _is_held(self, run: str, held: dict[str, Hold]) -> bool:
        """Whether this sweep is the one that looks after a run."""
        if run not in held and (hold := self.records.hold(run)) is not None:
            held[run] = hold
        return run in held

    def _collected(self, container: Container, held: dict[str, Hold]) -> bool:
        """Whether the end of a run is on record, and nobody else is about to remove it."""
        run = container.labels[RUN]
        if container.status not in OVER and container.status != "created":
            return False
        if not self._is_held(run, held):
            return False
        # Only now: whoever held it before may have ended it meanwhile.
        known = self.records.read(run)
        try:
            return self._recorded(container, known)
        except NotFound:
            # Somebody has just removed it.
            return False

    def _recorded(self, container: Container, known: Record | None) -> bool:
        container.reload()
        if known is None or not known.owned or container.status == "created":
            # Not started with these records, so its keeper elsewhere has the first right to its result.
            since = (
                container.attrs["State"].get("FinishedAt") if container.status in OVER else container.attrs["Created"]
            )
            if not since or self._is_young(since):
                return False
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
