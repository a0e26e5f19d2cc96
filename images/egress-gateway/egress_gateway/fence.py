"""The container that holds the gateway's network namespace on a Docker host, and how the gateway learns of its end.

That container sets firewall rules, then listens on an abstract UNIX socket, which belongs to the namespace. When it
ends, whatever has joined its namespace stays in the dead one until it is started anew.
"""

import asyncio
import os
import socket
import struct

SOCKET = "\0agentenv-fence"
WAIT_SECONDS = 10.0
POLL_SECONDS = 0.05
RESTART_SECONDS = 10.0
"""For the fence to be back: the engine tries once, and never again, to start a container that joins it."""


class NoFence(OSError):  # noqa: N818 - reads as what it is wherever it is raised
    """Nobody holds this network namespace, or not who should."""


async def reach() -> socket.socket:
    """Wait for the fence.

    Returns:
        A connection to it, whose end is the fence's.

    Raises:
        NoFence: none answered in time, or one of the gateway's own user did.
    """
    end = asyncio.get_running_loop().time() + WAIT_SECONDS
    while True:
        try:
            return connect()
        except NoFence:
            if asyncio.get_running_loop().time() >= end:
                raise
        await asyncio.sleep(POLL_SECONDS)


def connect() -> socket.socket:
    """A connection to the fence of this namespace.

    Raises:
        NoFence: there is none.
    """
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        link.settimeout(1)
        link.connect(SOCKET)
        _, user, _ = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    except OSError as error:
        link.close()
        raise NoFence(f"no fence answers in this network namespace: {error.strerror or error}") from None
    if user == os.getuid():
        link.close()
        raise NoFence("what answers in this network namespace as its fence is of the gateway's own user")
    link.settimeout(0)
    return link


async def gone(link: socket.socket) -> None:
    """Return once the fence has ended, and has had time to be started again."""
    reader, writer = await asyncio.open_connection(sock=link)
    try:
        await reader.read()
    except OSError:
        pass
    finally:
        writer.transport.abort()
    await asyncio.sleep(RESTART_SECONDS)
