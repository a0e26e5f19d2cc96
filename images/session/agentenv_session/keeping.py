"""Loads and saves a session's state, and says so."""

import tempfile
import time
from dataclasses import replace
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
        self._number = 0

    def load(self) -> State | None:
        """The state that is kept, with its files in the work folder; None when there is none.

        Raises:
            StoreError: it cannot be had.
            BrokenStateError: it cannot be used.
            OSError: its files cannot be written.
        """
        began, size = time.monotonic(), 0

        def read(source: Path) -> State:
            nonlocal size
            size = source.stat().st_size
            return states.read(source, self._workspace)

        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            state = self._store.fetch(read, Path(folder))
        if state is None:
            return None
        self._number = state.number
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
            self._number += 1
            told = replace(state, number=self._number)
            written = self._store.keep(lambda target: states.write(told, self._workspace, target), self._scratch)
        except Exception as error:  # noqa: BLE001 - whatever an agent has left in its folder: a save that fails is told
            self._emit("state_save_failed", {"problem": str(error) or repr(error)})
            return False
        self._saved = found
        self._emit("state_saved", {"bytes": written, "seconds": round(time.monotonic() - began, 3)})
        return True
