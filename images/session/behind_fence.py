"""Waits until the fence of this network namespace stands, then becomes the session's command.

On a Docker host a session joins a namespace that another container holds. That container sets the firewall rules and
then listens on an abstract socket, which belongs to the namespace: so an answer means that the rules are in force here,
at the first start and after each reboot. Without an answer nothing of the session runs. Standard library only.

The connection is kept. When it ends, the fence is gone, and with it every way out of this namespace: a container that
joins another's namespace stays in the dead one until it is started anew. So a watcher, apart from the command, then
ends the command, and the engine's restart policy takes the container into the namespace of the new fence.

gVisor keeps UNIX sockets to itself; there a port of the loopback address answers, which is the namespace's own only
where gVisor uses the host's network stack. With a stack of its own it would send past the rules: then nothing answers.
"""

import ctypes
import errno
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

SOCKET = "\0agentenv-fence"
READY_PORT = 1023
GVISOR = "runsc"
SECRETS = Path("/run/secrets")
WAIT_SECONDS = 10.0
POLL_SECONDS = 0.02
RESTART_SECONDS = 10.0
"""For the fence to be back: the engine tries once, and never again, to start a container that joins it."""
STOP_SECONDS = 120.0
"""Between SIGTERM and SIGKILL, as when the engine stops the container."""
EX_CONFIG = 78
"""Exit code for a configuration error (sysexits.h)."""
NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit codes of a shell for a command that cannot be run."""
SYSTEM_CALLS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""Machine -> number of its architecture (linux/audit.h), and of its socket(2)."""
IO_URING_SETUP = 425
"""On every machine."""
X32 = 0x40000000
"""Set in the numbers of x86-64's second set of system calls."""
AF_VSOCK = 40
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
SECCOMP_ERRNO, SECCOMP_ALLOW = 0x00050000, 0x7FFF0000
BPF_LOAD, BPF_EQUAL, BPF_AT_LEAST, BPF_RETURN = 0x20, 0x15, 0x35, 0x06
DATA_NUMBER, DATA_ARCHITECTURE, DATA_FIRST = 0, 4, 16
"""Places in struct seccomp_data (linux/seccomp.h): the low half of the first argument is the last of them."""


def main(command: list[str]) -> NoReturn:
    """Wait, then run `command` in place of this program; exits with 78 where that would not be safe."""
    if not command:
        _refuse(EX_CONFIG, "no_command", "there is no command to run behind the fence")
    gvisor = os.environ.get("AGENTENV_ISOLATION") == GVISOR
    fence = reach_fence(WAIT_SECONDS, gvisor=gvisor)
    if fence is None:
        _refuse(
            EX_CONFIG,
            "no_fence",
            f"no fence answered in this network namespace within {WAIT_SECONDS:g} s, so nothing was started: the "
            "fence container stopped, could not set its rules, or is not the one that this container joined. Its log "
            "says which; start it, then this container.",
        )
    # Before there is a secret in this process to copy.
    watch(fence)
    try:
        variables = {**os.environ, **secrets(SECRETS)}
    except (OSError, ValueError) as error:
        _refuse(
            EX_CONFIG,
            "secret_unreadable",
            f"a secret cannot be read: {error}. Its file on the Docker host must be text that uid {os.getuid()} or gid "
            f"{os.getgid()} may read.",
        )
    if not gvisor:
        # gVisor has no such sockets, and answers for its own kernel.
        try:
            refuse_vsock(os.uname().machine)
        except (OSError, KeyError) as error:
            _refuse(
                EX_CONFIG,
                "no_filter",
                f"the filter of system calls cannot be set: {error}. It takes x86-64 or arm64, and a container with "
                "no-new-privileges.",
            )
    try:
        os.execvpe(command[0], command, variables)  # noqa: S606 - the declared command, without a shell
    except FileNotFoundError:
        _refuse(NOT_FOUND, "command_not_found", f"{command[0]!r} is not in the image")
    except OSError as error:
        _refuse(NOT_EXECUTABLE, "command_not_executable", f"{command[0]!r} cannot be run: {error.strerror}")


