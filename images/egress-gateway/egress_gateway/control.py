"""The control socket: what whoever runs the gateway asks of the running process, one line of JSON each way."""

import asyncio
import ipaddress
import json
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from egress_gateway.asking import Answer
from egress_gateway.credentials import parse_agents
from egress_gateway.identity import Identities, NotAdmitted

_SECONDS = 5.0
_OWNER_ONLY = 0o600


class Control:
    """Serves the socket.

    Args:
        identities: Where sessions are admitted and dismissed.
        policy: Gives the policy in force for people to read, or the rule that stands in its place.
        dismissed: Called when a session may no longer speak from somewhere.
    """

    def __init__(self, identities: Identities, policy: Callable[[], Answer], dismissed: Callable[[], None]) -> None:
        self._identities, self._policy, self._dismissed = identities, policy, dismissed
        self._server: asyncio.Server | None = None
        self._path = Path()

    async def start(self, path: Path) -> None:
        """Listen at `path`, where a process that was killed may have left a socket."""
        listening = _listen(path)
        self._server = await asyncio.start_unix_server(self._serve, sock=listening)
        self._path = path

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_SECONDS):
                asked = json.loads(await reader.readline())
                writer.write(json.dumps(self._answer(asked)).encode() + b"\n")
                await writer.drain()
        except (OSError, TimeoutError, ValueError):
            pass  # Whoever asked has gone or talks nonsense, and gets no answer.
        finally:
            writer.close()

    def _answer(self, asked: Mapping[str, Any]) -> Answer:
        try:
            match asked.get("command"):
                case "policy":
                    return self._policy()
                case "admit":
                    source = ipaddress.ip_network(asked["source"])
                    self._identities.admit(asked["session"], source, parse_agents(asked.get("agents", {})))
                    return {"session": asked["session"], "source": str(source)}
                case "dismiss":
                    source = ipaddress.ip_network(asked["source"])
                    found = self._identities.dismiss(source)
                    self._dismissed()
                    return {"source": str(source), "found": found}
                case _:
                    return {"error": "no such command"}
        except (NotAdmitted, KeyError, ValueError, OSError) as error:
            return {"error": str(error)}


def _listen(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(os.fspath(path))
    # Before it listens: nobody else gets in, not even for a moment.
    path.chmod(_OWNER_ONLY)
    return listening
