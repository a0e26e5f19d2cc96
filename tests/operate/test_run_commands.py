"""The commands about runs: what they print, where, and how they end."""

import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from docker import DockerClient

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


def test_a_service_is_started_asked_and_stopped(agentenv: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[Any, ...]] = []

    def send(address: str, text: str, token: str, progress: object) -> dict[str, str]:
        sent.append((address, text, token))
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
