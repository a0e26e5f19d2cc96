"""Command line of the set-up: `python3 -m offline.bootstrap COMMAND`."""

import argparse
import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from offline.bootstrap import (
    base_image,
    docker_engine,
    emulator,
    environment,
    host_tools,
    plugins,
    pulumi_cli,
    python_env,
    registry,
)
from offline.bootstrap.console import BootstrapError, say
from offline.bootstrap.layout import Layout, find_layout
from offline.bootstrap.servers import Server


def prepare(layout: Layout) -> None:
    """Installs the Python packages, the Pulumi CLI and the plugins."""
    python_env.prepare(layout)
    pulumi_cli.prepare(layout)
    plugins.prepare(layout)


def up(layout: Layout) -> None:
    """Does `prepare`, starts the servers, gets the base image and writes `.toolchain/env.sh`."""
    prepare(layout)
    address = registry.prepare(layout)
    client = docker_engine.prepare(layout, f"http://{address}")
    image = base_image.prepare(layout, client, address)
    endpoint = emulator.prepare(layout)
    values = environment.variables(layout, endpoint=endpoint, registry=address, base_image=image)
    environment.write(layout, values)


def down(layout: Layout, keep: list[str]) -> None:
    """Stops the servers that were started here, by process id, in the reverse order of their start."""
    for server in reversed(servers(layout)):
        if server.name not in keep and server.stop():
            say(f"{server.name} stopped")


def servers(layout: Layout) -> list[Server]:
    """Returns the servers of the checkout in the order of their start."""
    return [registry.server(layout), docker_engine.server(layout), emulator.server(layout)]


def status(layout: Layout) -> None:
    """Prints what is set up and what runs."""
    say(f"pulumi {plugins.cli_version(layout)}")
    for server in servers(layout):
        record = server.running()
        place = f", 127.0.0.1:{record.port}" if record and record.port else ""
        say(f"{server.name}: " + (f"process {record.pid}{place}" if record else "not started here"))
    say(f"source {layout.env_file}" if layout.env_file.exists() else "not set up: make demo")


@contextmanager
def _exclusive(layout: Layout) -> Iterator[None]:
    """Keeps a second set-up of the same checkout waiting until the first is done."""
    layout.toolchain.mkdir(exist_ok=True)
    with (layout.toolchain / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up of this checkout ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(arguments: list[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: the command line, the process's own when absent.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python3 -m offline.bootstrap", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("venv", help="install the Python packages into .venv")
    commands.add_parser("prepare", help=prepare.__doc__)
    commands.add_parser("up", help=up.__doc__)
    stop = commands.add_parser("down", help=down.__doc__)
    stop.add_argument("--keep", default="", metavar="NAMES", help="servers to leave running, separated by commas")
    commands.add_parser("status", help=status.__doc__)
    commands.add_parser("test-tools", help=host_tools.prepare.__doc__)
    commands.add_parser("running", help="print the names of the servers that run, separated by commas")
    options = parser.parse_args(arguments)
    layout = find_layout()
    try:
        with _exclusive(layout):
            if options.command == "venv":
                python_env.prepare(layout)
            elif options.command == "prepare":
                prepare(layout)
            elif options.command == "up":
                up(layout)
            elif options.command == "down":
                down(layout, options.keep.split(","))
            elif options.command == "status":
                status(layout)
            elif options.command == "test-tools":
                host_tools.prepare(layout)
            else:
                sys.stdout.write(",".join(server.name for server in servers(layout) if server.running()) + "\n")
    except BootstrapError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; run it again to go on\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
