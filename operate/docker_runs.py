"""A run on a Docker host: its own network, fence and container, made in order and removed in reverse."""

import secrets
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import IPv4Network
from itertools import islice
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container
from docker.models.networks import Network
from docker.types import IPAMConfig, IPAMPool

from components.models.environment import DeclaredEnvironment
from components.models.errors import validate
from components.models.session import Session
from components.models.tags import RUN, Role, Tag, label
from components.plans.docker import ContainerPlan, SessionNetwork, fence_container, run_networks, session_container
from operate.docker_gateway import Gateway
from operate.engine import asking_engine
from operate.failures import Failure, unreachable, usage
from operate.outputs import DockerEnvironment

NETWORK_ATTEMPTS = 64
"""Free places are found by trying; this many taken ones in a row mean that the range is full."""
GATEWAY_MODE = "com.docker.network.bridge.gateway_mode_ipv4"
ISOLATED_SINCE = (1, 48)
"""API of engine 28, the first whose internal networks can be without an address of the host."""
SETTLED = timedelta(minutes=2)
"""Whatever is younger may belong to a run that is being made."""
Command = Callable[[SessionNetwork], Sequence[str]]


@dataclass(frozen=True)
class Run:
    """A run whose container has been started.

    Attributes:
        id: Opaque, printable; the value of the label `agentenv.run`.
        network: Its addresses.
        container: The session's.
    """

    id: str
    network: SessionNetwork
    container: Container


