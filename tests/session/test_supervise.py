"""The supervisor of several agents: what it may do, and what it takes from them."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agentenv_session import keeper, supervise
from agentenv_session.child import Child
from agentenv_session.layout import Layout
from agentenv_session.member import Member
from agentenv_session.settings import AgentSettings, Declaration, Task

from tests.session.box import PROGRAM

# Capabilities 6 and 7, SETGID and SETUID, are what a supervisor has. Version 3 of capset takes two words of each set.
WITH_LITTLE = f"""
import ctypes, sys
from pathlib import Path
sys.path.insert(0, {str(PROGRAM.parent)!r})
from agentenv_session.supervise import set_mode
libc, left = ctypes.CDLL(None, use_errno=True), 1 << 6 | 1 << 7
assert not libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(left, left)), ctypes.get_errno()
for mode in (0o1777, 0o755):
    set_mode(Path(sys.argv[1]), mode)
    print(oct(Path(sys.argv[1]).stat().st_mode & 0o7777))
Path(sys.argv[1]).chmod(0o700)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities that it can put down")
@pytest.mark.parametrize(("owner", "can"), [(0, True), (10001, False)])
def test_a_supervisor_changes_the_mode_of_a_volume_whoever_owns_it(tmp_path: Path, owner: int, can: bool) -> None:
    folder = tmp_path / "volume"
    folder.mkdir()
    os.chown(folder, owner, owner)
    tmp_path.chmod(0o711)
    done = subprocess.run(
        [sys.executable, "-I", "-c", WITH_LITTLE, folder.name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["0o1777", "0o755"], done.stderr
    # Without what is tested, it may only where it is the owner.
    assert (done.returncode == 0, "PermissionError" in done.stderr) == (can, not can)
    assert stat.S_IMODE(folder.stat().st_mode) == (0o700 if can else 0o755)


TWO = (AgentSettings("a", "m"), AgentSettings("b", "m"))
Told = list[tuple[str, dict[str, Any]]]
# Ends well with a result, as an agent does.
WELL = """
text = json.dumps({"agents": [{"outcome": "success", "text": "fine"}]})
say("result_part", part=0, parts=1, text=text)
"""
AGENT = """
import json, os, signal, subprocess, sys, time
def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)
print("ready", flush=True)
said = sys.stdin.readline()
if said != "go\\n":
    sys.exit(143)
"""


class Scene:
    """A supervisor, and keepers that do what a test says; all of them are of the user who runs the tests."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.layout = Layout(folder)
        for parent in (self.layout.workspace, self.layout.home, self.layout.scratch):
            parent.mkdir(parents=True)
        self.program = folder / "keeper.py"
        self.starts = 0
        monkeypatch.setattr(supervise, "PROGRAM", self.program)
        start = Child.start

        async def as_oneself(command: list[str], **how: Any) -> Child:
            for name in ("user", "group", "extra_groups"):
                del how[name]
            self.starts += 1
            return await start(command, **how)

        monkeypatch.setattr(Child, "start", as_oneself)

    def run(
        self, *, a: str, b: str = WELL, pattern: str = "single_container", when: Callable[[str], bool] | None = None
    ) -> tuple[int, Told]:
        """Run two agents; stop them at the first event for which `when` is true."""
        self.program.write_text(f"{AGENT}\nif sys.argv[2] == 'b':\n{indented(b)}\nelse:\n{indented(a)}\n")
        told: Told = []

        def emit(event: str, fields: Any) -> None:
            told.append((event, dict(fields)))
            if when is not None and when(event) and not any(name == "stopping" for name, _ in told):
                os.kill(os.getpid(), signal.SIGTERM)

        declaration = Declaration("s", "e", pattern, TWO)
        return supervise.main(declaration, Task(prompts=("x",)), dict(os.environ), self.layout, emit), told


def indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.strip().splitlines())


def outcomes(told: Told) -> dict[str, str]:
    result = json.loads("".join(fields["text"] for event, fields in told if event == "result_part"))
    return {agent["name"]: agent["outcome"] for agent in result["agents"]}


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(tmp_path / "root", monkeypatch)


@pytest.mark.parametrize(
    "line", ["[1]", '{"event":"x","of":' + "[" * 900 + "]" * 900 + "}"], ids=["no object", "as deep as can be read"]
)
def test_what_one_agent_says_ends_no_other(scene: Scene, line: str) -> None:
    code, told = scene.run(a=f"print({line!r}, flush=True)\n{WELL}")
    assert (code, outcomes(told)) == (0, {"a": "success", "b": "success"})


def test_an_agent_whose_lines_cannot_be_told_crashes_alone(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    said = Member.said

    def failing(self: Member, text: bytes, emit: Any) -> None:
        if self.name == "a":
            raise MemoryError
        said(self, text, emit)

    monkeypatch.setattr(Member, "said", failing)
    code, told = scene.run(a="say('x'); sys.stdin.readline()")
    assert (code, outcomes(told)) == (70, {"a": "crash", "b": "success"})


# Holds the output of its keeper open, in a session of its own, for longer than a test may take.
HOLDING = "print(subprocess.Popen(['sleep', '600'], start_new_session=True).pid, flush=True)"


@pytest.mark.parametrize(
    ("end", "outcome"), [(WELL, "success"), ("os.kill(os.getpid(), signal.SIGKILL)", "crash")], ids=["ends", "killed"]
)
def test_what_outlives_its_keeper_and_holds_its_output_holds_up_nobody(scene: Scene, end: str, outcome: str) -> None:
    code, told = scene.run(a=f"{HOLDING}\n{end}")
    (pid,) = (int(fields["text"]) for event, fields in told if event == "output")
    os.kill(pid, signal.SIGKILL)
    assert (code, outcomes(told)) == (0 if outcome == "success" else 70, {"a": outcome, "b": "success"})


def test_a_keeper_that_does_not_end_is_not_waited_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "STOP_SECONDS", 0.5)
    code, told = scene.run(a="print(os.getpid(), flush=True)\ntime.sleep(600)", when="output".__eq__)
    (pid,) = (int(fields["text"]) for event, fields in told if event == "output")
    os.kill(pid, signal.SIGKILL)
    assert (code, outcomes(told)["a"]) == (70, "crash")


def test_agents_that_are_stopped_before_they_begin_are_stopped(scene: Scene) -> None:
    code, told = scene.run(a="say('begun')", b="say('begun')", when="session_started".__eq__)
    assert (code, outcomes(told)) == (143, {"a": "stopped", "b": "stopped"})
    assert "begun" not in {event for event, _ in told}


def test_a_service_that_is_stopped_in_the_pause_before_another_start_is_stopped(scene: Scene) -> None:
    code, told = scene.run(a="sys.exit(70)", b="sys.stdin.readline()", pattern="long_running", when="error".__eq__)
    assert (code, scene.starts) == (143, 2)
    assert told[-1] == ("session_ended", {"outcome": "stopped", "exit_code": 143})


# Puts down every capability, as a keeper must have; then keeps a program that leaves something behind.
KEEPING = f"""
import ctypes, sys
from pathlib import Path
sys.path.insert(0, {str(PROGRAM.parent)!r})
from agentenv_session import keeper
ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())
sys.exit(keeper.main([sys.executable, "-c", "print('begun')"], [Path(sys.argv[1])], None, None))
"""


@pytest.mark.parametrize(("word", "code", "said"), [(b"", 143, b""), (b"no\n", 78, b""), (keeper.GO, 0, b"begun\n")])
def test_a_keeper_starts_its_agent_when_it_is_told_and_stops_where_it_is_not(
    tmp_path: Path, word: bytes, code: int, said: bytes
) -> None:
    command = [sys.executable, "-I", "-c", KEEPING, str(tmp_path / "own")]
    # Its input stays open while the agent works: the end of it is the word to stop.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == keeper.READY
        if word:
            process.stdin.write(word)
            process.stdin.flush()
        else:
            process.stdin.close()
        assert process.stdout.read() == said
        assert process.wait(30) == code


def test_the_end_of_a_child_is_known_while_others_hold_its_pipes() -> None:
    holder = "import subprocess; print(subprocess.Popen(['sleep', '600']).pid, flush=True)"

    async def ended() -> tuple[int, int]:
        child = await Child.start([sys.executable, "-c", holder])
        pid = int(await child.output.readline())
        try:
            return pid, await child.ended
        finally:
            child.close()

    pid, code = asyncio.run(ended())
    os.kill(pid, signal.SIGKILL)
    assert code == 0


def test_agents_whose_folders_cannot_be_made_crash_with_a_result(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    declaration = Declaration("s", "e", "single_container", TWO)
    code = supervise.main(
        declaration, Task(prompts=("x",)), {}, Layout(tmp_path), lambda event, fields: told.append(dict(fields))
    )
    result = json.loads(told[-2]["text"])
    assert (code, result["outcome"], [agent["name"] for agent in result["agents"]]) == (70, "crash", ["a", "b"])
    assert all("No such file or directory" in agent["error"] for agent in result["agents"])
