"""Who is asking: the session that a source address belongs to, and nobody who only says so."""

import ipaddress
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from egress_gateway.addresses import Network, overlap
from egress_gateway.credentials import Agent, from_header, parse_agents
from egress_gateway.denial import Denied
from egress_gateway.policy import Identity

_FILE = "identities.json"
_MAX_FOUND = 4096


class Directory(Protocol):
    """Knows sessions by address from somewhere else, such as a cluster's list of tasks."""

    async def session_at(self, source: str) -> Identity | None:
        """The session at the address `source`, None if there is none."""

    def known(self, source: str) -> Identity | None:
        """As far as is known without asking anybody."""


class NotAdmitted(ValueError):  # noqa: N818 - reads as what it is wherever it is raised
    """A session cannot be admitted; the message is one line with the reason."""


class Identities:
    """The sessions' addresses: those of the policy, those admitted at run time, and those of a directory.

    Args:
        state: Folder where what is admitted is kept over a restart; created when needed.
        directory: Asked about addresses that are in neither; None if there is nobody to ask.
    """

    def __init__(self, state: Path, directory: Directory | None = None) -> None:
        self._file, self._directory = state / _FILE, directory
        self._declared: list[Identity] = []
        self._admitted = _read(self._file)
        self._found: dict[str, list[Identity]] = {}

    def declare(self, identities: Sequence[Identity]) -> None:
        """Take a new policy's identities in place of the last one's."""
        self._declared = [*identities]
        self._found.clear()

    def all(self) -> list[Identity]:
        """Those of the policy and those admitted."""
        return [*self._declared, *self._admitted]

    def admit(self, session: str, source: Network, agents: Sequence[Agent] = ()) -> None:
        """Let a session speak from a network, now and after a restart.

        Args:
            session: Its name.
            source: The network.
            agents: Who of the session may speak, and shows a token each time; empty: whoever is there.

        Raises:
            NotAdmitted: the network, or a part of it, is another session's, or is admitted for other agents.
        """
        added = Identity(session, source, agents=tuple(agents))
        for other in self.all():
            if not overlap(other.source, source):
                continue
            if other.session != session:
                raise NotAdmitted(f"{source} is used by session {other.session} ({other.source})")
            if other.agents != added.agents:
                raise NotAdmitted(f"{source} is admitted for other agents ({other.source}). Fix: dismiss that first")
        if added not in self._admitted:
            self._store([*self._admitted, added])

    def dismiss(self, source: Network) -> bool:
        """Take back what was admitted for exactly this network.

        Returns:
            Whether there was anything.
        """
        kept = [one for one in self._admitted if one.source != source]
        found = len(kept) != len(self._admitted)
        if found:
            self._store(kept)
        return found

    async def identity(self, source: str, credentials: bytes | None) -> Identity:
        """The session that asks from an address, whichever of its agents it is.

        Args:
            source: The client's address.
            credentials: Value of the request's `Proxy-Authorization`; None if it has none.

        Raises:
            Denied: `unknown-session`.
        """
        candidates = self._at(source)
        if not candidates and self._directory is not None:
            found = await self._directory.session_at(source)
            if found is not None:
                return found
        for one in candidates:
            if one.token_sha256 is None:
                return one
        shown = from_header(credentials)
        for one in candidates:
            if one.session == shown.name and one.takes(shown.token):
                return one
        raise Denied("unknown-session")

    def still(self, session: str, source: str, agent: str | None = None) -> bool:
        """Whether a session, or that agent of it, that has been let in from an address would be let in again."""
        candidates = self._at(source)
        if not candidates and self._directory is not None:
            known = self._directory.known(source)
            candidates = [known] if known is not None else []
        return any(one.session == session and one.has(agent) for one in candidates)

    def _at(self, source: str) -> list[Identity]:
        """Who may speak from there: the policy goes before what was admitted."""
        found = self._found.get(source)
        if found is None:
            address = ipaddress.ip_address(source)
            found = [one for one in self._declared if address in one.source]
            found = found or [one for one in self._admitted if address in one.source]
            if len(self._found) >= _MAX_FOUND:
                self._found.clear()
            self._found[source] = found
        return found

    def _store(self, admitted: list[Identity]) -> None:
        document = [_written(one) for one in admitted]
        self._file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_suffix(".new")
        with fresh.open("w") as stream:
            json.dump(document, stream)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(self._file)
        self._admitted = admitted
        self._found.clear()


def _read(file: Path) -> list[Identity]:
    try:
        text = file.read_text()
    except FileNotFoundError:
        return []
    return [
        Identity(one["session"], ipaddress.ip_network(one["source"]), agents=parse_agents(one.get("agents", {})))
        for one in json.loads(text)
    ]


def _written(one: Identity) -> dict[str, object]:
    agents = {"agents": {agent.name: agent.token_sha256 for agent in one.agents}} if one.agents else {}
    return {"session": one.session, "source": str(one.source), **agents}
