"""What an agent has closed to itself, or given a name that is no text, is kept all the same."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from agentenv_session import state as states
from agentenv_session.state import State

NOBODY = 65534


@contextmanager
def ordinary(folder: Path) -> Iterator[None]:
    """As a user to whom rights apply, who owns `folder`; in a process of root's, as nobody."""
    if os.geteuid():
        yield
        return
    # pytest closes its folders to everybody else; parallel runs have one level more.
    for path in (folder, *folder.parents):
        if path.stat().st_uid == 0 and not path.stat().st_mode & 0o001:
            path.chmod(0o711)
    os.chown(folder, NOBODY, NOBODY)
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.mark.parametrize("mode", [0o000, 0o200, 0o400, 0o500])
def test_a_folder_that_is_closed_is_kept_with_what_is_in_it(tmp_path: Path, mode: int) -> None:
    with ordinary(tmp_path):
        source, target, file = tmp_path / "w", tmp_path / "other", tmp_path / "state.tar"
        (source / "closed/deep").mkdir(parents=True)
        (source / "closed/deep/file").write_text("mine")
        (source / "closed/deep/file").chmod(0)
        (source / "closed").chmod(mode)
        target.mkdir()
        before = states.fingerprint(State("s"), source)
        with file.open("wb") as stream:
            states.write(State("s"), source, stream)
        states.read(file, target)
        assert before
        for folder in (source, target):
            assert stat.S_IMODE((folder / "closed").stat().st_mode) == mode
            (folder / "closed").chmod(0o700)
        assert stat.S_IMODE((target / "closed/deep/file").stat().st_mode) == 0
        (target / "closed/deep/file").chmod(0o600)
        assert (target / "closed/deep/file").read_text() == "mine"


@pytest.mark.parametrize("name", [b"no-\xff-text", b"two\nlines", b" ", b"x" * 255, "\u00e9\u2028".encode()])
def test_any_name_is_kept(tmp_path: Path, name: bytes) -> None:
    source, target, file = tmp_path / "w", tmp_path / "other", tmp_path / "state.tar"
    source.mkdir()
    target.mkdir()
    path = source / os.fsdecode(name)
    path.write_text("content")
    (source / "link").symlink_to(path.name)
    with file.open("wb") as stream:
        states.write(State("s"), source, stream)
    states.read(file, target)
    assert (target / path.name).read_text() == "content"
    assert (target / "link").read_text() == "content"
