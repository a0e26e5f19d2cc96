"""Records: whole or not at all, the owner's alone, one keeper at a time, and not for ever."""

import fcntl
import os
import stat
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from operate import records as module
from operate.failures import Failure
from operate.records import Record, Records
from operate.runs import RunInfo

NOW = datetime(2027, 1, 31, tzinfo=UTC)
INFO = RunInfo("r1", "desk", "e", "ended", NOW, NOW, 0, "success", "sha256:1", "p", None, None, "run")
RECORD = Record(INFO, "t", {"container": "g", "anchor": "a", "port": 3128}, {"version": 1}, None)


def test_what_is_written_is_read_again(records: Records) -> None:
    assert records.read("r1") is None
    records.write(RECORD)
    records.write_log("r1", ["one", "", "zwei \u2028 drei\r vier"])
    assert records.read("r1") == RECORD
    assert list(records.log("r1")) == ["one", "", "zwei \u2028 drei\r vier"]
    assert records.all("t") == [RECORD]
    assert records.all("other") == []


def test_only_the_owner_reads_them(records: Records) -> None:
    hold = records.hold("r1")
    records.write(RECORD)
    records.write_log("r1", ["one"])
    records.said("r1").close()
    folder = records.path("r1", "json").parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert len(list(folder.iterdir())) == 4
    assert hold is not None


def test_a_log_that_breaks_off_leaves_the_one_before(records: Records) -> None:
    def breaking() -> object:
        yield "new"
        raise KeyboardInterrupt

    records.write_log("r1", ["old"])
    with pytest.raises(KeyboardInterrupt):
        records.write_log("r1", breaking())  # type: ignore[arg-type]
    assert list(records.log("r1")) == ["old"]
    assert [path.name for path in records.path("r1", "json").parent.iterdir()] == ["r1.jsonl"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', '{"version": 1, "info": {}}'])
def test_a_record_that_cannot_be_read_is_none(records: Records, text: str) -> None:
    records.write(RECORD)
    records.path("r1", "json").write_text(text)
    assert records.read("r1") is None
    assert records.all("t") == []


def test_a_name_leads_nowhere_else(records: Records) -> None:
    assert records.read("../../etc/passwd") is None
    with pytest.raises(ValueError, match="no id"):
        records.path("../x", "json")


def test_one_at_a_time_looks_after_a_run_until_its_process_ends(records: Records) -> None:
    program = (
        "import sys; from operate.records import Records; hold = Records.default().hold('r1'); "
        "print(hold is not None, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert records.hold("r1") is None
        assert records.is_held("r1")
        other.kill()
        hold = records.hold("r1", wait=True)
    assert hold is not None
    assert records.hold("r1") is None
    hold.release()
    hold.release()
    assert not records.is_held("r1")


def test_a_lock_that_is_removed_while_it_is_taken_locks_nothing(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock
    removed: list[str] = []

    def late(file: int, how: int) -> None:
        if not removed:
            removed.append("r1")
            records.forget("r1")
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    assert records.hold("r1") is not None
    assert records.hold("r1") is None


def test_old_records_and_too_many_are_forgotten(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        records.write(replace(RECORD, info=replace(INFO, id=f"r{number}")))
        at = time.time() - (40 * 86400 if number == 0 else 1000 - number)
        os.utime(records.path(f"r{number}", "json"), (at, at))
    records.write(replace(RECORD, info=replace(INFO, id="open", status="running")))
    long_ago = NOW.timestamp() - 10**8
    os.utime(records.path("open", "json"), (long_ago, long_ago))
    records.prune()
    assert {one.info.id for one in records.all("t")} == {"r1", "r2", "r3", "r4", "open"}
    monkeypatch.setattr(module, "MOST", 2)
    records.prune()
    assert {one.info.id for one in records.all("t")} == {"r3", "r4", "open"}


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Failure, match="XDG_STATE_HOME"):
        Records(tmp_path / "file" / "runs").write(RECORD)
    assert Records(tmp_path / "nothing").all("t") == []


def test_a_relative_state_folder_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Records.default().path("r1", "json").is_relative_to(tmp_path / ".local" / "state" / "agentenv")
