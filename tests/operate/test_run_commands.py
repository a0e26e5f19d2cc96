"""The commands about runs: what they print, where, and how they end."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from docker import DockerClient
from docker.errors import APIError
from requests import Response

from operate import __main__ as command_line
from operate import keeper, run_commands
from operate.docker_backend import DockerRuns
from operate.failures import Exit
from operate.outputs import Outputs
from operate.records import Records
from operate.runs import RunInfo
from operate.tokens import token_hash
from tests.operate.deployed import outputs
from tests.operate.docker_stack import NOTES, OWN, RESULT, SAID
from tests.operate.fake_engine import FakeContainer, FakeEngine

TEXT = json.dumps({"event": "assistant_text", "text": "thinking", "time": "2027-01-31T10:11:12.1Z"}).encode()


class Terminal:
    """Runs commands against an engine of plain Python."""

    def __init__(self, fake: FakeEngine, file: Path, patch: pytest.MonkeyPatch, read: Any) -> None:
        self.fake, self.file, self.patch, self._read = fake, file, patch, read
        self.left: list[tuple[str, bool]] = []
        patch.setattr(run_commands, "runs_of", lambda outputs: DockerRuns(outputs, cast(DockerClient, fake)))
        patch.setattr(keeper, "leave", lambda run, records, stop=False: self.left.append((run, stop)))
        patch.setenv("COLUMNS", "200")

    def __call__(self, *arguments: str, code: int = 0, outputs: bool = True) -> tuple[str, str]:
        told = ["--outputs", str(self.file)] if outputs else []
        self.patch.setattr(sys, "argv", ["agentenv", *arguments, *told])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        out, err = self._read()
        assert ended.value.code == code, (out, err)
        return out, err

    def release(self) -> None:
        """As when a process of a command ends."""
        for path in Records.default().path("x", "lock").parent.glob("*.lock"):
            path.unlink()


@pytest.fixture
def agentenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    fake = FakeEngine()
    fake.stubborn = True
    fake.output = TEXT + b"\n" + SAID
    told = outputs()
    for session in (OWN, NOTES):
        told["sessions"][session["name"]] = told["sessions"]["desk"] | {
            "pattern": session["pattern"],
            "session": session,
        }
    Outputs.parse(told)
    file = tmp_path / "outputs.json"
    file.write_text(json.dumps(told))
    return Terminal(fake, file, monkeypatch, capsys.readouterr)


def test_start_prints_the_id_at_once_and_leaves_a_keeper(agentenv: Terminal) -> None:
    out, _ = agentenv("start", "desk", "--prompt", "go", "--env", "A=b=c")
    run = out.strip()
    assert agentenv.left == [(run, False)]
    config = agentenv.fake.containers_by_name[f"agentenv-run-{run}-session"].config
    assert "A=b=c" in config["Env"]
    agentenv.release()
    out, _ = agentenv("start", "desk", "--prompt", "go", "--json")
    told = json.loads(out)
    assert (told["session"], told["status"], told["outcome"]) == ("desk", "running", None)
    assert RunInfo.from_json(told).id == told["id"]


def test_start_and_wait_shows_the_answer_and_ends_as_the_run_does(agentenv: Terminal) -> None:
    out, err = agentenv("start", "desk", "--prompt", "go", "--wait")
    assert out == "42\n"
    assert ": success, 0 s" in err
    agentenv.fake.exit_code = 11
    out, err = agentenv("start", "desk", "--prompt", "go", "--wait", code=11)
    assert out == "42\n"
    assert ": limit_reached" in err
    assert agentenv.fake.networks_by_name == {}
    assert agentenv.left == []


def test_as_json_it_is_one_document(agentenv: Terminal) -> None:
    out, err = agentenv("start", "desk", "--prompt", "go", "--wait", "--json")
    told = json.loads(out)
    assert (told["outcome"], told["exit_code"], told["result"], told["problem"]) == ("success", 0, RESULT, None)
    assert err.strip() == ""
    agentenv.fake.output, agentenv.fake.exit_code = b"", 70
    out, err = agentenv("start", "desk", "--prompt", "go", "--wait", "--json", code=70)
    told = json.loads(out)
    assert told["result"] is None
    assert "left no result" in told["problem"]


def test_follow_shows_what_happens(agentenv: Terminal) -> None:
    out, err = agentenv("start", "desk", "--prompt", "go", "--follow")
    assert out == "10:11:12 thinking\n"
    assert ": success" in err
    out, _ = agentenv("start", "desk", "--prompt", "go", "--follow", "--json")
    assert out.encode() == TEXT + b"\n" + SAID + b"\n"


def test_a_run_without_a_result_does_not_end_well(agentenv: Terminal) -> None:
    agentenv.fake.output = b"Traceback\n"
    _, err = agentenv("start", "desk", "--prompt", "go", "--wait", code=Exit.UNREACHABLE)
    assert "left no result" in err


def test_input_comes_from_a_file_or_from_standard_input(
    agentenv: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def task() -> dict[str, Any]:
        (session,) = (one for name, one in agentenv.fake.containers_by_name.items() if name.endswith("-session"))
        found = dict(pair.split("=", 1) for pair in session.config["Env"])["AGENTENV_TASK"]
        agentenv.fake.containers_by_name.pop(session.name)
        return dict(json.loads(found))

    (tmp_path / "turns.json").write_text('["one", "two"]')
    agentenv("start", "desk", "--input", str(tmp_path / "turns.json"))
    assert task()["input"] == ["one", "two"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("all of\nthis"))
    agentenv("start", "desk", "--input", "-")
    assert task()["prompt"] == "all of\nthis"
    (tmp_path / "bad.json").write_text("{")
    for arguments, told in (
        (["--input", str(tmp_path / "bad.json")], "not JSON"),
        (["--input", str(tmp_path / "none")], "cannot be read"),
        (["--input", str(tmp_path / "turns.json"), "--prompt", "go"], "both given"),
        (["--prompt", "go", "--env", "A"], "has no value"),
        (["--prompt", "go", "--env", "LD_PRELOAD=x"], "set by the runtime"),
        ([], "needs something to do"),
    ):
        _, err = agentenv("start", "desk", *arguments, code=Exit.USAGE)
        assert told in err
    monkeypatch.setattr(sys, "stdin", io.StringIO("x" * 1_000_001))
    assert "1,000,000" in agentenv("start", "desk", "--input", "-", code=Exit.USAGE)[1]
    assert "did you mean 'desk'" in agentenv("start", "dusk", "--prompt", "go", code=Exit.USAGE)[1]


def test_list_logs_result_and_stop(agentenv: Terminal) -> None:
    assert "chat" in agentenv("list")[0]
    run = agentenv("start", "desk", "--prompt", "go")[0].strip()
    out, _ = agentenv("list", "--json", "--session", "desk")
    assert [one["id"] for one in json.loads(out)["runs"]] == [run]
    assert "is running" in agentenv("result", run, code=Exit.USAGE)[1]
    assert agentenv("logs", run)[0] == "10:11:12 thinking\n"
    assert agentenv("logs", run, "--json")[0].splitlines()[1].encode() == SAID
    agentenv.fake.stubborn = False
    agentenv.release()
    out, _ = agentenv("stop", run)
    assert out == f"{run} has ended: stopped\n"
    assert agentenv.fake.networks_by_name == {}
    assert agentenv("logs", run, "--follow")[0] == "10:11:12 thinking\n"
    out, _ = agentenv("result", run, code=143)
    assert out == "42\n"
    assert json.loads(agentenv("result", run, "--json", code=143)[0]) == RESULT
    assert "There is no run" in agentenv("logs", "nothing", code=Exit.USAGE)[1]
    assert "stopped" in agentenv("list")[0]


def test_a_conversation_is_resumed_and_forgotten(agentenv: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    _, err = agentenv("start", "notes", "--prompt", "go", "--wait")
    (kept,) = json.loads(agentenv("list", "--json")[0])["conversations"]
    assert f"conversation {kept['id']}" in err
    assert agentenv("resume", kept["id"], "--prompt", "on", "--wait")[0] == "42\n"
    assert "needs something to do" in agentenv("resume", kept["id"], code=Exit.USAGE)[1]
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    agentenv("forget", kept["id"], code=Exit.DIFFERENCE)
    assert agentenv.fake.volumes_by_name
    agentenv("forget", kept["id"], "--yes")
    assert agentenv.fake.volumes_by_name == {}


def test_whoever_interrupts_the_waiting_ends_the_run(agentenv: Terminal) -> None:
    def interrupt(_: FakeContainer) -> None:
        agentenv.fake.waiting = None
        agentenv.fake.stubborn = False
        os.kill(os.getpid(), signal.SIGINT)

    agentenv.fake.waiting = interrupt
    _, err = agentenv("start", "desk", "--prompt", "go", "--wait", code=130)
    assert "stopping run" in err
    assert "was stopped (stopped) and removed" in err
    assert agentenv.fake.networks_by_name == {}


def test_a_second_time_that_is_left_to_the_background(agentenv: Terminal) -> None:
    def interrupt(_: FakeContainer) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    agentenv.fake.waiting = interrupt
    _, err = agentenv("start", "desk", "--prompt", "go", "--follow", code=143)
    assert "in the background" in err
    ((run, stop),) = agentenv.left
    assert stop
    assert Records.default().hold(run) is not None, "the keeper can have it"


def test_a_terminal_that_hangs_up_ends_no_run(agentenv: Terminal) -> None:
    def hang_up(_: FakeContainer) -> None:
        os.kill(os.getpid(), signal.SIGHUP)

    agentenv.fake.waiting = hang_up
    agentenv("start", "desk", "--prompt", "go", "--wait", code=129)
    ((run, stop),) = agentenv.left
    assert not stop
    assert not any(told.startswith("kill") for told in agentenv.fake.told)
    assert f"agentenv-run-{run}" in agentenv.fake.networks_by_name


def test_whoever_lets_a_command_ignore_a_hang_up_is_not_ended_by_it(agentenv: Terminal) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        agentenv.fake.waiting = lambda _: os.kill(os.getpid(), signal.SIGHUP)
        assert agentenv("start", "desk", "--prompt", "go", "--wait")[0] == "42\n"
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_error_while_a_run_is_waited_for_leaves_it_to_the_background(agentenv: Terminal) -> None:
    def refuse(_: FakeContainer) -> None:
        refusal = Response()
        refusal.status_code = 400
        raise APIError("400", response=refusal, explanation="bad \x1b parameter")

    agentenv.fake.waiting = refuse
    _, err = agentenv("start", "desk", "--prompt", "go", "--wait", code=Exit.UNREACHABLE)
    ((run, stop),) = agentenv.left
    assert not stop
    assert "bad \\x1b parameter" in err
    assert f"run {run} goes on; agentenv logs {run}" in err
    agentenv.left.clear()

    def interrupt(_: FakeContainer) -> None:
        agentenv.fake.waiting = refuse
        os.kill(os.getpid(), signal.SIGINT)

    agentenv.fake.waiting = interrupt
    _, err = agentenv("start", "desk", "--prompt", "go", "--wait", code=Exit.UNREACHABLE)
    ((run, stop),) = agentenv.left
    assert stop, "it was to be stopped"
    assert f"run {run} goes on" in err


@pytest.mark.parametrize("wait", [[], ["--wait"]])
def test_a_signal_just_after_the_start_finds_somebody_who_attends_to_it(
    agentenv: Terminal, monkeypatch: pytest.MonkeyPatch, wait: list[str]
) -> None:
    class Ending(ExitStack):
        """A signal that comes when the run has been started, and nobody waits for it yet."""

        def enter_context(self, manager: Any) -> Any:
            entered = super().enter_context(manager)
            os.kill(os.getpid(), signal.SIGTERM)
            return entered

    agentenv.fake.stubborn = False
    monkeypatch.setattr(run_commands, "ExitStack", Ending)
    out, err = agentenv("start", "desk", "--prompt", "go", *wait, code=143)
    if wait:
        assert "was stopped" in err
        assert agentenv.fake.networks_by_name == {}
    else:
        assert [(out.strip(), False)] == agentenv.left


def test_a_result_as_json_ends_as_its_text_does(agentenv: Terminal) -> None:
    agentenv.fake.output, agentenv.fake.exit_code = b"\x1b]0;pwned\x07", 12
    run = agentenv("start", "desk", "--prompt", "go")[0].strip()
    agentenv.release()
    agentenv.fake.containers_by_name[f"agentenv-run-{run}-session"].end(12)
    for form in ([], ["--json"]):
        out, err = agentenv("result", run, *form, code=12)
        assert out == ""
        assert "left no result" in err
        assert "\\x1b]0;pwned\\x07" in err
        assert "\x1b" not in err
    own = agentenv("start", "own")[0].strip()
    assert "is running" in agentenv("result", own, "--json", code=Exit.USAGE)[1]
    agentenv.release()
    agentenv.fake.containers_by_name[f"agentenv-run-{own}-session"].status = "dead"
    record = Records.default().read(own)
    assert record is not None
    never = replace(record.info, status="ended", outcome="crash")
    Records.default().write(replace(record, info=never, result={"version": 1, "agents": []}))
    for form in ([], ["--json"]):
        agentenv("result", own, *form, code=Exit.UNREACHABLE)


def test_what_the_terminals_encoding_does_not_have_is_shown_all_the_same(
    agentenv: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"event": "assistant_text", "text": "\ud83d \u00fc", "time": "2027-01-31T10:11:12.1Z"}
    agentenv.fake.output = json.dumps(said).encode() + b"\n" + SAID
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    agentenv("start", "desk", "--prompt", "go", "--follow")
    sys.stdout.flush()
    assert written.getvalue() == b"10:11:12 \\ud83d \\xfc\n"


def test_a_prompt_is_read_as_utf_8_whatever_the_locale_says(agentenv: Terminal, tmp_path: Path) -> None:
    program = "from operate.run_commands import _read; import sys; sys.exit(_read(sys.argv[1]) != 'gr\\xfc\\xdfe')"
    (tmp_path / "prompt.txt").write_text("grüße", encoding="utf-8")
    variables = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    assert subprocess.run([sys.executable, "-c", program, tmp_path / "prompt.txt"], env=variables).returncode == 0


def test_a_service_is_started_asked_and_stopped(agentenv: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[Any, ...]] = []

    def send(address: str, text: str, token: str, progress: object, wake: Callable[[], object]) -> dict[str, str]:
        sent.append((address, text, token))
        if len(sent) == 1:
            # It ended when it had just been seen to run.
            agentenv.fake.containers_by_name["t-chat"].end()
            wake()
            assert agentenv.fake.containers_by_name["t-chat"].status == "running"
        return {"conversation": "c", "message": "m", "outcome": "success", "text": "hello \x1b you"}

    monkeypatch.setattr("operate.messages.send", send)
    fence = FakeContainer(agentenv.fake, "t-chat-fence", {"Labels": {}})
    agentenv.fake.containers_by_name["t-chat-fence"] = fence
    assert agentenv("start", "chat")[0] == "chat\n"
    assert "AGENTENV_TOKEN is not set" in agentenv("start", "chat", "--prompt", "hi", code=Exit.USAGE)[1]
    monkeypatch.setenv("AGENTENV_TOKEN", "secret")
    assert agentenv("start", "chat", "--prompt", "hi")[0] == "hello \\x1b you\n"
    assert sent == [("127.0.0.1:8080", "hi", "secret")]
    assert agentenv("stop", "chat")[0] == "chat has ended: success\n"
    assert agentenv("resume", "chat")[0] == "chat\n"
    assert json.loads(agentenv("resume", "chat", "--prompt", "hi", "--json")[0])["text"] == "hello \x1b you"


def test_a_token_is_made_with_its_hash(agentenv: Terminal) -> None:
    told = json.loads(agentenv("token", "--json", outputs=False)[0])
    assert told["token_sha256"] == token_hash(told["token"])
    out, _ = agentenv("token", outputs=False)
    token = out.splitlines()[0].removeprefix("AGENTENV_TOKEN=")
    assert f"token_sha256: {token_hash(token)}" in out
    assert token != told["token"]


def test_a_docker_stack_does_without_boto3() -> None:
    assert os.system(f"{sys.executable} -c \"import sys, operate.__main__; sys.exit('boto3' in sys.modules)\"") == 0
