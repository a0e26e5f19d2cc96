"""Tasks on Fargate: which definitions must exist, what each fixes, and what a run of a session overrides.

Image, secrets and log settings cannot be overridden when a task is run, so they decide how many definitions there
are; size, command, variables and tags can, so sessions that differ only in those share one definition.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.models.capabilities import FARGATE_DROPPED
from components.models.environment import Environment
from components.models.errors import InvalidInput
from components.models.session import Architecture, Resources, Session
from components.plans.cost import hourly_price
from components.plans.image import AGENT_UID, GATEWAY_STATE, GATEWAY_UID, PREPARED
from components.plans.network import GATEWAY_PORT
from components.plans.size import MAX_DISK_GIB, MEMORY_GIB, FargateSize, fargate_size

CONTAINER = "session"
SCRATCH = {"tmp": "/tmp", "workspace": "/workspace", "home": "/home/agent"}  # noqa: S108 - paths in the container
"""The writable places of a session, by volume name; everything else is read-only."""
GATEWAY_SCRATCH = {"state": GATEWAY_STATE, "tmp": "/tmp"}  # noqa: S108 - paths in the container
"""The writable places of a gateway, by volume name."""
STOP_TIMEOUT = 120
"""Seconds between SIGTERM and SIGKILL: the most that Fargate gives."""
OVERRIDE_LIMIT = 8192
"""Characters of a RunTask override. Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html"""


@dataclass(frozen=True)
class Shape:
    """What a task definition fixes for every run that uses it.

    Attributes:
        architecture: Processor, hence which image.
        secrets: (variable, reference) pairs that ECS puts into the container.
        service: For a session that stays up, which starts without overrides: its name, else None.
        supervised: Whether several agents share the container, and a supervisor gives each a user of its own.
    """

    architecture: Architecture
    secrets: tuple[tuple[str, str], ...]
    service: str | None
    supervised: bool = False

    @property
    def key(self) -> str:
        """Short name, equal for equal shapes."""
        if self.service:
            return f"service-{self.service}"
        kind = "agents" if self.supervised else "run"
        if self.architecture is Architecture.X86_64 and not self.secrets:
            return kind
        text = json.dumps([self.architecture, self.secrets])
        return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def shape(session: Session) -> Shape:
    """The shape of the definition that `session` runs with."""
    return Shape(
        architecture=session.resources.architecture,
        secrets=tuple(sorted((s.name, s.source) for s in session.secrets if s.inject is None)),
        service=session.name if session.is_service else None,
        supervised=session.is_supervised,
    )


def size(session: Session) -> FargateSize:
    """The smallest task that holds what the session asks for.

    Raises:
        InvalidInput: Fargate has none.
    """
    wanted = session.resources
    try:
        return fargate_size(wanted.cpu, wanted.memory_gib, wanted.disk_gib)
    except ValueError as error:
        rule, _, fix = str(error).partition(" Fix: ")
        field, value = _outsized(wanted)
        raise InvalidInput.of(f"resources.{field}", value, rule, fix) from None


def _outsized(wanted: Resources) -> tuple[str, float]:
    if wanted.disk_gib > MAX_DISK_GIB:
        return "disk_gib", wanted.disk_gib
    return ("cpu", wanted.cpu) if wanted.cpu > max(MEMORY_GIB) else ("memory_gib", wanted.memory_gib)


def price(session: Session) -> float:
    """Dollars an hour of one run, list price."""
    return hourly_price(size(session), architecture=session.resources.architecture, spot=session.resources.spot)


def variables(environment: Environment, gateway: str) -> dict[str, str]:
    """Environment variables that every session of `environment` gets.

    Args:
        environment: Where the session runs.
        gateway: Host name of the environment's gateway.
    """
    address = f"http://{gateway}:{GATEWAY_PORT}"
    common = {"AGENTENV_ENVIRONMENT": environment.name, "AGENTENV_GATEWAY": address}
    if environment.limited is None:
        return common
    # Node's fetch looks at the proxy variables only when told to.
    proxies = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"), address)
    return common | proxies | {"NODE_USE_ENV_PROXY": "1"}


def session_variables(session: Session, gateway: str) -> dict[str, str]:
    """Environment variables that `session` gets beyond those of its environment, its own included.

    Args:
        session: As declared.
        gateway: Host name of the environment's gateway.
    """
    route = session.model_route
    known = {"AGENTENV_SESSION": declaration(session)}
    if route is not None:
        known["AGENTENV_MODEL_ROUTE"] = f"http://{gateway}:{GATEWAY_PORT}/{route.name}"
    return {**session.variables, **known}


def command(session: Session) -> tuple[str, ...]:
    """What the container of `session` runs, instead of the image's own command; empty for that one."""
    return (*PREPARED, *session.command) if session.command else ()


def declaration(session: Session) -> str:
    """What the program in the container is told about its session, as compact JSON; no secret, no size."""
    told = session.model_dump(
        mode="json",
        exclude_none=True,
        exclude_defaults=True,
        exclude={"resources", "secrets", "variables", "command"},
    )
    return json.dumps(told, separators=(",", ":"), sort_keys=True)


