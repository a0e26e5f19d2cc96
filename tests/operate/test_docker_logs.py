"""What a container wrote: whole lines, and whole logs, whatever the engine does meanwhile."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import DockerException, NotFound
from docker.types import CancellableStream
from urllib3.exceptions import ProtocolError

from operate import docker_logs, engine
from operate.docker_logs import lines
from operate.failures import Exit
from operate.records import Records
from operate.runs import Order
from tests.operate.docker_stack import RESULT, backend, container, quiet, refused, started
from tests.operate.fake_engine import FakeContainer, FakeEngine

pytestmark = pytest.mark.usefixtures("left")


def test_a_log_goes_on_where_the_engine_breaks_off(fake: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.output, fake.errors = b"one\ntwo\nthree", b"warning"
    runs, info = started(fake, Order("own"))
    whole = FakeContainer.logs

    def logs(self: FakeContainer, stdout: bool, stderr: bool, stream: bool, follow: bool) -> Any:
        if follow:
            self.end()
        return iter([b"on", b"e\r\ntw"]) if follow else whole(self, stdout, stderr, stream, follow)

    monkeypatch.setattr(FakeContainer, "logs", logs)
    assert list(runs.lines(info, follow=True)) == ["one", "two", "three", "warning"]


def test_a_log_goes_on_in_the_record_when_the_container_is_removed(
    fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.output, fake.errors = b"one\ntwo\nthree", b"warning"
    runs, info = started(fake, Order("own"))
    whole = FakeContainer.logs
    runs.wait(info, quiet)
    again, info = backend(fake), runs.start(Order("own"), quiet)

    def logs(self: FakeContainer, stdout: bool, stderr: bool, stream: bool, follow: bool) -> Any:
        if not follow:
            monkeypatch.setattr(FakeContainer, "logs", whole)
            runs.wait(info, quiet)
            raise NotFound("404", explanation="no such container")
        self.end()
        return iter([b"one\n"])

    monkeypatch.setattr(FakeContainer, "logs", logs)
    assert list(again.lines(info, follow=True)) == ["one", "two", "three", "warning"]
    assert fake.networks_by_name == {}


def test_lines_are_whole_however_they_are_cut() -> None:
    text = b"a\nbb\n\nccc" + b"\xff" + b"d" * 3 * 1024 * 1024
    for size in (1024, 16 * 1024, 10**7):
        found = list(lines(text[at : at + size] for at in range(0, len(text), size)))
        assert found[:3] == ["a", "bb", ""]
        assert "".join(found[3:]) == "ccc\ufffd" + "d" * 3 * 1024 * 1024
        assert max(map(len, found)) <= 1024 * 1024


def cut() -> Iterator[bytes]:
    """What the SDK gives while the engine restarts."""
    yield b"one\ntw"
    raise ProtocolError("Connection broken")


def stream(pieces: Iterator[bytes]) -> Any:
    """The SDK's own, which takes whatever breaks off for the end."""
    answered: Any = SimpleNamespace(raw=SimpleNamespace(closed=True))
    return CancellableStream(pieces, answered)


def test_a_log_that_was_cut_is_never_taken_for_the_whole(
    fake: FakeEngine, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, info = started(fake, Order("desk", "go"))
    container(fake, info).end()
    with monkeypatch.context() as patch:
        patch.setattr(FakeContainer, "logs", lambda *_, **__: stream(cut()))
        patch.setattr(engine, "PATIENCE_SECONDS", -1)
        refused(lambda: runs.wait(info, quiet), "broke the log .* off", Exit.UNREACHABLE)
    record = records.read(info.id)
    assert record is not None
    assert not record.ended, "whoever comes next finds all of it"
    assert f"agentenv-run-{info.id}-session" in fake.containers_by_name
    assert runs.result(runs.wait(info, quiet)) == RESULT


def test_an_end_is_collected_after_a_restart_of_the_engine(fake: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "PAUSE_SECONDS", 0)
    runs, info = started(fake, Order("desk", "go"))
    whole, cuts = FakeContainer.logs, [cut(), cut()]

    def logs(self: FakeContainer, stdout: bool, stderr: bool, stream: bool, follow: bool) -> Any:
        return cutting(cuts.pop()) if cuts else whole(self, stdout, stderr, stream, follow)

    def cutting(pieces: Iterator[bytes]) -> Any:
        return stream(pieces)

    monkeypatch.setattr(FakeContainer, "logs", logs)
    assert runs.result(runs.wait(info, quiet)) == RESULT
    assert cuts == []


def test_a_container_that_is_removed_while_it_is_read_is_told(
    fake: FakeEngine, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, info = started(fake, Order("desk", "go"))
    container(fake, info).end()

    def gone(*_: object, **__: object) -> None:
        raise NotFound("404", explanation="no such container")

    with monkeypatch.context() as patch:
        patch.setattr(FakeContainer, "logs", gone)
        runs._release(info.id)
        assert [one.id for one in backend(fake).list("desk")] == [info.id]
        assert runs.wait(info, quiet).reason == "its container was removed by somebody else"


def test_a_log_that_is_followed_goes_on_after_a_restart_of_the_engine(
    fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_logs, "AGAIN_SECONDS", 0)
    monkeypatch.setattr(engine, "PAUSE_SECONDS", 0)
    fake.output = b"one\ntwo\nthree"
    runs, info = started(fake, Order("own"))
    whole, away, followed = FakeContainer.logs, [ConnectionResetError(), DockerException()], 0

    def logs(self: FakeContainer, stdout: bool, stderr: bool, stream: bool, follow: bool) -> Any:
        nonlocal followed
        followed += follow
        return broken() if follow and followed == 1 else whole(self, stdout, stderr, stream, follow)

    def broken() -> Any:
        return stream(cut())

    def reload(self: FakeContainer) -> None:
        if away:
            raise away.pop()

    monkeypatch.setattr(FakeContainer, "logs", logs)
    monkeypatch.setattr(FakeContainer, "reload", reload)
    assert list(runs.lines(info, follow=True)) == ["one", "two", "three"]
    assert (followed, away) == (2, [])


def test_a_log_that_ends_while_its_container_runs_is_followed_again(
    fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_logs, "AGAIN_SECONDS", 0)
    fake.output = b"one\ntwo\n"
    runs, info = started(fake, Order("own"))
    whole, quits = FakeContainer.logs, [b"one\n", b""]

    def logs(self: FakeContainer, stdout: bool, stderr: bool, stream: bool, follow: bool) -> Any:
        return iter([quits.pop()]) if follow and quits else whole(self, stdout, stderr, stream, follow)

    monkeypatch.setattr(FakeContainer, "logs", logs)
    assert list(runs.lines(info, follow=True)) == ["one", "two"]
    assert quits == []
