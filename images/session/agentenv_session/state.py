"""What is kept of conversations: one file with the transcripts and the work folder, written as a whole or not at all.

It is a tar: `state.json` first, then `transcripts/ID.jsonl`, then `workspace/...`, and last `complete` with the SHA-256
of every byte before it. A file without its last member, or with another hash, is refused.
"""

import hashlib
import io
import json
import os
import shutil
import stat
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from agentenv_session.events import now
from agentenv_session.transcript import Transcript

VERSION = 1
_HEAD, _TRANSCRIPTS, _WORKSPACE, _COMPLETE = "state.json", "transcripts/", "workspace/", "complete"
_CHUNK = 1024 * 1024
_MOST_HEAD = 16 * 1024 * 1024
_LAST_TIME = 2**33 - 1

_UNREADABLE = (
    tarfile.TarError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)


class BrokenStateError(Exception):
    """A kept state cannot be used; one line that says why."""


@dataclass
class Kept:
    """One conversation.

    Attributes:
        transcript: All that was said.
        turns: Requests of the agent loop so far.
        cost_usd: What they cost.
    """

    transcript: Transcript
    turns: int = 0
    cost_usd: float = 0.0


@dataclass
class State:
    """All that is kept of a session.

    Attributes:
        session: Name of the session.
        conversations: By their ids.
        number: How often it was saved.
    """

    session: str
    conversations: dict[str, Kept] = field(default_factory=dict)
    number: int = 0

    def copy(self) -> "State":
        """As it is now: a thread saves it while the conversations go on."""
        kept = {name: replace(one, transcript=one.transcript.copy()) for name, one in self.conversations.items()}
        return replace(self, conversations=kept)


def write(state: State, workspace: Path, target: IO[bytes]) -> int:
    """Write `state` and the files of `workspace`.

    Sockets, pipes and devices are left out, symbolic links are kept as they are; a file that shrinks meanwhile is
    filled up with zeros.

    Returns:
        Bytes written.

    Raises:
        OSError: a file cannot be read, or `target` not be written.
    """
    hashing = _Hashing(target)
    # Not as a stream of tarfile's ("w|"), which would hold back bytes that are to be hashed.
    with tarfile.open(fileobj=hashing, mode="w", format=tarfile.PAX_FORMAT) as archive:
        head = {
            "version": VERSION,
            "session": state.session,
            "saved": now(),
            "number": state.number,
            "conversations": {
                name: {"session_id": kept.transcript.session_id, "turns": kept.turns, "cost_usd": kept.cost_usd}
                for name, kept in state.conversations.items()
            },
        }
        _add_bytes(archive, _HEAD, json.dumps(head).encode())
        for kept in state.conversations.values():
            text = "".join(kept.transcript.lines())
            _add_bytes(archive, f"{_TRANSCRIPTS}{kept.transcript.session_id}.jsonl", text.encode())
        for path in _files(workspace):
            _add_file(archive, path, _WORKSPACE + path.relative_to(workspace).as_posix())
        _add_bytes(archive, _COMPLETE, hashing.hexdigest().encode())
    return hashing.written


def read(source: Path, workspace: Path) -> State:
    """Read what :func:`write` wrote, and put the files into `workspace`, whose own content goes.

    Raises:
        BrokenStateError: it is not whole, or not of this kind; nothing has been put anywhere.
        OSError: a file cannot be written.
    """
    _verify(source)
    try:
        with tarfile.open(source, mode="r:") as archive:
            members = archive.getmembers()
            head = _head(archive, members[0] if members else None)
            if head.get("version") != VERSION:
                raise BrokenStateError(
                    f"the kept state has version {head.get('version')!r}, and this image reads version {VERSION}. "
                    "Fix: use the image that wrote it, or begin a new conversation."
                )
            state = State(head["session"], _conversations(archive, head["conversations"]), int(head.get("number", 0)))
            inner = [member for member in members if member.name.startswith(_WORKSPACE)]
            for member in inner:
                _check_name(member)
            _empty(workspace)
            _extract(archive, inner, workspace)
    except _UNREADABLE as error:
        raise BrokenStateError(f"the kept state cannot be read ({error!r}). Fix: begin a new conversation.") from None
    return state


