"""The programs round a fence: what they refuse, and that a relay turns the session's own side away."""

import asyncio
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.images.programs import program

SIZE = 16 * 2**20
fence, behind = program("fence", "fence"), program("session", "behind_fence")
PLAN = {
    "FORWARD_LISTEN": "127.0.0.2",
    "FORWARD_TARGET": "127.0.0.1",
    "FORWARD_REFUSE": "127.9.0.0/16",
    "FORWARD_PORTS": "8080",
}


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """The program takes the signals of its process, which here is everybody's."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    return dict(json.loads(lines[0]))


@pytest.mark.parametrize("arguments", [[], ["stay"], ["hold", "forward"]])
def test_what_to_do_must_be_given(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert fence.main(arguments) == 78
    assert "hold or forward" in said(capsys)["message"]


def test_no_rules_are_no_fence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FENCE_RULES", " \n")
    assert fence.main(["hold"]) == 78
    assert "FENCE_RULES is empty" in said(capsys)["message"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"FORWARD_LISTEN": "here"},
        {"FORWARD_TARGET": ""},
        {"FORWARD_REFUSE": "127.9.0.1/16"},
        {"FORWARD_PORTS": "8080,"},
        {"FORWARD_LISTEN": "127.9.0.2"},
    ],
)
def test_a_relay_that_is_told_nonsense_does_not_start(
    wrong: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**PLAN, **wrong}.items():
        monkeypatch.setenv(name, value)
    assert fence.main(["forward"]) == 78
    assert "FORWARD_" in said(capsys)["message"]


def test_capabilities_are_read_from_the_kernel() -> None:
    status = Path("/proc/self/status").read_text()
    effective = next(line for line in status.splitlines() if line.startswith("CapEff"))
    assert fence.capabilities() & int(effective.split()[1], 16) == int(effective.split()[1], 16)


def test_a_capability_that_is_left_stops_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fence.os, "getuid", lambda: 65534)
    monkeypatch.setattr(fence, "capabilities", lambda: 1 << 12)
    with pytest.raises(fence.Refused, match="capabilities are left: 0x1000"):
        fence.become_nobody()


async def _relayed(ask: Callable[[int], Any]) -> Any:
    """What `ask`, told the relay's port, gets of an upstream that answers in capitals."""

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        writer.close()

    behind_it = await asyncio.start_server(upstream, "127.0.0.1", 0)
    port = behind_it.sockets[0].getsockname()[1]
    plan = fence.Forward.from_environment({**PLAN, "FORWARD_PORTS": str(port)})
    before = await asyncio.start_server(fence.Relay(plan).serve, plan.listen, port)
    async with behind_it, before:
        return await asyncio.to_thread(ask, port)


def asked_from(source: str) -> Callable[[int], bytes]:
    def ask(port: int) -> bytes:
        with socket.create_connection(("127.0.0.2", port), 5, source_address=(source, 0)) as one:
            try:
                one.sendall(b"hello")
                one.shutdown(socket.SHUT_WR)
                return one.recv(64)
            except OSError:
                return b""

    return ask


def test_a_relay_passes_both_directions_and_their_ends() -> None:
    assert asyncio.run(_relayed(asked_from("127.0.0.1"))) == b"HELLO"


def test_a_relay_passes_every_byte_to_a_slow_reader() -> None:
    def send(one: socket.socket) -> None:
        one.sendall(b"x" * SIZE)
        one.shutdown(socket.SHUT_WR)

    def ask(port: int) -> int:
        with socket.socket() as one:
            # Small buffers, so that the relay waits for the reader to the very end.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            one.connect(("127.0.0.2", port))
            sender = threading.Thread(target=send, args=[one])
            sender.start()
            count = 0
            while data := one.recv(65536):
                count += len(data)
                time.sleep(0.001)
            sender.join()
            return count

    assert asyncio.run(_relayed(ask)) == SIZE


def test_a_relay_turns_the_sessions_side_away(capsys: pytest.CaptureFixture[str]) -> None:
    assert asyncio.run(_relayed(asked_from("127.9.0.4"))) == b""
    line = said(capsys)
    assert (line["event"], line["peer"]) == ("turned_away", "127.9.0.4")


def test_a_session_that_does_not_answer_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    async def run() -> bytes:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        plan = fence.Forward.from_environment({**PLAN, "FORWARD_PORTS": str(port)})
        async with await asyncio.start_server(fence.Relay(plan).serve, plan.listen, port):
            return await asyncio.to_thread(asked_from("127.0.0.1"), port)

    assert asyncio.run(run()) == b""
    assert said(capsys)["event"] == "session_does_not_answer"


def listening(name: str) -> socket.socket:
    door = socket.socket(socket.AF_UNIX)
    door.bind(name)
    door.listen()
    return door


def test_no_answer_is_no_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(behind, "SOCKET", f"\0fence-test-{os.getpid()}-none")
    assert behind.wait_for_fence(0.05) is False


def test_an_answer_of_the_sessions_own_user_is_no_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"\0fence-test-{os.getpid()}-own"
    monkeypatch.setattr(behind, "SOCKET", name)
    with listening(name):
        assert behind.wait_for_fence(1) is False


def test_an_answer_of_another_user_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"\0fence-test-{os.getpid()}-other"
    monkeypatch.setattr(behind, "SOCKET", name)
    monkeypatch.setattr(behind.os, "getuid", lambda: 12345)
    doors: list[socket.socket] = []
    late = threading.Timer(0.1, lambda: doors.append(listening(name)))
    late.start()
    try:
        assert behind.wait_for_fence(5) is True
    finally:
        late.join()
        doors[0].close()


def test_under_gvisor_a_port_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        monkeypatch.setattr(behind, "READY_PORT", door.getsockname()[1])
        assert behind.wait_for_fence(1, gvisor=True) is True
    assert behind.wait_for_fence(0.05, gvisor=True) is False


def test_both_programs_mean_the_same_door() -> None:
    assert (fence.SOCKET, fence.READY_PORT) == (behind.SOCKET, behind.READY_PORT)


def test_secrets_become_variables_without_their_last_line_break(tmp_path: Path) -> None:
    (tmp_path / "TOKEN").write_text("abc\n")
    (tmp_path / "TWO").write_text("a\nb\n\n")
    (tmp_path / "folder").mkdir()
    assert behind.secrets(tmp_path) == {"TOKEN": "abc", "TWO": "a\nb\n"}
    assert behind.secrets(tmp_path / "none") == {}


def ended(capsys: pytest.CaptureFixture[str], command: list[str]) -> tuple[int, dict[str, Any]]:
    with pytest.raises(SystemExit) as caught:
        behind.main(command)
    assert isinstance(caught.value.code, int)
    return caught.value.code, said(capsys)


def test_what_cannot_be_run_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(behind, "wait_for_fence", lambda seconds, gvisor: True)
    monkeypatch.setattr(behind, "SECRETS", tmp_path)
    assert ended(capsys, [])[0] == 78
    code, line = ended(capsys, ["no-such-program"])
    assert (code, line["event"]) == (127, "command_not_found")
    assert ended(capsys, [str(tmp_path)])[0] == 126
    (tmp_path / "TOKEN").write_bytes(b"\xff\xfe")
    code, line = ended(capsys, [sys.executable])
    assert (code, line["event"]) == (78, "secret_unreadable")
    assert "TOKEN is not text" in line["message"]
    assert "0xff" not in line["message"]


def test_without_a_fence_nothing_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(behind, "wait_for_fence", lambda seconds, gvisor: False)
    code, line = ended(capsys, ["true"])
    assert (code, line["event"]) == (78, "no_fence")
