"""Records: whole or not at all, the owner's alone, one keeper at a time, and not for ever."""

import errno
import fcntl
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
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


def test_a_full_disk_is_told(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    records.write(RECORD)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Failure, match=r"r1\.json cannot be written .*No space.*Fix: make room"):
        records.write(RECORD)
    with pytest.raises(Failure, match=r"r1\.jsonl cannot be written .*No space.*Fix: make room"):
        records.write_log("r1", ["new"])
    assert [path.name for path in records.path("r1", "json").parent.iterdir()] == ["r1.json"]


def test_a_log_that_cannot_be_fetched_is_not_said_to_be_a_full_disk(records: Records) -> None:
    def cut() -> Iterator[str]:
        yield "one"
        raise ConnectionResetError("the engine restarts")

    with pytest.raises(ConnectionResetError):
        records.write_log("r1", cut())
    assert list(records.log("r1")) == []


def test_records_of_somebody_else_are_told(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    records.write(RECORD)

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(Failure, match=r"r1\.lock cannot be written .*XDG_STATE_HOME"):
        records.hold("r1")
    with pytest.raises(Failure, match=r"r1\.keeper cannot be written .*XDG_STATE_HOME"):
        records.said("r1")


def test_what_cannot_be_pruned_stays(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    records.write(RECORD)
    long_ago = NOW.timestamp() - 10**8
    os.utime(records.path("r1", "json"), (long_ago, long_ago))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    records.prune()
    assert records.read("r1") == RECORD


def test_a_record_says_whose_run_it_is(records: Records) -> None:
    records.write(replace(RECORD, owned=False))
    found = records.read("r1")
    assert found is not None
    assert not found.owned
    told = json.loads(records.path("r1", "json").read_text())
    del told["owned"]
    records.path("r1", "json").write_text(json.dumps(told))
    assert records.read("r1") == RECORD, "as earlier versions wrote it"
