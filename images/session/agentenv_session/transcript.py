"""A conversation's transcript in memory, as the SDK mirrors it: what is saved, and what a resumed program reads."""

import json
from collections.abc import Iterable, Iterator
from typing import Any


class Transcript:
    """The SDK's `SessionStore` for one conversation, as far as a resume needs it.

    Its key in the SDK also holds the work folder, which is the same at each resume; the conversation alone counts here.

    Args:
        session_id: The SDK's own id of the conversation, a UUID.
        entries: (subpath, entry) pairs of an earlier run; the main transcript has an empty subpath.
    """

    def __init__(self, session_id: str, entries: Iterable[tuple[str, dict[str, Any]]] = ()) -> None:
        self.session_id = session_id
        self._entries: dict[str, list[dict[str, Any]]] = {}
        self._seen: set[tuple[str, str]] = set()
        self.changes = 0
        """Grows with each entry."""
        for subpath, entry in entries:
            self._add(subpath, entry)

    def copy(self) -> "Transcript":
        """As it is now, whatever is added later."""
        other = Transcript(self.session_id)
        other._entries = {subpath: [*entries] for subpath, entries in self._entries.items()}
        other._seen, other.changes = {*self._seen}, self.changes
        return other

    @property
    def empty(self) -> bool:
        """Whether nothing was said yet."""
        return not self._entries.get("")

    async def append(self, key: Any, entries: Any) -> None:
        """Take what the program wrote; an entry that comes twice counts once."""
        for entry in entries:
            self._add(key.get("subpath") or "", entry)

    async def load(self, key: Any) -> Any:
        """What the program resumes from; None when there is nothing."""
        if key["session_id"] != self.session_id:
            return None
        return list(self._entries.get(key.get("subpath") or "", ())) or None

    async def list_subkeys(self, key: Any) -> list[str]:
        """Subpaths: the transcripts of an agent's own helpers."""
        return [subpath for subpath in self._entries if subpath] if key["session_id"] == self.session_id else []

    def lines(self) -> Iterator[str]:
        """JSON lines, to be read by :meth:`read`."""
        for subpath, entries in self._entries.items():
            for entry in entries:
                yield json.dumps({"subpath": subpath, "entry": entry}, separators=(",", ":")) + "\n"

    @classmethod
    def read(cls, session_id: str, lines: Iterable[str]) -> "Transcript":
        """Of what :meth:`lines` gave.

        Raises:
            ValueError: a line is none of it.
        """
        try:
            told = [json.loads(line) for line in lines]
            return cls(session_id, [(one["subpath"], one["entry"]) for one in told])
        except (KeyError, TypeError) as error:
            raise ValueError(f"a line of the transcript is none ({error!r})") from None

    def _add(self, subpath: str, entry: dict[str, Any]) -> None:
        mark = entry.get("uuid")
        if mark is not None:
            if (subpath, mark) in self._seen:
                return
            self._seen.add((subpath, mark))
        self._entries.setdefault(subpath, []).append(entry)
        self.changes += 1
