"""The one file that a session's state is: whole or refused, and nothing of it leads elsewhere."""

import io
import os
import socket
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import IO, cast

import pytest
from agentenv_session import state as states
from agentenv_session.keeping import Keeper
from agentenv_session.state import BrokenStateError, Kept, State
from agentenv_session.stores import SLOTS, Store, Volume
from agentenv_session.transcript import Transcript

ENTRY = {"type": "user", "uuid": "u1", "text": "é\u2028"}


def made(session_id: str = "s1") -> State:
    transcript = Transcript(session_id, [("", ENTRY), ("helper", {"type": "x"})])
    return State("s", {"c": Kept(transcript, turns=3, cost_usd=0.5)})


def written(tmp_path: Path, workspace: Path) -> Path:
    file = tmp_path / "state.tar"
    with file.open("wb") as stream:
        assert states.write(made(), workspace, stream) == stream.tell()
    return file


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    (folder / "deep/er").mkdir(parents=True)
    (folder / "deep/er/file").write_text("x" * 100_000)
    (folder / "program").write_text("#!/bin/sh\n")
    (folder / "program").chmod(0o755)
    (folder / "away").symlink_to("/usr/bin/python3")
    (folder / "empty").mkdir()
    return folder


def test_what_is_written_is_read(tmp_path: Path, workspace: Path) -> None:
    file = written(tmp_path, workspace)
    other = tmp_path / "other"
    (other / "old").mkdir(parents=True)
    (other / "old/file").write_text("gone")
    state = states.read(file, other)
    kept = state.conversations["c"]
    assert (state.session, kept.turns, kept.cost_usd) == ("s", 3, 0.5)
    assert [*kept.transcript.lines()] == [*made().conversations["c"].transcript.lines()]
    assert (other / "deep/er/file").read_text() == "x" * 100_000
    assert stat.S_IMODE((other / "program").stat().st_mode) == 0o755
    assert (other / "away").readlink() == Path("/usr/bin/python3")
    assert {path.name for path in other.iterdir()} == {"deep", "program", "away", "empty"}


def test_sockets_and_pipes_are_left_out_and_unreadable_files_are_kept(tmp_path: Path, workspace: Path) -> None:
    os.mkfifo(workspace / "pipe")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(os.path.relpath(workspace / "door"))
        (workspace / "locked").write_text("mine")
        (workspace / "locked").chmod(0)
        file = written(tmp_path, workspace)
    other = tmp_path / "other"
    other.mkdir()
    states.read(file, other)
    assert not {"pipe", "door"} & {path.name for path in other.iterdir()}
    assert stat.S_IMODE((other / "locked").stat().st_mode) == 0


@pytest.mark.parametrize("cut", [11_000, 100_000, 120_000])
def test_a_file_that_was_cut_is_refused_before_anything_is_put_anywhere(
    tmp_path: Path, workspace: Path, cut: int
) -> None:
    file = written(tmp_path, workspace)
    file.write_bytes(file.read_bytes()[:-cut])
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine").touch()
    with pytest.raises(BrokenStateError, match="not whole"):
        states.read(file, other)
    assert [path.name for path in other.iterdir()] == ["mine"]


def test_a_changed_byte_is_refused(tmp_path: Path, workspace: Path) -> None:
    file = written(tmp_path, workspace)
    data = bytearray(file.read_bytes())
    data[data.index(b"x" * 100) + 50] = ord("y")
    file.write_bytes(data)
    with pytest.raises(BrokenStateError, match="not whole"):
        states.read(file, tmp_path / "workspace")


@pytest.mark.parametrize("name", ["workspace/../out", "workspace//etc", "workspace/./x"])
def test_a_member_that_leads_elsewhere_is_refused(
    tmp_path: Path, workspace: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "_files", lambda folder: iter([folder / "program"]))
    monkeypatch.setattr(states, "_WORKSPACE", f"{name}/")
    file = written(tmp_path, workspace)
    monkeypatch.undo()
    with pytest.raises(BrokenStateError, match="leads elsewhere"):
        states.read(file, workspace)
    assert not (tmp_path / "out").exists()


def test_folders_are_kept_however_deep_they_are(tmp_path: Path) -> None:
    folder, other = tmp_path / "w", tmp_path / "other"
    other.mkdir()
    deep = "/".join(["a"] * 1100)
    subprocess.run(["mkdir", "-p", folder / deep], check=True)
    try:
        states.fingerprint(made(), folder)
        states.read(written(tmp_path, folder), other)
        assert (other / deep).is_dir()
    finally:
        # pytest removes what is left of earlier runs by recursion.
        subprocess.run(["rm", "-rf", folder, other], check=True)


