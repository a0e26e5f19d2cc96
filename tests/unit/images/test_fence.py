"""The programs round a fence: what they refuse, how a command ends with its fence, and whom a relay serves."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from egress_gateway import fence as gateway_fence

from components.plans import task
from tests.unit.images.programs import IMAGES, program

SIZE = 16 * 2**20
fence, forward, behind = program("fence", "fence"), program("fence", "forward"), program("session", "behind_fence")
PLAN = {
    "FORWARD_LISTEN": "127.0.0.2",
    "FORWARD_TARGET": "127.0.0.1",
    "FORWARD_FROM": "127.0.0.1",
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


@pytest.mark.parametrize("arguments", [[], ["stay"], ["hold", "stay"]])
def test_what_to_do_must_be_given(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert fence.main(arguments) == 78
    assert "must be given: hold" in said(capsys)["message"]


def test_no_rules_are_no_fence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FENCE_RULES", " \n")
    assert fence.main(["hold"]) == 78
    assert "FENCE_RULES is empty" in said(capsys)["message"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"FORWARD_LISTEN": "here"},
        {"FORWARD_TARGET": ""},
        {"FORWARD_FROM": "127.0.0.0/8"},
        {"FORWARD_PORTS": "8080,"},
    ],
)
def test_a_relay_that_is_told_nonsense_does_not_start(
    wrong: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**PLAN, **wrong}.items():
        monkeypatch.setenv(name, value)
    assert forward.main() == 78
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
    plan = forward.Forward.from_environment({**PLAN, "FORWARD_PORTS": str(port)})
    before = await asyncio.start_server(forward.Relay(plan).serve, plan.listen, port)
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


def test_a_relay_turns_everybody_away_but_the_one_it_serves(capsys: pytest.CaptureFixture[str]) -> None:
    assert asyncio.run(_relayed(asked_from("127.0.0.3"))) == b""
    line = said(capsys)
    assert (line["event"], line["peer"]) == ("turned_away", "127.0.0.3")


def test_a_session_that_does_not_answer_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    async def run() -> bytes:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        plan = forward.Forward.from_environment({**PLAN, "FORWARD_PORTS": str(port)})
        async with await asyncio.start_server(forward.Relay(plan).serve, plan.listen, port):
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
    assert behind.reach_fence(0.05) is None


def test_an_answer_of_the_sessions_own_user_is_no_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"\0fence-test-{os.getpid()}-own"
    monkeypatch.setattr(behind, "SOCKET", name)
    with listening(name):
        assert behind.reach_fence(1) is None


def test_an_answer_of_another_user_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"\0fence-test-{os.getpid()}-other"
    monkeypatch.setattr(behind, "SOCKET", name)
    monkeypatch.setattr(behind.os, "getuid", lambda: 12345)
    doors: list[socket.socket] = []
    late = threading.Timer(0.1, lambda: doors.append(listening(name)))
    late.start()
    try:
        link = behind.reach_fence(5)
        assert link is not None
        link.close()
    finally:
        late.join()
        doors[0].close()


def test_under_gvisor_a_port_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        monkeypatch.setattr(behind, "READY_PORT", door.getsockname()[1])
        link = behind.reach_fence(1, gvisor=True)
        assert link is not None
        link.close()
    assert behind.reach_fence(0.05, gvisor=True) is None


def test_all_programs_mean_the_same_door() -> None:
    assert (fence.SOCKET, fence.READY_PORT) == (behind.SOCKET, behind.READY_PORT)
    assert gateway_fence.SOCKET == fence.SOCKET


def test_a_command_gets_the_time_to_end_that_the_engine_gives() -> None:
    assert behind.STOP_SECONDS == task.STOP_TIMEOUT


STAND = """
import importlib.util, socket, sys
specification = importlib.util.spec_from_file_location("program", sys.argv[1])
program = importlib.util.module_from_spec(specification)
specification.loader.exec_module(program)
"""
HOLD = (
    STAND
    + """
program.MAX_GUESTS = 2
with socket.socket(socket.AF_UNIX) as door:
    door.bind(chr(0) + sys.argv[2])
    door.listen()
    print("stands", flush=True)
    program.stand([door])
"""
)
RUN = (
    STAND
    + """