def number(source: Path) -> int:
    """Which save a file says that it is; -1 for one that does not say."""
    try:
        with tarfile.open(source, mode="r:") as archive:
            return int(_head(archive, archive.next()).get("number", 0))
    except (BrokenStateError, OSError, *_UNREADABLE):
        return -1


def fingerprint(state: State, workspace: Path) -> str:
    """Equal as long as nothing that is kept has changed: counts of entries, and size, times and mode of each file."""
    digest = hashlib.sha256()
    for name, kept in sorted(state.conversations.items()):
        digest.update(f"{name}\0{kept.transcript.session_id}\0{kept.transcript.changes}\0".encode())
    for path in _files(workspace):
        with suppress(FileNotFoundError):
            about = path.lstat()
            digest.update(os.fsencode(path) + f"\0{about.st_mode}\0{about.st_size}\0{about.st_mtime_ns}\0".encode())
            digest.update(f"{about.st_ctime_ns}\0{about.st_ino}\0".encode())
    return digest.hexdigest()


class _Hashing(io.RawIOBase):
    """Passes bytes on, and knows their hash."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target, self._digest, self.written = target, hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.written

    def write(self, data: Any) -> int:
        self._digest.update(data)
        self._target.write(data)
        self.written += len(data)
        return len(data)

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(content), 0o600, int(time.time())
    archive.addfile(member, io.BytesIO(content))


def _add_file(archive: tarfile.TarFile, path: Path, name: str) -> None:
    try:
        about = path.lstat()
        if not (stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode) or stat.S_ISLNK(about.st_mode)):
            return
        member = tarfile.TarInfo(name)
        member.mode, member.mtime = stat.S_IMODE(about.st_mode) & 0o777, _time(about.st_mtime)
        if stat.S_ISDIR(about.st_mode):
            member.type = tarfile.DIRTYPE
            archive.addfile(member)
        elif stat.S_ISLNK(about.st_mode):
            member.type, member.linkname = tarfile.SYMTYPE, str(path.readlink())
            archive.addfile(member)
        else:
            with _opened(path, about.st_mode) as stream:
                member.size = os.fstat(stream.fileno()).st_size
                archive.addfile(member, _Filled(stream, member.size))
    except FileNotFoundError:
        # Gone since it was listed.
        return


def _time(told: float) -> int:
    """A time as far as every file system takes it: an agent dates its files as it likes."""
    return int(min(max(told, 0), _LAST_TIME))


def _opened(path: Path, mode: int) -> IO[bytes]:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.fdopen(os.open(path, flags), "rb")
    except PermissionError:
        # The agent's own file, which it has taken its own right to read from.
        path.chmod(stat.S_IMODE(mode) | stat.S_IRUSR)
        try:
            return os.fdopen(os.open(path, flags), "rb")
        finally:
            path.chmod(stat.S_IMODE(mode))


class _Filled:
    """Reads exactly so many bytes, zeros where the file has become shorter."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream, self._left = stream, size

    def read(self, count: int = -1) -> bytes:
        wanted = self._left if count < 0 else min(count, self._left)
        data = self._stream.read(wanted)
        self._left -= wanted
        return data + bytes(wanted - len(data))


def _files(folder: Path) -> Iterator[Path]:
    """Everything below `folder`, a folder before what is in it; a link is not followed."""
    # No recursion: an agent makes folders as deep as it likes.
    opened = [_Folder(folder)]
    try:
        while opened:
            entry = next(opened[-1].entries, None)
            if entry is None:
                opened.pop().close()
                continue
            path = Path(entry.path)
            yield path
            if entry.is_dir(follow_symlinks=False):
                opened.append(_Folder(path))
    finally:
        while opened:
            opened.pop().close()