def test_a_file_of_the_far_future_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, other = tmp_path / "w", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    (folder / "late").touch()
    late = 9223372036854775807
    # Not every file system holds such a time.
    monkeypatch.setattr(Path, "lstat", lambda path: os.stat_result([*os.lstat(path)[:8], late, late]))
    file = written(tmp_path, folder)
    monkeypatch.undo()
    states.read(file, other)
    assert (other / "late").stat().st_mtime == 2**33 - 1


def test_a_save_that_fails_for_any_reason_is_told(tmp_path: Path, workspace: Path) -> None:
    told: list[str] = []

    class Broken:
        def keep(self, *_: object) -> int:
            raise RuntimeError("dictionary changed size during iteration")

    keeper = Keeper(cast(Store, Broken()), workspace, tmp_path, lambda event, _: told.append(event))
    assert not keeper.save(made())
    assert told == ["state_save_failed"]


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    source, target = tmp_path / "evil.tar", tmp_path / "w"
    target.mkdir()
    with tarfile.open(source, "w") as archive:
        link = tarfile.TarInfo("workspace/a")
        link.type, link.linkname = tarfile.SYMTYPE, str(outside)
        archive.addfile(link)
        member = tarfile.TarInfo("workspace/a/b")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    with tarfile.open(source) as archive:
        members = archive.getmembers()
        with pytest.raises(FileExistsError):
            states._extract(archive, members, target)
    assert [*outside.iterdir()] == []


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A volume as the image makes it."""
    folder = tmp_path / "volume"
    folder.mkdir()
    for name in SLOTS:
        (folder / name).touch()
    return folder


def test_only_what_has_changed_is_saved_again(tmp_path: Path, workspace: Path, volume: Path) -> None:
    told: list[str] = []
    keeper = Keeper(Volume(volume), workspace, tmp_path, lambda event, _: told.append(event))
    state = made()
    assert keeper.save(state)
    assert keeper.save(state)
    (workspace / "program").write_text("other")
    assert keeper.save(state)
    assert told == ["state_saved", "state_saved"]


def test_a_save_that_fails_leaves_the_state_before_it(
    tmp_path: Path, workspace: Path, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    keeper = Keeper(Volume(volume), workspace, tmp_path, lambda event, _: told.append(event))
    assert keeper.save(made())
    (workspace / "more").write_text("x")

    def full(_: State, __: Path, target: IO[bytes]) -> int:
        target.write(b"x" * 100_000)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(states, "write", full)
        assert not keeper.save(made())
        assert not keeper.save(made())
    assert told == ["state_saved", "state_save_failed", "state_save_failed"]
    (workspace / "more").unlink()
    again = Keeper(Volume(volume), workspace, tmp_path, lambda *_: None).load()
    assert again is not None
    assert again.conversations["c"].turns == 3


def saves(tmp_path: Path, workspace: Path, volume: Path, count: int) -> None:
    """So many, each by a container of its own."""
    for number in range(count):
        keeper = Keeper(Volume(volume), workspace, tmp_path, lambda *_: None)
        state = keeper.load() or made()
        (workspace / "count").write_text(str(number))
        assert keeper.save(state)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_last_save_is_loaded_and_nothing_is_added_to_the_volume(
    tmp_path: Path, workspace: Path, volume: Path, count: int
) -> None:
    saves(tmp_path, workspace, volume, count)
    (workspace / "count").unlink()
    Keeper(Volume(volume), workspace, tmp_path, lambda *_: None).load()
    assert (workspace / "count").read_text() == str(count - 1)
    assert {path.name for path in volume.iterdir()} == {*SLOTS}


def test_a_save_that_was_cut_leaves_the_one_before_it_which_the_next_does_not_touch(
    tmp_path: Path, workspace: Path, volume: Path
) -> None:
    saves(tmp_path, workspace, volume, 4)
    last, before = sorted((volume / name for name in SLOTS), key=states.number, reverse=True)
    os.truncate(last, last.stat().st_size - 20_000)
    kept = before.read_bytes()
    keeper = Keeper(Volume(volume), workspace, tmp_path, lambda *_: None)
    state = keeper.load()
    assert state is not None
    assert (workspace / "count").read_text() == "2"
    (workspace / "count").write_text("later")
    assert keeper.save(state)
    assert before.read_bytes() == kept
    Keeper(Volume(volume), workspace, tmp_path, lambda *_: None).load()
    assert (workspace / "count").read_text() == "later"


def test_where_neither_save_is_whole_none_is_loaded(tmp_path: Path, workspace: Path, volume: Path) -> None:
    saves(tmp_path, workspace, volume, 2)
    for name in SLOTS:
        os.truncate(volume / name, 5_000)
    with pytest.raises(BrokenStateError, match="not whole"):
        Keeper(Volume(volume), workspace, tmp_path, lambda *_: None).load()
    assert (workspace / "count").read_text() == "1"