import ctypes, os
assert ctypes.CDLL(None).prctl(38, 1, 0, 0, 0) == 0
program.SOCKET = chr(0) + sys.argv[2]
program.RESTART_SECONDS, program.STOP_SECONDS = 0.1, 0.3
real, os.getuid = os.getuid, lambda: 12345
program.main(sys.argv[3:])
"""
)


@contextmanager
def started(script: str, source: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", script, str(IMAGES / source), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def stands() -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """A fence without its rules, under an abstract name of its own."""
    name = f"fence-test-{os.getpid()}-{time.monotonic_ns()}"
    with started(HOLD, "fence/fence.py", name) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stands\n"
        yield name, process


def connected(name: str) -> socket.socket:
    one = socket.socket(socket.AF_UNIX)
    one.settimeout(5)
    one.connect(f"\0{name}")
    return one


def held(one: socket.socket) -> bool:
    one.settimeout(0.2)
    try:
        return bool(one.recv(1))
    except TimeoutError:
        return True
    except ConnectionResetError:
        return False


def test_a_fence_holds_its_guests_until_they_leave_and_takes_no_crowd(
    stands: tuple[str, "subprocess.Popen[str]"],
) -> None:
    name, process = stands
    first, second, third = (connected(name) for _ in range(3))
    assert (held(first), held(second), held(third)) == (True, True, False)
    first.close()
    # Who speaks is none of those who wait.
    second.sendall(b"x")
    assert not held(second)
    with connected(name) as fourth, connected(name) as fifth:
        assert held(fourth)
        assert held(fifth)
        process.kill()
        assert not held(fourth)
    second.close()
    third.close()


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("import time; print('runs', flush=True); time.sleep(60)", signal.SIGTERM),
        (
            "import signal, time; signal.signal(15, signal.SIG_IGN); print('runs', flush=True); time.sleep(60)",
            signal.SIGKILL,
        ),
    ],
)
def test_a_command_ends_with_its_fence(
    stands: tuple[str, "subprocess.Popen[str]"], command: str, number: signal.Signals
) -> None:
    name, holder = stands
    with started(RUN, "session/behind_fence.py", name, sys.executable, "-c", command) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "runs\n"
        assert process.poll() is None
        holder.kill()
        assert process.wait(10) == -number
        assert json.loads(process.stdout.readline())["event"] == "fence_gone"


@pytest.mark.parametrize("code", [0, 7])
def test_a_command_that_ends_by_itself_takes_its_watcher_with_it(
    stands: tuple[str, "subprocess.Popen[str]"], code: int
) -> None:
    name, _ = stands
    script = f"import os, sys; print(os.getpid(), flush=True); sys.exit({code})"
    with started(RUN, "session/behind_fence.py", name, sys.executable, "-c", script) as process:
        assert process.stdout is not None
        # The process that was started is the command, has no children, and its exit code is the command's.
        assert int(process.stdout.readline()) == process.pid
        assert process.wait(10) == code
        # The watcher has the same output: its end is seen once it is gone.
        assert process.stdout.read() == ""


SOCKETS = """
import ctypes, errno, os, socket
def outcome(attempt):
    try: attempt()
    except OSError as error: return errno.errorcode[error.errno]
    return "opened"
def io_uring():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(425, 1, ctypes.create_string_buffer(120)) < 0: raise OSError(ctypes.get_errno(), "")
def other():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(ctypes.c_long(0x40000000 + 41), 2, 1, 0) < 0: raise OSError(ctypes.get_errno(), "")
print(*(outcome(lambda: socket.socket(family, kind).close()) for family in (40, 2, 10, 1) for kind in (1, 2)))
print(outcome(lambda: socket.socketpair()), outcome(io_uring), outcome(other))
"""


def test_no_socket_leads_past_the_network(stands: tuple[str, "subprocess.Popen[str]"]) -> None:
    name, _ = stands
    with started(RUN, "session/behind_fence.py", name, sys.executable, "-c", SOCKETS) as process:
        assert process.communicate(timeout=20)[0].splitlines() == [
            "EPERM EPERM opened opened opened opened opened opened",
            "opened ENOSYS ENOSYS",
        ]


def test_a_machine_that_the_filter_does_not_know_runs_nothing() -> None:
    with pytest.raises(KeyError):
        behind.refuse_vsock("riscv64")


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
    monkeypatch.setattr(behind, "reach_fence", lambda seconds, gvisor: socket.socket())
    monkeypatch.setattr(behind, "watch", lambda fence: fence.close())
    monkeypatch.setattr(behind, "refuse_vsock", lambda machine: None)
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
    monkeypatch.setattr(behind, "reach_fence", lambda seconds, gvisor: None)
    code, line = ended(capsys, ["true"])
    assert (code, line["event"]) == (78, "no_fence")
