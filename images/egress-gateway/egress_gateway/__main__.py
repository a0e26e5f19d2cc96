"""`python3 -m egress_gateway`: the gateway, and what whoever runs it asks of it."""

import argparse
import json
import sys
from pathlib import Path

from egress_gateway.asking import ControlError, ask
from egress_gateway.credentials import parse_options
from egress_gateway.settings import Settings, read_settings


def _ask(settings: Settings, **asked: object) -> int:
    print(json.dumps(ask(settings.control, asked), indent=2))
    return 0


def _ready(settings: Settings, *, in_force: bool) -> int:
    if settings.fence:
        from egress_gateway import fence  # see asking.py

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
    admit.add_argument(
        "--agent",
        action="append",
        default=[],
        metavar="NAME=SHA256",
        help="an agent that shows a token with this hash; with any, nobody else is let in from there",
    )
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
                agents = parse_options(given.agent)
                return _ask(settings, command="admit", session=given.session, source=given.source, agents=agents)
            case "dismiss":
                return _ask(settings, command="dismiss", source=given.source)
            case "install":
                from egress_gateway.serving import install

                return install(given.source, given.target)
            case _:
                from egress_gateway.serving import serve  # only the gateway itself needs all of this: see asking.py

                return serve(settings)
    except (ControlError, OSError, ValueError) as error:
        print(f"egress_gateway: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
