"""The end of a run on a Docker host: what is known of its container is put on record, then all of it is removed."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import docker
from docker.errors import NotFound
from docker.models.containers import Container

from components.models.tags import RUN, RunTag, Tag, label
from components.plans.image import PREPARED
from operate import results
from operate.docker_gateway import Gateway
from operate.docker_logs import container_lines
from operate.docker_networks import removed, source, take_down
from operate.engine import asking_engine
from operate.failures import Failure
from operate.outputs import DockerEnvironment, DockerGateway
from operate.records import Record, Records
from operate.runs import RunInfo, Status
from operate.signals import signals_held

OVER = ("exited", "dead")
"""What the engine says of a container that has ended."""
_NEVER = "0001-01-01"
"""How the engine writes a time that has not come."""


def is_run(container: Container) -> bool:
    """Whether a container is a run's own, rather than a twin that probes: those have no image on their labels."""
    return label(RunTag.IMAGE) in container.labels


def runs_command(container: Container) -> bool:
    """Whether a command of the team's own runs in it."""
    command = (container.attrs.get("Config") or {}).get("Cmd") or []
    return tuple(command[: len(PREPARED)]) == PREPARED


def info_of(container: Container) -> RunInfo:
    """What the engine says of a run's session container."""
    labels, state = container.labels, container.attrs.get("State") or {}
    over = container.status in OVER
    code = int(state.get("ExitCode", 0)) if over else None
    return RunInfo(
        id=labels[RUN],
        session=labels.get(label(Tag.SESSION), ""),
        environment=labels.get(label(Tag.ENVIRONMENT), ""),
        status=status_of(container),
        started=_time(state.get("StartedAt")),
        ended=_time(state.get("FinishedAt")) if over else None,
        exit_code=code,
        outcome=results.outcome(code, own_command=runs_command(container)),
        image=labels.get(label(RunTag.IMAGE), ""),
        policy_hash=labels.get(label(RunTag.POLICY), ""),
        conversation=labels.get(label(RunTag.CONVERSATION)),
        reason=_reason(state) if over else None,
        kind="run",
    )


def status_of(container: Container) -> Status:
    """The engine's word for where a container is, in ours."""
    if container.status in OVER:
        return "ended"
    return "starting" if container.status == "created" else "stopping" if container.status == "removing" else "running"


def collect(
    container: Container, stack: str, gateway: DockerGateway, records: Records, *, owned: bool = True
) -> Record:
    """Put a run that has ended on record, with its log and its result.

    Args:
        container: The session container, looked at after its end.
        stack: Value of the label of its stack.
        gateway: Of its environment.
        records: Where to.
        owned: See `operate.records.Record`.

    Raises:
        OSError: the engine went away.
        DockerException: the same, or the container has been removed.
        Failure: the record cannot be written.
    """
    info = info_of(container)
    if info.status != "ended":
        info = replace(info, status="ended", outcome="crash", reason="it was never started")
    reader = results.Reader()

    def read() -> Iterator[str]:
        for line in container_lines(container, follow=False):
            reader.read(line)
            yield line

    records.write_log(info.id, read())
    record = Record(info, stack, gateway.model_dump(mode="json"), owned=owned)
    if runs_command(container):
        record = replace(record, result=results.of_command(info))
    else:
        try:
            record = replace(record, result=reader.result(info.id))
        except Failure as failure:
            record = replace(record, problem=str(failure))
    records.write(record)
    return record


def lost(record: Record) -> Record:
    """The record of a run whose container is gone before its end was seen."""
    why = "its container was removed by somebody else"
    info = replace(record.info, status="ended", outcome="crash", reason=why)
    return replace(record, info=info, problem=f"Run {info.id} left no result: {why}. Fix: start it again.")


def remove(client: docker.DockerClient, gateway: DockerGateway, run: str) -> None:
    """Remove all of a run from the engine; what is gone already is no fault.

    Raises:
        Failure: the engine or the gateway refused.
    """
    name = f"agentenv-run-{run}"
    with signals_held(), asking_engine(f"removing run {run}"), ThreadPoolExecutor(2) as pool, ExitStack() as further:
        try:
            network = client.networks.get(name)
        except NotFound:
            network = None
        # Nothing runs there any more, so the gateway can forget it meanwhile, and the fence can go before its session.
        if network is not None:
            told = pool.submit(gateway_of(client, gateway).dismiss, source(network))
            # Each of these is done, whatever becomes of the one before it.
            further.callback(removed, partial(take_down, network))
            further.callback(told.result)
        # By their names, without asking the engine for them first.
        gone = [
            partial(client.api.remove_container, f"{name}-{part}", force=True, v=True) for part in ("fence", "session")
        ]
        further.callback(pool.submit(removed, gone[0]).result)
        removed(gone[1])


def gateway_of(client: docker.DockerClient, gateway: DockerGateway) -> Gateway:
    """A gateway of which only the container is known: whoever looks after a run has no outputs of a stack."""
    return Gateway(client, DockerEnvironment.model_construct(gateway=gateway))


def _time(text: str | None) -> datetime | None:
    if not text or text.startswith(_NEVER):
        return None
    return datetime.fromisoformat(text).astimezone(UTC)


def _reason(state: Mapping[str, Any]) -> str | None:
    if state.get("OOMKilled"):
        return "it used more memory than resources.memory_gib"
    return str(state.get("Error") or "") or None
