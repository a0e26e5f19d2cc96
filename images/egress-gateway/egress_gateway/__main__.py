"""`python3 -m egress_gateway`: the gateway, and what whoever runs it asks of it."""

import argparse
import asyncio
import gc
import json
import signal
import sys
from pathlib import Path

import uvloop

from egress_gateway import fence
from egress_gateway.control import ControlError, ask
from egress_gateway.document import BrokenPolicy
from egress_gateway.gateway import Gateway
from egress_gateway.log import Log
from egress_gateway.policy import load_policy
from egress_gateway.settings import Settings, read_settings


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


def _install(source: Path, target: Path) -> int:
    """Put a policy file into place, if it is a policy: a gateway sees the old one or the new one, never a part."""
    load_policy(source.read_bytes())
    source.replace(target)
    return 0


def _ask(settings: Settings, **asked: str) -> int:
    print(json.dumps(ask(settings.control, asked), indent=2))
    return 0


def _ready(settings: Settings, *, in_force: bool) -> int:
    if settings.fence:
        fence.connect().close()
    answer = ask(settings.control, {"command": "policy"})
    if in_force and not answer["in_force"]:
        raise ControlError(f"nothing is let through: {answer['rule']}")
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="egress_gateway", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("serve", help="run the gateway (the default)")
    commands.add_parser("check", help="exit with 0 if the running gateway answers")
    commands.add_parser("ready", help="exit with 0 if a good policy is in force")
    commands.add_parser("policy", help="print the effective policy in force")
    admit = commands.add_parser("admit", help="let a session speak from a network")
    admit.add_argument("--session", required=True)
    dismiss = commands.add_parser("dismiss", help="take that back, and cut what is open from there")
    for command in (admit, dismiss):
        command.add_argument("--source", required=True, help="the network, such as 10.200.0.8/29")
    install = commands.add_parser("install", help="check a policy file, and rename it into place")
    install.add_argument("source", type=Path)
    install.add_argument("target", type=Path)
    return parser


def main() -> int:
    """Do what the command line says.

    Returns:
        The exit status.
    """
    given = _arguments().parse_args()
    try:
        settings = read_settings()
        match given.command:
            case "check" | "ready":
                return _ready(settings, in_force=given.command == "ready")
            case "policy":
                return _ask(settings, command="policy")
            case "admit":
                return _ask(settings, command="admit", session=given.session, source=given.source)
            case "dismiss":
                return _ask(settings, command="dismiss", source=given.source)
            case "install":
                return _install(given.source, given.target)
            case _:
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    return runner.run(_serve(settings))
    except (BrokenPolicy, ControlError, OSError, ValueError) as error:
        print(f"egress_gateway: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