class _Folder:
    """What is in a folder, in the order of its names; nothing where it is gone since it was listed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mode: int | None = None
        self.entries: Iterator[os.DirEntry[str]] = iter(())
        with suppress(FileNotFoundError):
            about = folder.lstat()
            mode, needed = stat.S_IMODE(about.st_mode), stat.S_IRUSR | stat.S_IXUSR
            # The agent's own folder, which it has taken its own rights from.
            if about.st_uid == os.geteuid() and mode & needed != needed:
                folder.chmod(mode | stat.S_IRWXU)
                self._mode = mode
            try:
                with os.scandir(folder) as entries:
                    self.entries = iter(sorted(entries, key=lambda entry: entry.name))
            except OSError:
                self.close()
                raise

    def close(self) -> None:
        """Give it the rights that it had."""
        if self._mode is not None:
            with suppress(FileNotFoundError):
                self._folder.chmod(self._mode)


def _verify(source: Path) -> None:
    """Refuse a file that is not the whole of what was written."""
    problem = "the kept state is not whole. Fix: begin a new conversation."
    try:
        with tarfile.open(source, mode="r:") as archive:
            last = None
            for member in archive:
                last = member
            if last is None or last.name != _COMPLETE or last.size != hashlib.sha256().digest_size * 2:
                raise BrokenStateError(problem)
            wanted = _content(archive, last).decode("ascii", "replace")
        digest, left = hashlib.sha256(), last.offset
        with source.open("rb") as stream:
            while left and (data := stream.read(min(_CHUNK, left))):
                digest.update(data)
                left -= len(data)
    except tarfile.TarError:
        raise BrokenStateError(problem) from None
    if digest.hexdigest() != wanted:
        raise BrokenStateError(problem)


def _head(archive: tarfile.TarFile, first: tarfile.TarInfo | None) -> dict[str, Any]:
    if first is None or first.name != _HEAD or first.size > _MOST_HEAD:
        raise BrokenStateError("the kept state does not begin with its table. Fix: begin a new conversation.")
    found = json.loads(_content(archive, first))
    if not isinstance(found, dict):
        raise TypeError("its table is none")
    return found


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    if stream is None:
        raise BrokenStateError(f"the kept state has no content of {member.name}. Fix: begin a new conversation.")
    return stream.read()


def _conversations(archive: tarfile.TarFile, told: Mapping[str, Mapping[str, Any]]) -> dict[str, Kept]:
    found = {}
    for name, about in told.items():
        member = archive.getmember(f"{_TRANSCRIPTS}{about['session_id']}.jsonl")
        lines = _content(archive, member).decode().splitlines()
        transcript = Transcript.read(about["session_id"], lines)
        found[name] = Kept(transcript, int(about["turns"]), float(about["cost_usd"]))
    return found


def _check_name(member: tarfile.TarInfo) -> None:
    parts = member.name.split("/")
    if {"", ".", ".."} & {*parts} or not (member.isfile() or member.isdir() or member.issym()):
        raise BrokenStateError(
            f"the kept state has a member {member.name!r} that leads elsewhere. Fix: begin a new conversation."
        )


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _extract(archive: tarfile.TarFile, members: list[tarfile.TarInfo], workspace: Path) -> None:
    """Files and folders first, links last: so nothing is ever written through a link."""
    places = [(member, workspace / member.name.removeprefix(_WORKSPACE)) for member in members]
    for member, path in places:
        if member.isdir():
            path.mkdir(parents=True, exist_ok=True)
        elif member.isfile():
            path.parent.mkdir(parents=True, exist_ok=True)
            stream = archive.extractfile(member)
            with path.open("xb") as target:
                if stream is not None:
                    shutil.copyfileobj(stream, target, _CHUNK)
            os.utime(path, (_time(member.mtime), _time(member.mtime)))
            path.chmod(member.mode & 0o777)
    for member, path in places:
        if member.issym():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(member.linkname)
    for member, path in reversed(places):
        if member.isdir():
            path.chmod(member.mode & 0o777)
