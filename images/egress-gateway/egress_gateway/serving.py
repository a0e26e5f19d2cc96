"""The gateway itself, from its start to its end, and the check of a policy file."""

import asyncio
import gc
import signal
import sys
from pathlib import Path

import uvloop

from egress_gateway import fence
from egress_gateway.document import BrokenPolicy
from egress_gateway.gateway import Gateway
from egress_gateway.log import Log
from egress_gateway.policy import load_policy
from egress_gateway.settings import Settings


def serve(settings: Settings) -> int:
    """Run until asked to end; the exit status."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings))


def install(source: Path, target: Path) -> int:
    """Put a policy file into place, if it is a policy: a gateway sees the old one or the new one, never a part.

    Raises:
        ValueError: it is none.
    """
    try:
        load_policy(source.read_bytes())
    except BrokenPolicy as error:
        raise ValueError(str(error)) from None
    source.replace(target)
    return 0


async def _serve(settings: Settings) -> int:
    log = Log()
    # Before anything is served: without a fence there may be no firewall rules here.
    link = await fence.reach() if settings.fence else None
    gateway = Gateway(settings, log)
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    sys.unraisablehook = lambda unraisable: _note(loop, log, unraisable.exc_value)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    await gateway.start()
    # What is there now stays: nothing of it needs to be looked at in every collection.
    gc.collect()
    gc.freeze()
    waiting: list[asyncio.Task[object]] = [loop.create_task(event.wait()) for event in (asked, gateway.failed)]
    if link is not None:
        waiting.append(loop.create_task(fence.gone(link)))
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    fence_gone = link is not None and waiting[-1].done()
    if fence_gone:
        log("fence_gone", {"problem": "nothing can be reached from here: ending, to be started behind the new fence"})
    for task in waiting:
        task.cancel()
    await gateway.stop()
    log.flush()
    return 1 if fence_gone or gateway.failed.is_set() else 0


def _note(loop: asyncio.AbstractEventLoop, log: Log, error: BaseException | None) -> None:
    """What Python would print by itself, such as for a server name that it cannot decode, is a line of the log too."""
    loop.call_soon_threadsafe(log.fault, error or RuntimeError())
