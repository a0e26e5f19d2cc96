"""The keeper of a run on a Docker host: waits for its end, puts it on record, and removes it.

A command that waits keeps its run itself. One that does not leaves this behind: `python -m operate.keeper RUN`, a
process of its own that nothing of the terminal reaches. It may be killed and started again at any time: whoever holds
the run's lock keeps it, and any later command does what is left.
"""

import os
import subprocess
import sys
import time
from functools import partial
from http import HTTPStatus
from pathlib import Path

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container

import operate
from operate import engine
from operate.docker_collect import OVER, collect, lost, remove
from operate.engine import asking_engine, connect
from operate.failures import Failure, tell, unreachable
from operate.outputs import DockerGateway
from operate.records import Record, Records

STOP_SECONDS = 120
"""Between SIGTERM and SIGKILL."""
STOP = "--stop"


def leave(run: str, records: Records, *, stop: bool = False) -> None:
    """Leave a process behind that keeps a run.

    Args:
        run: Its id; its record is there, and nobody holds its lock.
        records: Where that is.
        stop: Whether it is to end by force what does not end in time.

    Raises:
        Failure: no process can be made.
    """
    # What is installed may be a folder that only this process knows.
    path = [str(Path(operate.__file__ or "").parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    command = [sys.executable, "-m", "operate.keeper", run, *([STOP] if stop else [])]
    try:
        with records.said(run) as said:
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd="/",
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
                start_new_session=True,
            )
    except OSError as error:
        raise unreachable(
            f"Run {run} has been started, but nothing can wait for its end ({error}). "
            f"Fix: run agentenv list from time to time, which removes it then."
        ) from None


def keep(client: docker.DockerClient, run: str, records: Records, *, stop: bool = False) -> Record:
    """Wait for the end of a run, put it on record and remove it; the caller holds its lock.

    Args:
        client: The engine.
        run: Its id.
        records: Where its record is.
        stop: Whether to ask it to end, and to end it by force after a time.

    Returns:
        The record of its end.

    Raises:
        Failure: the engine or the gateway refused, before the end was on record.
    """
    known = records.read(run)
    if known is None:
        raise unreachable(f"There is no record of run {run} on this machine.")
    gateway = DockerGateway.model_validate(known.gateway)
    if not known.ended:
        # One that was never started has nobody who would start it: whoever does that holds the lock.
        unborn = find(client, run) if stop else None
        if unborn is not None and unborn.status == "created":
            container: Container | None = unborn
        else:
            if stop:
                end(client, run)
            container = wait(client, run)
        known = _collected(container, known, gateway, records)
    try:
        if known.owned:
            remove(client, gateway, run)
    except Failure as failure:
        tell(f"run {run} has ended and is on record, but something of it is left; agentenv list removes it: {failure}")
    records.prune()
    return known


def _collected(container: Container | None, known: Record, gateway: DockerGateway, records: Records) -> Record:
    """The record of the end of a run; with None, of one whose container is gone."""
    if container is not None:
        with asking_engine(f"log of run {known.info.id}"):
            try:
                # An engine that restarts meanwhile has all of it afterwards.
                return engine.patiently(partial(collect, container, known.stack, gateway, records, owned=known.owned))
            except NotFound:
                # Somebody has just removed it.
                pass
    known = lost(known)
    records.write(known)
    return known


def end(client: docker.DockerClient, run: str) -> None:
    """Ask a run to save and end, and wait for that; by force when it takes too long.

    Raises:
        Failure: the engine refused.
    """
    while True:
        container = find(client, run)
        if container is None or container.status in OVER:
            return
        if _signalled(container, "SIGTERM"):
            break
        # It is just being made, or removed, by somebody else.
        time.sleep(engine.PAUSE_SECONDS)
    container = wait(client, run, seconds=STOP_SECONDS)
    if container is not None and container.status not in OVER:
        _signalled(container, "SIGKILL")


def _signalled(container: Container, name: str) -> bool:
    """Send a signal; False when there is nobody left to get it."""
    with asking_engine(f"container {container.name}"):
        try:
            container.kill(signal=name)
        except APIError as error:
            if error.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                return False
            raise
    return True


def find(client: docker.DockerClient, run: str) -> Container | None:
    """The session container of a run; None when it has been removed."""
    with asking_engine(f"run {run}"):
        try:
            return client.containers.get(f"agentenv-run-{run}-session")
        except NotFound:
            return None


def wait(client: docker.DockerClient, run: str, seconds: float | None = None) -> Container | None:
    """Wait for the end of a run's session container.

    Args:
        client: The engine.
        run: Its id.
        seconds: How long at most.

    Returns:
        The container as it is then; None when it has been removed.

    Raises:
        Failure: the engine refused, or stayed away.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    away_since: float | None = None
    while True:
        try:
            container = client.containers.get(f"agentenv-run-{run}-session")
            away_since = None
            left = None if deadline is None else deadline - time.monotonic()
            if container.status in OVER or (left is not None and left <= 0):
                return container
            # Without a limit the engine answers when it has ended.
            container.wait(timeout=left)
            container.reload()
            if container.status in OVER:
                return container
            # One that was not started yet, or is just being removed, is not waited for by the engine.
            time.sleep(engine.PAUSE_SECONDS)
        except NotFound:
            return None
        except engine.AWAY as error:
            # The end of a wait that has a limit is among these too.
            if isinstance(error, APIError) and not engine.is_away(error):
                raise unreachable(f"run {run}: the engine refused: {error.explanation}") from None
            away_since = away_since if away_since is not None else time.monotonic()
            if time.monotonic() - away_since > engine.PATIENCE_SECONDS:
                raise unreachable(f"run {run}: the engine stayed away ({error}). Fix: start it.") from None
            time.sleep(engine.PAUSE_SECONDS)


def main(arguments: list[str]) -> int:
    """Keep the run of this id; nothing to do when somebody else does, or it is done."""
    records = Records.default()
    run = arguments[0]
    hold = records.hold(run)
    if hold is None:
        return 0
    try:
        keep(connect(), run, records, stop=STOP in arguments[1:])
    except Failure as failure:
        sys.stderr.write(f"{failure}\n")
        return failure.code
    finally:
        hold.release()
    records.path(run, "keeper").unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
