"""The session table: an Environment carries its sessions as data, a Session component carries one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from policies.aws import ENVIRONMENT, SESSION
from policies.reading import get, items, shown
from policies.roles import Judged
from policies.verdict import Findings

TYPES = (ENVIRONMENT, SESSION)


@dataclass(frozen=True)
class Entry:
    """One declared session.

    Attributes:
        at: Where it stands, for messages.
        body: Its declaration, as in the stack file.
    """

    at: str
    body: Mapping[str, Any]

    @property
    def agents(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """(path, declaration) of its agents; none when it runs a command of its own."""
        one = get(self.body, "agent")
        if isinstance(one, Mapping):
            yield f"{self.at}.agent", one
        for index, agent in enumerate(items(get(self.body, "agents"))):
            if isinstance(agent, Mapping):
                yield f"{self.at}.agents[{index}]", agent


def entries(args: Judged, findings: Findings) -> Iterator[Entry]:
    """The sessions that a component declares; an entry that is unknown is deferred, the others are judged."""
    if args.resource_type == SESSION:
        with findings.deferring():
            yield from _entry("session", get(args.props, "session"))
        return
    with findings.deferring():
        listed = get(args.props, "sessions") or []
        for index in range(len(listed)):
            with findings.deferring():
                yield from _entry(f"sessions[{index}]", listed[index])


def _entry(at: str, body: Any) -> Iterator[Entry]:
    if isinstance(body, Mapping):
        yield Entry(f"{at} {shown(get(body, 'name'))}", body)


def networking_of(args: Judged) -> Mapping[str, Any]:
    """The networking of an Environment in its wire format; without one the hosted service's default holds.

    A self-hosted environment states none and is limited here.
    """
    config = get(args.props, "environment", "config")
    if get(config, "type") == "self_hosted":
        return {"type": "limited"}
    found = get(config, "networking")
    return found if isinstance(found, Mapping) else {"type": "unrestricted"}
