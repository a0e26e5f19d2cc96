"""An agent that stays up: its conversations behind HTTP, kept over an idle stop where the session says so."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from agentenv_session.api import Api
from agentenv_session.aside import aside, done_before
from agentenv_session.bus import Bus
from agentenv_session.events import Emit
from agentenv_session.keeping import Keeper
from agentenv_session.layout import Place
from agentenv_session.mounts import mount_all
from agentenv_session.outcomes import Outcome
from agentenv_session.policy import GatewayAwayError, RefusedError
from agentenv_session.run import Job, place_of, store_of
from agentenv_session.settings import InvalidTask
from agentenv_session.state import BrokenStateError, State
from agentenv_session.talks import Talks

ANYWHERE = "0.0.0.0"
_LOOK_SECONDS = 0.5
_MOST_HEADER = 16 * 1024


def main(job: Job, emit: Emit) -> int:
    """Serve until told to stop, or until nobody has asked for long enough.

    Returns:
        The exit code.

    Raises:
        InvalidTask: the declaration gives the agent no port, or no token.
    """
    declaration = job.declaration
    place = [agent.name for agent in declaration.agents].index(job.agent.name)
    if place >= len(declaration.ports) or not declaration.token_sha256:
        raise InvalidTask(
            f"ports: agent {job.agent.name!r} needs a port, and its session a token_sha256. Fix: add them."
        )
    try:
        return asyncio.run(_serve(job, declaration.ports[place], declaration.token_sha256, emit)).exit_code
    except BrokenStateError as error:
        raise InvalidTask(str(error)) from None
    except Exception as error:  # noqa: BLE001 - the end is told whatever happened
        emit("error", {"problem": str(error) or repr(error)})
        return _told(Outcome.CRASH, emit).exit_code


async def _serve(job: Job, port: int, token_sha256: str, emit: Emit) -> Outcome:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        emit("stopping", {"signal": number.name})
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    emit("session_started", {"session": job.declaration.name, "model": job.agent.model, "port": port})
    preparing = aside(_prepared, job, emit)
    if not await done_before(stopping, preparing):
        # Nobody has said anything yet, and what is kept is as it was.
        return _told(Outcome.SUCCESS, emit)
    place, keeper, state = preparing.result()
    bus = Bus()
    talks = Talks(job.agent, _places(job, place, emit), bus, emit, keeper, state)
    api = Api(talks, bus, token_sha256, stopping.is_set)
    runner = web.AppRunner(
        api.application,
        access_log=None,
        handle_signals=False,
        max_line_size=_MOST_HEADER,
        max_field_size=_MOST_HEADER,
        shutdown_timeout=5,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, ANYWHERE, port).start()
        emit("serving", {"port": port})
        await _until(stopping, talks, bus, job.declaration.idle_timeout, emit)
    finally:
        stopping.set()
        kept = await talks.stop()
        await api.close()
        await runner.cleanup()
    return _told(Outcome.SUCCESS if kept else Outcome.SAVE_FAILED, emit)


def _told(outcome: Outcome, emit: Emit) -> Outcome:
    emit("session_ended", {"outcome": outcome.value, "exit_code": outcome.exit_code})
    return outcome


def _places(job: Job, first: Place, emit: Emit) -> Callable[[], Awaitable[Place]]:
    """Prepares each program's place anew: what the network lets through changes while the agent stays up."""
    last = first
    # They write the same file.
    preparing = asyncio.Lock()

    async def prepared() -> Place:
        nonlocal last
        async with preparing:
            try:
                last = await aside(lambda: place_of(job, emit, seconds=0))
            except (GatewayAwayError, RefusedError, OSError) as error:
                emit("error", {"problem": str(error)})
            return last

    return prepared


def _prepared(job: Job, emit: Emit) -> tuple[Place, Keeper | None, State]:
    place = place_of(job, emit, patient=True)
    store, state = store_of(job), State(job.declaration.name)
    keeper = Keeper(store, job.workspace, job.scratch, emit) if store is not None else None
    if keeper is not None:
        state = keeper.load() or state
    mount_all(job.declaration.mounts, job.workspace, {**job.variables, **place.variables}, emit)
    return place, keeper, state


async def _until(stopping: asyncio.Event, talks: Talks, bus: Bus, idle: int | None, emit: Emit) -> None:
    """Wait for the end: somebody asks for it, or nobody has said anything, and nobody listened, for `idle` seconds."""
    while not stopping.is_set():
        if idle is not None and not talks.busy and not bus.listeners and time.monotonic() - talks.last_used > idle:
            emit("idle", {"seconds": idle})
            return
        try:
            async with asyncio.timeout(_LOOK_SECONDS if idle is not None else None):
                await stopping.wait()
        except TimeoutError:
            continue
