"""Starts and ends one of several agents, as the user that the agent is: their supervisor may signal nobody but itself.

The supervisor starts it with the agent's user already set. It makes the agent's folders, says `ready`, and starts the
agent when it is told `go`. When its input ends, so does the agent: with time to save, and by force after that.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

STOP_SECONDS = 100
"""For the agent to save; the engine waits for 120 s in all."""
READY, GO = b"ready\n", b"go\n"
PRIVATE, SHARED = 0o700, 0o2770
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_REFUSED, _STOPPED = 78, 143


def main(
    command: Sequence[str], folders: Sequence[Path], shared: Path | None, group: int | None, uid: int | None = None
) -> int:
    """Keep one agent.

    Args:
        command: Starts the agent.
        folders: Its own; the first is its work folder.
        shared: A folder that this agent makes for all of them; None where another does, or there is none.
        group: Who may use the shared folder.
        uid: The agent's user, whom nobody else in the container is: whatever runs as this user ends with the agent.

    Returns:
        The agent's exit code; that of one that was stopped, where it was to end before it began.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    # A supervisor that was killed leaves nobody behind.
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    refused = libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    left = capabilities()
    if refused or left:
        sys.stderr.write(f"an agent has no capabilities, and these are left: {left:#x}\n")
        return _REFUSED
    # What an earlier keeper could not end, because its agent had ended it.
    _end_all(uid)
    for folder in folders:
        folder.mkdir(mode=PRIVATE, exist_ok=True)
        folder.chmod(PRIVATE)
    if shared is not None and group is not None:
        shared.mkdir(exist_ok=True)
        os.chown(shared, -1, group)
        shared.chmod(SHARED)
    os.write(1, READY)
    said = os.read(0, len(GO))
    if said != GO:
        return _REFUSED if said else _STOPPED
    # In a process group of its own: what it has started ends with it.
    with subprocess.Popen(command, cwd=folders[0], stdin=subprocess.DEVNULL, start_new_session=True) as agent:
        threading.Thread(target=_stopped, args=(agent,), daemon=True).start()
        code = agent.wait()
        _signal(agent.pid, signal.SIGKILL)
        _end_all(uid)
    return code if code >= 0 else 128 - code


def _stopped(agent: "subprocess.Popen[bytes]") -> None:
    """Wait until the supervisor closes the input, then end the agent."""
    while os.read(0, 1024):
        pass
    agent.terminate()
    try:
        agent.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        _signal(agent.pid, signal.SIGKILL)


def _signal(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except OSError:
        return


def _end_all(uid: int | None) -> None:
    """End whatever else this user runs, in whatever process group or session it is."""
    if uid is not None and uid == os.getuid() != 0:
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)


def capabilities() -> int:
    """What this process may do now or could pass on, as a bit set (capabilities(7))."""
    found = 0
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":\t")
        if name in ("CapPrm", "CapEff", "CapAmb"):
            found |= int(value, 16)
    return found
