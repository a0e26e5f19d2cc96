"""Container definitions: a JSON string, so known as a whole or not at all."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from policies.reading import get, is_list, plain, shown
from policies.roles import Judged
from policies.verdict import Findings


@dataclass(frozen=True)
class Container:
    """One container of a task.

    Attributes:
        at: Where it stands, for messages.
        body: Its definition, or what a run overrides of it.
        alone: Whether there is no other beside it.
    """

    at: str
    body: Mapping[str, Any]
    alone: bool

    @property
    def environment(self) -> Iterator[tuple[str, Any]]:
        """(name, value) of the plain environment variables."""
        listed = self.body.get("environment")
        for pair in listed if is_list(listed) else []:
            if isinstance(pair, Mapping):
                yield str(pair.get("name")), pair.get("value")


def is_root(user: Any) -> bool:
    """Whether a container's `user` is root, or is left to the image, which may say root."""
    name = str("" if user is None else user).partition(":")[0].strip()
    return name in ("", "root") or (name.isdigit() and int(name) == 0)


def containers(args: Judged, findings: Findings) -> Iterator[Container]:
    """The containers of a task definition; definitions that cannot be read are a violation, never a pass."""
    with findings.deferring():
        yield from _parse(get(args.props, "containerDefinitions"), "containerDefinitions", (), findings)


def overrides(text: Any, at: str, findings: Findings) -> Iterator[Container]:
    """The container overrides in the `input` of a scheduled task."""
    if text not in (None, ""):
        yield from _parse(text, at, ("containerOverrides",), findings)


def _parse(text: Any, at: str, path: tuple[str, ...], findings: Findings) -> Iterator[Container]:
    if isinstance(text, str):
        try:
            parsed = json.loads(text)
        except ValueError:
            parsed = None
    else:
        parsed = plain(text)
    listed = get(parsed, *path)
    if path and isinstance(parsed, Mapping) and listed is None:
        return
    if not is_list(listed) or not all(isinstance(body, Mapping) for body in listed):
        findings.violation(at, "is not a JSON list of containers, so nobody can tell what would run")
        return
    where = ".".join((at, *path))
    for index, body in enumerate(listed):
        yield Container(f"{where}[{shown(body.get('name', index))}]", body, alone=len(listed) == 1)