class Launcher:
    """Starts runs of one environment.

    Args:
        client: The engine.
        name: The environment's name.
        environment: From the stack's outputs.
    """

    def __init__(self, client: docker.DockerClient, name: str, environment: DockerEnvironment) -> None:
        self._client, self._name, self._environment = client, name, environment
        self._gateway = Gateway(client, environment)

    @contextmanager
    def run(self, session: Session, image: str, command: Command | None = None) -> Iterator[Run]:
        """Start a run of `session`, and remove all of it at the end, whatever ends it.

        Args:
            session: As declared.
            image: What it runs in.
            command: Gives another command than the declared one, when the run's addresses are known.

        Raises:
            Failure: the environment is archived, or the engine or the gateway refused.
        """
        if self._environment.archived:
            raise usage(
                f"Environment {self._name!r} is archived, and an archived environment takes no sessions. "
                "Fix: name another, or remove its archived_at and run pulumi up."
            )
        number = secrets.token_hex(6)
        name = f"agentenv-run-{number}"
        made = ExitStack()
        try:
            # The engine finishes what it was asked for, so nobody stops listening in between.
            with signals_held(), asking_engine(f"run {number}"):
                labels = self._labels(number, session.name)
                network = self._network(made, name, labels(Role.SESSION))
                made.callback(self._gateway.dismiss, network.session)
                self._gateway.admit(session.name, network.session)
                if command is not None:
                    session = session.model_copy(update={"command": tuple(command(network))})
                self._start(made, self._fence(name, network, labels(Role.FENCE)))
                container = self._start(made, self._session(name, image, network, session, labels(Role.SESSION)))
            yield Run(number, network, container)
        except BaseException as error:
            try:
                _close(made, number)
            except Failure as further:
                error.add_note(str(further))
            raise
        _close(made, number)

    def _labels(self, number: str, session: str) -> Callable[[Role], dict[str, str]]:
        own = {**self._environment.labels, label(Tag.SESSION): session, RUN: number}
        return lambda role: {**own, label(Tag.ROLE): role.value}

    def _network(self, made: ExitStack, name: str, labels: Mapping[str, str]) -> SessionNetwork:
        """A network on a free place, with the gateway on it."""
        made.callback(_removed, lambda: self._client.networks.get(name).remove())
        candidates = run_networks(self._environment.range)
        for network in islice(candidates, NETWORK_ATTEMPTS):
            if self._made_network(name, network, labels):
                break
        else:
            raise unreachable(
                f"No free network was found in {self._environment.range} in {NETWORK_ATTEMPTS} attempts. "
                "Fix: end runs, or use a wider docker.range."
            )
        anchor = self._environment.gateway.anchor
        made.callback(_removed, lambda: self._client.networks.get(name).disconnect(anchor, force=True))
        self._client.networks.get(name).connect(anchor, ipv4_address=str(network.gateway))
        return network

    def _made_network(self, name: str, network: SessionNetwork, labels: Mapping[str, str]) -> bool:
        limited = self._environment.networking == "limited"
        version = tuple(int(part) for part in str(self._client.api.version()["ApiVersion"]).split("."))
        hostless = limited and version >= ISOLATED_SINCE
        pool = IPAMPool(subnet=str(network.subnet), gateway=None if hostless else str(network.bridge))
        try:
            self._client.networks.create(
                name,
                driver="bridge",
                internal=limited,
                ipam=IPAMConfig(pool_configs=[pool]),
                options={GATEWAY_MODE: "isolated"} if hostless else None,
                labels=dict(labels),
            )
        except APIError as error:
            if "overlap" in str(error.explanation).lower():
                return False
            raise
        return True

    def _fence(self, name: str, network: SessionNetwork, labels: Mapping[str, str]) -> ContainerPlan:
        return fence_container(
            name=f"{name}-fence",
            image=self._environment.images.fence,
            networking=self._environment.networking,
            network=network,
            network_name=name,
            labels=labels,
            resolvers=self._environment.resolvers,
            host_addresses=self._environment.host_addresses,
        )

    def _session(
        self, name: str, image: str, network: SessionNetwork, session: Session, labels: Mapping[str, str]
    ) -> ContainerPlan:
        return session_container(
            name=f"{name}-session",
            image=image,
            environment=validate(DeclaredEnvironment, dict(self._environment.environment)),
            session=session,
            network=network,
            fence=f"{name}-fence",
            labels=labels,
            isolation=self._environment.isolation,
        )

    def _start(self, made: ExitStack, plan: ContainerPlan) -> Container:
        made.callback(_removed, lambda: self._client.containers.get(plan.name).remove(force=True, v=True))
        # The plan is the body of the engine's own request, so it goes there as it is.
        api: Any = self._client.api
        created = api.create_container_from_config(plan.engine_config(), plan.name)
        for further in plan.networks[1:]:
            self._client.networks.get(further.network).connect(created["Id"], ipv4_address=str(further.address))
        container = self._client.containers.get(created["Id"])
        container.start()
        return container

    def sweep(self) -> list[str]:
        """Remove what runs of this environment left behind that could not: their process was killed, or the host fell.

        Returns:
            Ids of the runs that were removed.

        Raises:
            Failure: the engine or the gateway refused.
        """
        with asking_engine("removing what earlier runs left"):
            # Asked before networks are listed: a run has its network for longer than it is admitted.
            admitted = self._gateway.sources()
            own = self._environment.labels
            stack, environment = (f"{label(tag)}={own[label(tag)]}" for tag in (Tag.STACK, Tag.ENVIRONMENT))
            filters: Any = {"label": [RUN, stack, environment]}
            containers = self._client.containers.list(all=True, filters=filters)
            networks = {
                network.attrs["Labels"][RUN]: network for network in self._client.networks.list(filters=filters)
            }
            alive = {
                container.labels[RUN]
                for container in containers
                if container.status == "running" and container.labels.get(label(Tag.ROLE)) == Role.SESSION
            }
            alive |= {number for number, network in networks.items() if _age(network.attrs["Created"]) < SETTLED}
            for container in containers:
                if container.labels[RUN] not in alive:
                    _removed(partial(container.remove, force=True, v=True))
            for number in networks.keys() - alive:
                _removed(partial(self._remove_network, networks[number]))
            self._dismiss_strays(admitted, networks.values())
        return sorted(({container.labels[RUN] for container in containers} | networks.keys()) - alive)

    def _remove_network(self, network: Network) -> None:
        network.reload()
        self._gateway.dismiss(SessionNetwork(_subnet(network)).session)
        for container in list(network.attrs.get("Containers") or {}):
            _removed(partial(network.disconnect, container, force=True))
        _removed(network.remove)

    def _dismiss_strays(self, admitted: Iterable[IPv4Network], networks: Iterable[Network]) -> None:
        """Forget runs whose network somebody else has removed; declared sessions are in the lower half of the range."""
        _, runs = self._environment.range.subnets()
        subnets = [_subnet(network) for network in networks]
        for source in admitted:
            if source.subnet_of(runs) and not any(source.subnet_of(subnet) for subnet in subnets):
                self._gateway.dismiss(source.network_address)


def _subnet(network: Network) -> IPv4Network:
    (pool,) = network.attrs["IPAM"]["Config"]
    return IPv4Network(pool["Subnet"])


def _age(created: str) -> timedelta:
    return datetime.now(UTC) - datetime.fromisoformat(created)


def _close(made: ExitStack, number: str) -> None:
    with signals_held(), asking_engine(f"removing run {number}"):
        made.close()


def _removed(remove: Callable[[], object]) -> None:
    try:
        remove()
    except NotFound:
        return
    except APIError as error:
        # Another sweep, or the engine by itself, is at it.
        if "already in progress" not in str(error.explanation):
            raise


@contextmanager
def signals_held() -> Iterator[None]:
    """SIGINT and SIGTERM take effect at the end of this block; Python lets the main thread alone decide that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: caught.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if caught:
            signal.raise_signal(caught[0])
