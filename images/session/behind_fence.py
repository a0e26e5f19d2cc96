"""Waits until the fence of this network namespace stands, then becomes the session's command.

On a Docker host a session joins a namespace that another container holds. That container sets the firewall rules and
then listens on an abstract socket, which belongs to the namespace: so an answer means that the rules are in force here,
at the first start and after each reboot. Without an answer nothing of the session runs. Standard library only.

gVisor keeps UNIX sockets to itself; there a port of the loopback address answers, which is the namespace's own only
where gVisor uses the host's network stack. With a stack of its own it would send past the rules: then nothing answers.
"""

import json
import os
import socket
import struct
import sys
import time
from pathlib import Path
from typing import NoReturn

SOCKET = "\0agentenv-fence"
READY_PORT = 1023
GVISOR = "runsc"
SECRETS = Path("/run/secrets")
WAIT_SECONDS = 10.0
POLL_SECONDS = 0.02
EX_CONFIG = 78
"""Exit code for a configuration error (sysexits.h)."""
NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit codes of a shell for a command that cannot be run."""


def main(command: list[str]) -> NoReturn:
    """Wait, then run `command` in place of this program; exits with 78 where that would not be safe."""
    if not command:
        _refuse(EX_CONFIG, "no_command", "there is no command to run behind the fence")
    if not wait_for_fence(WAIT_SECONDS, gvisor=os.environ.get("AGENTENV_ISOLATION") == GVISOR):
        _refuse(
            EX_CONFIG,
            "no_fence",
            f"no fence answered in this network namespace within {WAIT_SECONDS:g} s, so nothing was started: the "
            "fence container stopped, could not set its rules, or is not the one that this container joined. Its log "
            "says which; start it, then this container.",
        )
    try:
        variables = {**os.environ, **secrets(SECRETS)}
    except (OSError, ValueError) as error:
        _refuse(
            EX_CONFIG,
            "secret_unreadable",
            f"a secret cannot be read: {error}. Its file on the Docker host must be text that uid {os.getuid()} or gid "
            f"{os.getgid()} may read.",
        )
    try:
        os.execvpe(command[0], command, variables)  # noqa: S606 - the declared command, without a shell
    except FileNotFoundError:
        _refuse(NOT_FOUND, "command_not_found", f"{command[0]!r} is not in the image")
    except OSError as error:
        _refuse(NOT_EXECUTABLE, "command_not_executable", f"{command[0]!r} cannot be run: {error.strerror}")


def wait_for_fence(seconds: float, *, gvisor: bool = False) -> bool:
    """Whether the fence of this namespace answered within `seconds`.

    Args:
        seconds: How long to wait.
        gvisor: Whether this is gVisor, by the container's own settings.
    """
    answers = _answers_on_port if gvisor else _answers_on_socket
    end = time.monotonic() + seconds
    while True:
        try:
            return answers()
        except (ConnectionRefusedError, BlockingIOError, TimeoutError):
            if time.monotonic() >= end:
                return False
        time.sleep(POLL_SECONDS)


def _answers_on_socket() -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.settimeout(1)
        door.connect(SOCKET)
        credentials = door.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        _, user, _ = struct.unpack("3i", credentials)
        # An answer of this container's own user could come from the session itself.
        return bool(user != os.getuid())


def _answers_on_port() -> bool:
    with socket.create_connection(("127.0.0.1", READY_PORT), timeout=1):
        return True


def secrets(folder: Path) -> dict[str, str]:
    """Variable -> value for each file in `folder`, each without its last line break; none if there is no folder.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file is not text.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    return {path.name: _text(path).removesuffix("\n").removesuffix("\r") for path in files}


def _text(path: Path) -> str:
    text = path.read_bytes()
    try:
        return text.decode()
    except UnicodeDecodeError:
        # Python's own message would show a byte of it.
        raise ValueError(f"{path} is not text in UTF-8") from None


def _refuse(code: int, event: str, message: str) -> NoReturn:
    print(json.dumps({"level": "error", "event": event, "message": message}), flush=True)
    sys.exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