def reach_fence(seconds: float, *, gvisor: bool = False) -> socket.socket | None:
    """A connection to the fence of this namespace; None if none answered within `seconds`, or somebody else did.

    Args:
        seconds: How long to wait.
        gvisor: Whether this is gVisor, by the container's own settings.
    """
    reach = _reach_port if gvisor else _reach_socket
    end = time.monotonic() + seconds
    while True:
        try:
            return reach()
        except (ConnectionRefusedError, BlockingIOError, TimeoutError):
            if time.monotonic() >= end:
                return None
        time.sleep(POLL_SECONDS)


def _reach_socket() -> socket.socket | None:
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        door.settimeout(1)
        door.connect(SOCKET)
    except OSError:
        door.close()
        raise
    credentials = door.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", credentials)
    if user == os.getuid():
        # An answer of this container's own user could come from the session itself.
        door.close()
        return None
    return door


def _reach_port() -> socket.socket:
    return socket.create_connection(("127.0.0.1", READY_PORT), timeout=1)


def watch(fence: socket.socket) -> None:
    """Start the watcher. It is a child of the container's init: the command has no child that it knows nothing of."""
    command = os.getpid()
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        fence.close()
        return
    try:
        if os.fork() == 0:
            os.setsid()
            _end_with(fence, command)
    finally:
        os._exit(0)


def _end_with(fence: socket.socket, command: int) -> None:
    ends = select.poll()
    ends.register(fence, select.POLLIN)
    with suppress(OSError):
        # Not everywhere: without it the watcher of a command that `docker exec` ran stays until the container ends.
        ends.register(os.pidfd_open(command), select.POLLIN)
    if fence.fileno() not in dict(ends.poll()):
        return
    _say(
        "error",
        "fence_gone",
        f"the fence of this network namespace is gone, and nothing can be reached any more: the command is ended in "
        f"{RESTART_SECONDS:g} s, for the engine to start it behind the new fence.",
    )
    for seconds, number in ((RESTART_SECONDS, signal.SIGTERM), (STOP_SECONDS, signal.SIGKILL)):
        time.sleep(seconds)
        os.kill(command, number)


def refuse_vsock(machine: str) -> None:
    """Filter this process and all that come of it: no socket to the hypervisor or the host beneath it.

    Those know no network namespace, so no firewall rule holds them; engines before 23.0 allow them. Nor io_uring, which
    opens sockets past any filter, nor another architecture's calls, which have other numbers: both as if the kernel
    had none of it.

    Raises:
        KeyError: this machine is not known.
        OSError: the kernel does not take the filter.
    """
    architecture, socket_call = SYSTEM_CALLS[machine]
    unknown = (BPF_RETURN, 0, 0, SECCOMP_ERRNO | errno.ENOSYS)
    lines = (
        (BPF_LOAD, 0, 0, DATA_ARCHITECTURE),
        (BPF_EQUAL, 1, 0, architecture),
        unknown,
        (BPF_LOAD, 0, 0, DATA_NUMBER),
        (BPF_AT_LEAST, 1, 0, X32),
        (BPF_EQUAL, 0, 1, IO_URING_SETUP),
        unknown,
        (BPF_EQUAL, 0, 3, socket_call),
        (BPF_LOAD, 0, 0, DATA_FIRST),
        (BPF_EQUAL, 0, 1, AF_VSOCK),
        (BPF_RETURN, 0, 0, SECCOMP_ERRNO | errno.EPERM),
        (BPF_RETURN, 0, 0, SECCOMP_ALLOW),
    )
    filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
    program = struct.pack("HP", len(lines), ctypes.addressof(filters))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), program):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


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
    _say("error", event, message)
    sys.exit(code)


def _say(level: str, event: str, message: str) -> None:
    print(json.dumps({"level": level, "event": event, "message": message}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
