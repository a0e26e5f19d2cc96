"""A run on a Docker host: its own network, fence and container, made in order and removed in reverse."""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any

import docker
from docker.models.containers import Container

from components.models.environment import DeclaredEnvironment
from components.models.errors import validate
from components.models.session import Session
from components.models.tags import RUN, Role, Tag, label
from components.plans.docker import ContainerPlan, SessionNetwork, fence_container, session_container
from components.plans.image import PREPARED
from operate.docker_gateway import Gateway
from operate.docker_networks import attach_gateway, detached, make_network, removed
from operate.docker_sweep import Sweep
from operate.engine import asking_engine
from operate.failures import Failure, usage
from operate.outputs import DockerEnvironment
from operate.records import Records
from operate.signals import signals_held

SETTLED = timedelta(minutes=2)
"""Whatever is younger may belong to a run that is being made."""
Command = Callable[[SessionNetwork], Sequence[str]]
Ready = Callable[[], None]


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


@dataclass(frozen=True)
class Particulars:
    """What one run has beyond its session.

    Attributes:
        id: The run's.
        labels: Further labels of all that it consists of.
        variables: Further variables of the session's container.
        state_volume: Volume of its conversation.
        agents: Agent -> SHA-256 of its token at the gateway, where several agents share the container.
    """

    id: str = field(default_factory=lambda: secrets.token_hex(6))
    labels: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    state_volume: str | None = None
    agents: Mapping[str, str] = field(default_factory=dict)


class Launcher:
    """Starts runs of one environment.

    Args:
        client: The engine.
        name: The environment's name.
        environment: From the stack's outputs.
        records: Where the results of forgotten runs go; None for this user's own.
    """

    def __init__(
        self, client: docker.DockerClient, name: str, environment: DockerEnvironment, records: Records | None = None
    ) -> None:
        self._client, self._name, self._environment = client, name, environment
        self._gateway = Gateway(client, environment)
        self._records = records

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
        made = ExitStack()
        run = self._made(made, session, image, Particulars(), command)
        try:
            yield run
        except BaseException as error:
            _undo(made, run.id, error)
            raise
        _close(made, run.id)

    def launch(self, session: Session, image: str, particulars: Particulars, ready: Ready | None = None) -> Run:
        """Start a run of `session` that is left to itself; of one that does not start, nothing stays.

        Args:
            session: As declared.
            image: What it runs in.
            particulars: Of the run.
            ready: Called when everything is made and nothing started; may raise a `Failure` to end it there.

        Raises:
            Failure: the environment is archived, or the engine or the gateway refused.
        """
        made = ExitStack()
        run = self._made(made, session, image, particulars, None, ready)
        made.pop_all()
        return run

    def _made(
        self,
        made: ExitStack,
        session: Session,
        image: str,
        particulars: Particulars,
        command: Command | None,
        ready: Ready | None = None,
    ) -> Run:
        self.check_archived()
        number = particulars.id
        name = f"agentenv-run-{number}"
        try:
            # The engine finishes what it was asked for, so nobody stops listening in between.
            with signals_held(), asking_engine(f"run {number}"):
                own = {**self._environment.labels, **particulars.labels, label(Tag.SESSION): session.name, RUN: number}
                network = self._network(made, name, own | {label(Tag.ROLE): Role.SESSION.value})
                with ThreadPoolExecutor(2) as pool:
                    # The gateway comes while the fence rises and the session is made, which starts when both are there.
                    admitted = pool.submit(self._admit, session.name, name, network, particulars)
                    fence = self._create(made, self._fence(name, network, own | {label(Tag.ROLE): Role.FENCE.value}))
                    risen = pool.submit(self._start, fence)
                    labels = own | {label(Tag.ROLE): Role.SESSION.value}
                    plan = self._session(name, image, network, session, labels, particulars)
                    if command is not None:
                        # All else stays as it is declared: the user and the capabilities go with the session's own.
                        plan = replace(plan, command=(*PREPARED, *command(network)))
                    created = self._create(made, plan)
                    risen.result()
                    admitted.result()
                if ready is not None:
                    ready()
                self._start(created)
                return Run(number, network, self._client.containers.get(created))
        except BaseException as error:
            _undo(made, number, error)
            raise

    def check_archived(self) -> None:
        """Refuse runs in an archived environment.

        Raises:
            Failure: it is archived.
        """
        if self._environment.archived:
            raise usage(
                f"Environment {self._name!r} is archived, and an archived environment takes no sessions. "
                "Fix: name another, or remove its archived_at and run pulumi up."
            )

    def _network(self, made: ExitStack, name: str, labels: Mapping[str, str]) -> SessionNetwork:
        """A network on a free place; what is to be undone when the gateway is on it."""
        made.callback(removed, lambda: self._client.networks.get(name).remove())
        network = make_network(self._client, self._environment, name, labels)
        anchor = self._environment.gateway.anchor
        made.callback(detached, lambda: self._client.networks.get(name).disconnect(anchor, force=True))
        made.callback(self._gateway.dismiss, network.session)
        return network

    def _admit(self, session: str, name: str, network: SessionNetwork, particulars: Particulars) -> None:
        attach_gateway(self._client, name, self._environment.gateway.anchor, network)
        self._gateway.admit(session, network.session, particulars.agents)

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
        self,
        name: str,
        image: str,
        network: SessionNetwork,
        session: Session,
        labels: Mapping[str, str],
        particulars: Particulars,
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
            run=particulars.variables,
            state_volume=particulars.state_volume,
        )

    def _create(self, made: ExitStack, plan: ContainerPlan) -> str:
        made.callback(removed, partial(self._client.api.remove_container, plan.name, force=True, v=True))
        # The plan is the body of the engine's own request, so it goes there as it is.
        api: Any = self._client.api
        created: str = api.create_container_from_config(plan.engine_config(), plan.name)["Id"]
        for further in plan.networks[1:]:
            self._client.networks.get(further.network).connect(created, ipv4_address=str(further.address))
        return created

    def _start(self, container: str) -> None:
        self._client.api.start(container)

    def sweep(self) -> list[str]:
        """Remove what runs of this environment left behind that could not: their process was killed, or the host fell.

        Returns:
            Ids of the runs that were removed.

        Raises:
            Failure: the engine or the gateway refused.
        """
        records = self._records or Records.default()
        return Sweep(self._client, self._environment, self._gateway, records, SETTLED).sweep()


def _undo(made: ExitStack, number: str, error: BaseException) -> None:
    try:
        _close(made, number)
    except Failure as further:
        error.add_note(str(further))


def _close(made: ExitStack, number: str) -> None:
    with signals_held(), asking_engine(f"removing run {number}"):
        made.close()
