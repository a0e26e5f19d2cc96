"""Nothing that a test remembers of runs is kept with the user's own."""

from pathlib import Path

import pytest

from operate.records import Records


@pytest.fixture(autouse=True)
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Records:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Records.default()