def overrides(session: Session, gateway: str) -> dict[str, Any]:
    """What `RunTask` is told for a run of `session`: its `overrides` argument.

    Args:
        session: As declared.
        gateway: Host name of the environment's gateway.

    Raises:
        InvalidInput: the overrides are longer than ECS takes, or no task is large enough.
    """
    fits = size(session)
    container: dict[str, Any] = {
        "name": CONTAINER,
        "memory": fits.memory_mib,
        "environment": _pairs(session_variables(session, gateway)),
    }
    if session.command:
        container["command"] = [*command(session)]
    found: dict[str, Any] = {
        "cpu": str(fits.cpu_units),
        "memory": str(fits.memory_mib),
        "containerOverrides": [container],
    }
    if fits.disk_gib:
        found["ephemeralStorage"] = {"sizeInGiB": fits.disk_gib}
    length = len(json.dumps(found))
    if length > OVERRIDE_LIMIT:
        raise InvalidInput.of(
            "agent",
            f"{length} characters of settings",
            f"ECS takes {OVERRIDE_LIMIT} characters of overrides at most",
            "shorten agent.system or variables, or put the text into a file that the session reads",
        )
    return found


def session_container(
    image: str, variables: dict[str, str], shape: Shape, session: Session | None, log: dict[str, Any], gateway: str
) -> dict[str, Any]:
    """Container definition of a session's task.

    Args:
        image: Reference by digest.
        variables: What every session of the environment gets.
        shape: What the definition fixes.
        session: The session, when it is a service: then its size, command and variables are fixed here too.
        log: `logConfiguration`.
        gateway: Host name of the environment's gateway.

    Raises:
        InvalidInput: `image` is not a reference by digest.
    """
    own = overrides(session, gateway)["containerOverrides"][0] if session else {}
    # A supervisor becomes each agent's user: Fargate cannot add a capability after ALL was dropped.
    supervisor = {"linuxParameters": {"capabilities": {"drop": [*FARGATE_DROPPED]}, "initProcessEnabled": True}}
    return _container(
        name=CONTAINER,
        image=image,
        user=0 if shape.supervised else AGENT_UID,
        memory_mib=own.get("memory", SMALLEST_MEMORY_MIB),
        log=log,
        mountPoints=_writable(SCRATCH),
        environment=[*_pairs(variables), *own.get("environment", [])],
        secrets=[{"name": name, "valueFrom": reference} for name, reference in shape.secrets],
        portMappings=[{"containerPort": port, "protocol": "tcp"} for port in (session.ports if session else ())],
        **({"command": own["command"]} if "command" in own else {}),
        **(supervisor if shape.supervised else {}),
    )


def gateway_container(image: str, policy: str, cluster: str, region: str, log: dict[str, Any]) -> dict[str, Any]:
    """Container definition of a gateway.

    Only the place of its policy is in here: the policy changes with the sessions, and a definition holds 64 KiB.

    Args:
        image: Reference by digest.
        policy: `s3://BUCKET/KEY`.
        cluster: Name of the cluster whose tasks it takes for sessions, by their addresses and tags.
        region: AWS region of all of them.
        log: `logConfiguration`.

    Raises:
        InvalidInput: `image` is not a reference by digest.
    """
    variables = {
        "AWS_DEFAULT_REGION": region,
        "EGRESS_IDENTITY": f"ecs:{cluster}",
        "EGRESS_POLICY": policy,
        "EGRESS_STATE": GATEWAY_STATE,
    }
    return _container(
        name="gateway",
        image=image,
        user=GATEWAY_UID,
        memory_mib=SMALLEST_MEMORY_MIB,
        log=log,
        mountPoints=_writable(GATEWAY_SCRATCH),
        environment=_pairs(variables),
        secrets=[],
        portMappings=[{"containerPort": GATEWAY_PORT, "protocol": "tcp"}],
        healthCheck={
            "command": ["CMD", "python3", "-m", "egress_gateway", "check"],
            "interval": 10,
            "timeout": 5,
            "retries": 3,
            "startPeriod": 10,
        },
    )


SMALLEST_CPU_UNITS, SMALLEST_MEMORY_MIB = 256, 512
"""The smallest task there is: what a definition says until a run overrides it."""


def log_configuration(group: str, region: str, prefix: str) -> dict[str, Any]:
    """`awslogs` settings; blocking, so that no line is lost while the container waits."""
    return {
        "logDriver": "awslogs",
        "options": {
            "awslogs-group": group,
            "awslogs-region": region,
            "awslogs-stream-prefix": prefix,
            "mode": "blocking",
        },
    }


def _container(
    *, name: str, image: str, user: int, memory_mib: int, log: dict[str, Any], **rest: Any
) -> dict[str, Any]:
    # The policy pack checks the same, but sees this JSON only once the digest in it is known.
    if "@sha256:" not in image:
        raise InvalidInput.of("image", image, "a task runs an image by its digest only", "write NAME@sha256:DIGEST")
    return {
        "name": name,
        "image": image,
        "essential": True,
        "user": f"{user}:{user}",
        "memory": memory_mib,
        "privileged": False,
        "readonlyRootFilesystem": True,
        "linuxParameters": {"capabilities": {"drop": ["ALL"]}, "initProcessEnabled": True},
        "stopTimeout": STOP_TIMEOUT,
        "logConfiguration": log,
    } | rest


def _writable(places: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"sourceVolume": name, "containerPath": path, "readOnly": False} for name, path in places.items()]


def _pairs(variables: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in sorted(variables.items())]


def shapes(sessions: Sequence[Session]) -> dict[Shape, Session | None]:
    """The distinct shapes of these sessions, each with the session it is for when it is a service's."""
    return {shape(s): s if s.is_service else None for s in sessions}
