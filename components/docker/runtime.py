"""The Docker runtime of one stack: what its environments share, and the way environments are placed on it."""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import TypedDict

import pulumi

from components.authorities import authorities
from components.base_image import pinned
from components.contexts import content_hash
from components.docker.engine import Address, Engine, beyond_blocklist, engine, host_addresses, host_resolvers
from components.docker.environment import DockerEnvironment
from components.docker.images import PLATFORMS, Images
from components.docker.scope import Scope, dns_label, egress_of, ingress_of, network_of
from components.inputs import checked
from components.models.environment import DeclaredEnvironment
from components.models.errors import NOT_SHOWN, InvalidInput, Problem, show
from components.models.session import Session
from components.models.stack import Isolation, Stack
from components.plans.docker import SessionNetwork, declared_networks, service_uids
from components.plans.docker.containers import SECRET_FILE, memory_mib
from components.plans.image import fence_image
from components.runtime import Runtime

SMALLEST_CPU = 0.01
"""The least that the engine takes."""
SMALLEST_MEMORY_GIB = 0.0625
"""Below 64 MiB no agent starts."""


class DockerArgs(TypedDict):
    """Arguments of :class:`Docker`."""

    stack: Stack
    """Everything that the team declared; decides which networks there are."""


class Docker(Runtime):
    """What the environments of one stack share on a Docker host: the fence's image, and the plan of addresses.

    Attributes:
        scope: Names, labels and addresses.
        engine: What the engine says of itself.
        resolvers: DNS servers of gateways and of unrestricted sessions; none for the engine's own choice.
        host_addresses: Addresses of the host that unrestricted sessions must not reach, beyond the safety blocklist.
        base_image: Image that every other one starts from, by digest.
        authorities: PEM texts of the certificate authorities that sessions and gateways trust beside its own.
        images: Builds them.
        fence_image: Image of the containers that hold network namespaces.

    Raises:
        pulumi.InputPropertiesError: the host cannot run what the stack declares; nothing has been registered.
    """

    kind = "docker"

    def __init__(self, name: str, args: DockerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        stack = args["stack"]
        with checked():
            self.check_stack(stack)
            self.engine = engine()
            _check_engine(stack, self.engine)
            self.resolvers = _resolvers(stack, self.engine)
            self.host_addresses = _host_addresses(stack, self.engine)
            self.authorities = authorities(stack, Path(pulumi.get_root_directory()))
            self.base_image = pinned(stack.base_image)
            deployment = pulumi.get_stack()
            self.scope = Scope(
                deployment=dns_label(deployment),
                stack=stack,
                networks=_networks(stack, deployment),
                uids=_uids(stack, deployment),
            )
        super().__init__("agent-environments:docker:Docker", name, {}, opts)
        self.private_hosts = stack.private_hosts
        self.shared_usd_per_hour = {"total": 0.0}
        self.images = Images(f"{name}-images", pulumi.ResourceOptions(parent=self))
        plan = fence_image(
            base=self.base_image,
            platform=PLATFORMS[self.engine.architecture],
            context_hash=content_hash("fence"),
        )
        self.fence_image = self.images.image("fence", plan, self.engine.architecture)
        self.register_outputs({})

    @classmethod
    def misfits(cls, environment: DeclaredEnvironment, session: Session) -> Iterator[Problem]:  # noqa: ARG003 - no matter
        """What keeps `session` of `environment` from running on a Docker host; paths are the session's fields."""
        if session.schedule is not None:
            yield Problem(
                "schedule",
                show(session.schedule.expression),
                "a Docker host has no scheduler of ours",
                "remove it and let the host's own (cron, a systemd timer) run `agentenv start`, or choose fargate",
            )
        for index, secret in enumerate(session.secrets):
            if not secret.source.startswith(SECRET_FILE):
                yield Problem(
                    f"secrets[{index}].source",
                    NOT_SHOWN,
                    "a Docker host reads no Secrets Manager: whoever read it here would need credentials of AWS",
                    "store the value in a file on the host that uid 10002 (with inject) or gid 10001 (without) may "
                    "read, and write file:/etc/agentenv/NAME",
                )
        size = session.resources
        if size.spot:
            yield Problem(
                "resources.spot", show(size.spot), "a Docker host has no spare capacity to be cheaper by", "remove it"
            )
        if size.cpu < SMALLEST_CPU:
            yield Problem("resources.cpu", show(size.cpu), f"Docker gives no less than {SMALLEST_CPU}", "ask for more")
        if size.memory_gib < SMALLEST_MEMORY_GIB:
            yield Problem(
                "resources.memory_gib",
                show(size.memory_gib),
                f"a session's program does not start in less than {SMALLEST_MEMORY_GIB} GiB",
                "ask for more",
            )

    @classmethod
    def check_stack(cls, stack: Stack) -> None:
        """Refuse, before anything is created, what no Docker host can run of a whole stack file.

        Raises:
            InvalidInput: naming the fields; sessions are counted as in the file.
        """
        super().check_stack(stack)
        if problems := list(_taken_ports(stack)):
            raise InvalidInput(problems)

    def place_environment(
        self, parent: pulumi.Resource, name: str, environment: DeclaredEnvironment, sessions: Sequence[Session]
    ) -> DockerEnvironment:
        """Build the images, raise the gateway and make the networks of `environment`."""
        return DockerEnvironment(self, parent, dns_label(name), environment, sessions)


def on_docker(stack: Stack, name: str) -> Docker:
    """The runtime as the stack program makes it: on the engine that `DOCKER_HOST` names."""
    return Docker(name, {"stack": stack})


def _taken_ports(stack: Stack) -> Iterator[Problem]:
    users: dict[int, str] = {}
    for index, session in enumerate(stack.sessions):
        for position, port in enumerate(session.ports if session.is_service else ()):
            if (user := users.setdefault(port, session.name)) != session.name:
                yield Problem(
                    f"sessions[{index}].ports[{position}]",
                    show(port),
                    f"session {user!r} of this stack publishes this port on the Docker host already",
                    "give each service ports of its own",
                )


def _check_engine(stack: Stack, here: Engine) -> None:
    problems = list(_isolation_problems(here)) if stack.docker.runtime is Isolation.RUNSC else []
    for index, session in enumerate(stack.sessions):
        size, most = session.resources, here.memory_bytes / 2**30
        if size.cpu > here.cpus:
            problems.append(
                Problem(
                    f"sessions[{index}].resources.cpu",
                    show(size.cpu),
                    f"the Docker host has {here.cpus}",
                    f"ask for {here.cpus} at most",
                )
            )
        limit = memory_mib(session) / 1024
        if limit > most:
            problems.append(
                Problem(
                    f"sessions[{index}].resources.memory_gib",
                    show(size.memory_gib),
                    f"a session's disk is memory on a Docker host: with disk_gib = {size.disk_gib} this is "
                    f"{limit:.1f} GiB, and the host has {most:.1f} GiB",
                    "ask for less memory_gib or disk_gib",
                )
            )
        if size.architecture != here.architecture:
            problems.append(
                Problem(
                    f"sessions[{index}].resources.architecture",
                    show(size.architecture.value),
                    f"the Docker host runs {here.architecture.value}; other programs end there with exec format error",
                    f"write architecture: {here.architecture.value}",
                )
            )
    if problems:
        raise InvalidInput(problems)


def _isolation_problems(here: Engine) -> Iterator[Problem]:
    wanted = Isolation.RUNSC.value
    if wanted not in here.runtimes:
        yield Problem(
            "docker.runtime",
            show(wanted),
            f"the Docker engine has no runtime of this name, but {', '.join(sorted(here.runtimes)) or 'none'}",
            "install gVisor and run `runsc install -- --network=host`, or remove the field",
        )
    elif not {"--network=host", "-network=host"} & set(here.runtimes[wanted]):
        # gVisor's own stack writes packets to the interface, past the namespace's firewall, where the fence is.
        yield Problem(
            "docker.runtime",
            show(wanted),
            "the Docker engine runs gVisor with a network stack of its own, which sends past the rules of the fence",
            "run `runsc install -- --network=host` and restart the engine, or remove the field",
        )


def _resolvers(stack: Stack, here: Engine) -> tuple[IPv4Address, ...]:
    if stack.docker.resolvers:
        return stack.docker.resolvers
    found = host_resolvers() if here.local else ()
    if not found and any(environment.limited is None for environment in stack.environments):
        where = "this machine names none that a container can reach" if here.local else "the engine is on another host"
        raise InvalidInput.of(
            "docker.resolvers",
            [],
            f"an unrestricted environment needs DNS servers that its fence lets through, and {where}",
            "name them, like [9.9.9.9]",
        )
    return found


def _host_addresses(stack: Stack, here: Engine) -> tuple[Address, ...]:
    found = host_addresses() if here.local else None
    declared = "host_addresses" in stack.docker.model_fields_set
    if found is None and not declared and any(environment.limited is None for environment in stack.environments):
        where = "this machine does not tell its own" if here.local else "the engine is on another host"
        raise InvalidInput.of(
            "docker.host_addresses",
            [],
            f"the fence of an unrestricted environment keeps sessions from the host's public addresses, and {where}",
            "list them, like [203.0.113.7], or write [] if it has none",
        )
    return beyond_blocklist((*stack.docker.host_addresses, *(found or ())))


def _networks(stack: Stack, deployment: str) -> dict[str, SessionNetwork]:
    limited = {environment.name for environment in stack.environments if environment.limited is not None}
    names = [egress_of(environment.name) for environment in stack.environments]
    for session in stack.sessions:
        if session.is_service:
            names.append(network_of(session.name))
            if session.ports and session.environment in limited:
                names.append(ingress_of(session.name))
    try:
        return declared_networks(stack.docker.range, deployment, names)
    except ValueError as error:
        rule, _, fix = str(error).partition(" Fix: ")
        raise InvalidInput.of("docker.range", str(stack.docker.range), rule, fix) from None


def _uids(stack: Stack, deployment: str) -> dict[str, int]:
    try:
        return service_uids(deployment, (session.name for session in stack.sessions if session.is_service))
    except ValueError as error:
        rule, _, fix = str(error).partition(" Fix: ")
        raise InvalidInput.of("sessions", [], rule, fix) from None
