"""Holds the network namespace that a session on a Docker host lives in.

It sets the firewall rules of its namespace, gives up every privilege, and only then answers on a socket that nobody
outside the namespace can see: whatever joins the namespace waits for that, and stays connected, so that it learns when
the fence is gone. A session under gVisor has UNIX sockets of its own, so a port of the loopback address answers too. It
is the first process of its container: an init before it would keep its capabilities. Standard library only, and little
of it: every session waits for its start.
"""

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from typing import NoReturn

SOCKET = "\0agentenv-fence"
"""Abstract name: it belongs to the network namespace and to no file system."""
READY_PORT = 1023
"""On the loopback address of the namespace; below the ports that a session may declare."""
NOBODY = 65534
EX_CONFIG = 78
"""Exit code for a configuration error (sysexits.h)."""
NFT_SECONDS = 10
MAX_GUESTS = 64
"""Connections held at a time; a namespace has one or two programs that wait for its fence."""


class Refused(Exception):  # noqa: N818 - reads as what it is wherever it is raised
    """The container is not as it must be; nothing is served."""


def main(arguments: list[str]) -> int:
    """Hold the namespace.

    Args:
        arguments: `hold`.

    Returns:
        The exit code: 78 when the container is not as it must be.
    """
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    try:
        if arguments == ["hold"]:
            hold(os.environ.get("FENCE_RULES", ""))
    except Refused as error:
        say("error", "refused", message=str(error))
    else:
        say("error", "usage", message="what to do must be given: hold")
    return EX_CONFIG


def hold(rules: str) -> NoReturn:
    """Set `rules`, become nobody, then stand by for as long as the namespace is needed.

    Raises:
        Refused: the rules are missing or not taken, or a privilege is left.
    """
    if not rules.strip():
        raise Refused("FENCE_RULES is empty, and a namespace without rules is no fence")
    apply(rules)
    become_nobody()
    # What others leave behind here is nobody's to wait for; from now on nothing of this program's own is either.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door, socket.socket() as port:
        # A connection that a fence before this one held may still be on its way out.
        port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(SOCKET)
            port.bind(("127.0.0.1", READY_PORT))
        except OSError as error:
            raise Refused(f"somebody in this namespace stands in for the fence: {error.strerror}") from None
        door.listen(64)
        port.listen(64)
        say("info", "fence_stands")
        stand([door, port])


def stand(doors: list[socket.socket]) -> NoReturn:
    """Take whoever connects, and keep the connection: its end tells the other side that the fence is gone."""
    guests = selectors.DefaultSelector()
    for door in doors:
        door.settimeout(0)
        guests.register(door, selectors.EVENT_READ, door)
    while True:
        ready: list[socket.socket] = [key.data for key, _ in guests.select()]
        # Those who leave first: they make room for whoever is at a door.
        for one in sorted(ready, key=lambda one: one in doors):
            if one not in doors:
                # There is nothing to say here, so it is gone, or not what it should be.
                guests.unregister(one)
                one.close()
                continue
            with suppress(OSError):
                guest, _ = one.accept()
                if len(guests.get_map()) < MAX_GUESTS + len(doors):
                    guests.register(guest, selectors.EVENT_READ, guest)
                else:
                    guest.close()


def apply(rules: str) -> None:
    """Give `rules` to nft, which takes all of them or none.

    Raises:
        Refused: it did not take them.
    """
    try:
        done = subprocess.run(
            ["/usr/sbin/nft", "-f", "-"], input=rules, capture_output=True, text=True, timeout=NFT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(f"nft cannot be run: {error}") from None
    if done.returncode:
        raise Refused(f"nft does not take the rules: {' '.join(done.stderr.split())[:500]}")


def become_nobody() -> None:
    """Give up root and with it every capability, for good.

    Raises:
        Refused: something of them is left.
    """
    if os.getuid() == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        except OSError as error:
            raise Refused(f"cannot become nobody: {error.strerror}") from None
    if left := capabilities():
        raise Refused(f"capabilities are left: {left:#x}")


def capabilities() -> int:
    """What this process may do now or could take back, as a bit set (capabilities(7))."""
    found = 0
    with open("/proc/self/status") as status:  # noqa: PTH123 - pathlib takes longer to import than all of this
        for line in status:
            name, _, value = line.partition(":\t")
            if name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                found |= int(value, 16)
    return found


def leave(*_: object) -> NoReturn:
    """End at once, and well: the engine asked for it."""
    sys.exit(0)


def say(level: str, event: str, **more: object) -> None:
    """One JSON line for the container's log."""
    print(json.dumps({"level": level, "event": event, **more}), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
