"""The stand-in's own memory, for what the emulator has no interface for."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_VARIABLE = "AGENT_ENVIRONMENTS_OFFLINE_STATE"

Item = dict[str, Any]
_Content = dict[str, dict[str, Item]]


def default_folder() -> Path:
    """Returns the folder from `AGENT_ENVIRONMENTS_OFFLINE_STATE`, or the one in the project's `.toolchain`."""
    named = os.environ.get(_VARIABLE)
    return Path(named) if named else Path(__file__).resolve().parents[2] / ".toolchain" / "state" / "aws"


def reset(folder: str | Path | None = None) -> None:
    """Forgets everything, of every endpoint, account and region."""
    for path in (Path(folder) if folder else default_folder()).glob("*.json"):
        path.unlink(missing_ok=True)


class Store:
    """Items by kind and id in one JSON file, safe for several threads and processes.

    Args:
        name: the file's name without `.json`.
        folder: where the file lies; None for the default folder.
    """

    def __init__(self, name: str, folder: str | Path | None = None) -> None:
        self._path = (Path(folder) if folder else default_folder()) / f"{name}.json"

    def put(self, kind: str, item_id: str, item: Item) -> None:
        """Keeps an item, in place of one with the same kind and id."""
        with self.transaction() as content:
            content.setdefault(kind, {})[item_id] = item

    def get(self, kind: str, item_id: str) -> Item | None:
        """Returns an item, or None."""
        return self.items(kind).get(item_id)

    def items(self, kind: str) -> dict[str, Item]:
        """Returns every item of a kind, by id."""
        with self._locked(exclusive=False):
            return self._load().get(kind, {})

    def delete(self, kind: str, item_id: str) -> None:
        """Forgets an item, if it is there."""
        with self.transaction() as content:
            content.get(kind, {}).pop(item_id, None)

    @contextmanager
    def transaction(self) -> Iterator[_Content]:
        """Gives the whole content (kind, id, item) to change; nothing is written if the block raises."""
        with self._locked(exclusive=True):
            content = self._load()
            yield content
            draft = self._path.with_suffix(".tmp")
            draft.write_text(json.dumps(content, indent=1, sort_keys=True))
            draft.replace(self._path)

    def _load(self) -> _Content:
        if not self._path.exists():
            return {}
        content: _Content = json.loads(self._path.read_text())
        return content

    @contextmanager
    def _locked(self, *, exclusive: bool) -> Iterator[None]:
        # A lock file of its own: the data file is replaced at each write, and a lock stays with the old one.
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
            yield
