"""Loads and saves a session's state, and says so."""

import tempfile
import time
from pathlib import Path

from agentenv_session import state as states
from agentenv_session.events import Emit
from agentenv_session.state import State
from agentenv_session.stores import Store


class Keeper:
    """Loads at the start, saves whenever something has changed.

    Args:
        store: Where the state is kept.
        workspace: The work folder that belongs to it.
        scratch: For temporary files.
        emit: Told what happens.
    """

    def __init__(self, store: Store, workspace: Path, scratch: Path, emit: Emit) -> None:
        self._store, self._workspace, self._scratch, self._emit = store, workspace, scratch, emit
        self._saved = ""

    def load(self) -> State | None:
        """The state that is kept, with its files in the work folder; None when there is none.

        Raises:
            StoreError: it cannot be had.
            BrokenStateError: it cannot be used.
            OSError: its files cannot be written.
        """
        began = time.monotonic()
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            source = self._store.fetch(Path(folder))
            if source is None:
                return None
            size = source.stat().st_size
            state = states.read(source, self._workspace)
        self._saved = states.fingerprint(state, self._workspace)
        self._emit("state_loaded", {"bytes": size, "seconds": round(time.monotonic() - began, 3)})
        return state

    def save(self, state: State) -> bool:
        """Save, unless nothing has changed.

        Returns:
            Whether the state is kept; if not, that has been said.
        """
        began = time.monotonic()
        try:
            found = states.fingerprint(state, self._workspace)
            if found == self._saved:
                return True
            written = self._store.keep(lambda target: states.write(state, self._workspace, target), self._scratch)
        except Exception as error:  # noqa: BLE001 - whatever an agent has left in its folder: a save that fails is told
            self._emit("state_save_failed", {"problem": str(error) or repr(error)})
            return False
        self._saved = found
        self._emit("state_saved", {"bytes": written, "seconds": round(time.monotonic() - began, 3)})
        return True
