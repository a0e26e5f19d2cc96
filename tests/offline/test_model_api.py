"""The stand-in for the Messages API, against the official client and the real `claude`."""

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import anthropic
import claude_agent_sdk
import pytest
from anthropic.types import MessageParam, TextBlock, ToolUseBlock

from offline.model_api import script
from offline.model_api.authority import Authority
from offline.model_api.running import running_model_api
from offline.model_api.script import Answer, Echo, Say, Trouble, UseTool
from offline.model_api.server import ModelApi

ROOT = Path(__file__).resolve().parents[2]
CLAUDE = Path(claude_agent_sdk.__file__).parent / "_bundled" / "claude"
MODEL = "claude-opus-5-5"


@pytest.fixture
def api() -> Iterator[ModelApi]:
    with running_model_api() as api:
        yield api


def client(api: ModelApi, *, key: str = "a-key", retries: int = 0, **options: Any) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=api.url, api_key=key, max_retries=retries, **options)


def ask(api: ModelApi, text: str, *, retries: int = 0) -> anthropic.types.Message:
    """What the official client makes of a streamed answer."""
    with client(api, retries=retries).messages.stream(
        model=MODEL, max_tokens=100, messages=[{"role": "user", "content": text}]
    ) as stream:
        return stream.get_final_message()


def fetch(url: str, tls: ssl.SSLContext | None = None) -> HTTPResponse:
    """A plain GET with a key."""
    response = urlopen(Request(url, headers={"x-api-key": "k"}), timeout=10, context=tls)
    assert isinstance(response, HTTPResponse)
    return response


def said(message: anthropic.types.Message) -> str:
    block = message.content[0]
    assert isinstance(block, TextBlock)
    return block.text


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ('say "a; b"', [Answer(Say("a; b"))]),
        (
            "bash 'echo \"$HOME\" > x'; echo",
            [
                Answer(UseTool("Bash", {"command": 'echo "$HOME" > x', "description": "As the script says"})),
                Answer(Echo()),
            ],
        ),
        ("repeat 3 say x", [Answer(Say("x"))] * 3),
        ("status 529 2; cut; slow 1.5; say x", [Answer(Say("x"), (Trouble(529, 2), Trouble(None, 1)), slow=1.5)]),
        ("say x; hang", [Answer(Say("x")), Answer(Say("done"), hang=True)]),
        ("tool mcp__a__b '{\"n\": 1}'", [Answer(UseTool("mcp__a__b", {"n": 1}))]),
        ("usage 5 6; big 3", [Answer(Say("xxx"), usage=(5, 6))]),
    ],
)
def test_a_script_is_read(text: str, answers: list[Answer]) -> None:
    assert script.parse(text) == answers


def test_troubles_come_one_after_another() -> None:
    (answer,) = script.parse("status 529 2; cut; status 500; say x")
    seen = [answer.trouble(attempt) for attempt in range(5)]
    assert [trouble.status if trouble else 0 for trouble in seen] == [529, 529, None, 500, 500]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("dance", "'dance' is not a step"),
        ("say", "missing 1 required positional argument"),
        ('say "open', "close the quotation"),
        ("status 200; say x", "from 400 to 599"),
        ("tool X '[]'", "is an object"),
        ("repeat x say y", "repeat wants N"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, told: str) -> None:
    with pytest.raises(script.ScriptError, match=told):
        script.parse(text)


def test_the_lines_of_a_prompt_are_one_script() -> None:
    assert script.find("Do it.\nfake: say a\n  fake: say b\nThanks, fake: say c") == " say a; say b"
    assert script.find("Do it.") is None


def test_a_streamed_text(api: ModelApi) -> None:
    text = "word " * 1000
    message = ask(api, f'hello\nfake: usage 7 9; say "{text}"')
    assert (said(message), message.stop_reason) == (text, "end_turn")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (7, 9)


def test_a_tool_is_used_and_its_result_read(api: ModelApi) -> None:
    first = ask(api, "fake: bash 'ls /'; echo")
    used = first.content[0]
    assert isinstance(used, ToolUseBlock)
    assert (used.name, used.input, first.stop_reason) == (
        "Bash",
        {"command": "ls /", "description": "As the script says"},
        "tool_use",
    )
    messages: list[MessageParam] = [
        {"role": "user", "content": "fake: bash 'ls /'; echo"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": used.id, "name": used.name, "input": used.input}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": used.id, "content": "bin etc"}]},
    ]
    second = client(api).messages.create(model=MODEL, max_tokens=100, messages=messages)
    assert json.loads(said(second)) == {"messages": 3, "prompts": [], "answers": [], "tool_result": "bin etc"}


def test_a_later_turn_has_a_script_of_its_own_and_sees_the_earlier(api: ModelApi) -> None:
    messages: list[MessageParam] = [
        {"role": "user", "content": "fake: say one; say two"},
        {"role": "assistant", "content": "one"},
        {"role": "user", "content": "<system-reminder>\nfake no more\n</system-reminder>\nfake: echo"},
    ]
    answer = client(api).messages.create(model=MODEL, max_tokens=100, messages=messages)
    assert json.loads(said(answer)) == {
        "messages": 3,
        "prompts": ["say one; say two"],
        "answers": ["one"],
        "tool_result": None,
    }


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.InternalServerError),
        (400, anthropic.BadRequestError),
    ],
)
def test_errors_are_the_apis_own(api: ModelApi, status: int, kind: type[anthropic.APIStatusError]) -> None:
    with pytest.raises(kind) as caught:
        ask(api, f"fake: status {status}; say x")
    assert caught.value.status_code == status
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["type"] == "error"


def test_a_trouble_passes(api: ModelApi) -> None:
    assert said(ask(api, "fake: status 529 2; say x", retries=3)) == "x"
    assert [received.status for received in api.requests] == [529, 529, 200]


def test_a_stream_is_cut_once(api: ModelApi) -> None:
    with pytest.raises(Exception, match="peer closed connection"):
        ask(api, "fake: cut; say x")
    assert said(ask(api, "fake: cut; say x")) == "x"
    assert [received.status for received in api.requests] == [0, 200]


def test_no_answer_until_the_caller_gives_up(api: ModelApi) -> None:
    with pytest.raises(anthropic.APITimeoutError):
        client(api, timeout=0.3).messages.create(
            model=MODEL, max_tokens=1, messages=[{"role": "user", "content": "fake: hang"}]
        )


def test_without_a_script_the_answer_tells_the_prompt(api: ModelApi) -> None:
    assert said(ask(api, "What time is it?")) == "No script in: What time is it?"
    api.script("say 'as told'")
    assert said(ask(api, "What time is it?")) == "as told"


def test_a_script_that_cannot_be_read_is_the_callers_error(api: ModelApi) -> None:
    with pytest.raises(anthropic.BadRequestError, match="'dance' is not a step"):
        ask(api, "fake: dance")


def test_only_the_expected_key_is_taken() -> None:
    with running_model_api(expected_key="right") as api:
        with pytest.raises(anthropic.AuthenticationError):
            client(api, key="wrong").messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": "x"}])
        counted = client(api, key="right").messages.count_tokens(
            model=MODEL, messages=[{"role": "user", "content": "x"}]
        )
    assert counted.input_tokens > 0
    assert [received.status for received in api.requests] == [401, 200]
    assert api.requests[0].key_sha256 != api.requests[1].key_sha256


def test_files_are_downloaded(api: ModelApi) -> None:
    api.files["file_1"] = b"\x00content"
    with fetch(f"{api.url}/v1/files/file_1/content") as response:
        assert response.read() == b"\x00content"
    with pytest.raises(HTTPError, match="404"):
        fetch(f"{api.url}/v1/files/file_2/content")


def test_an_own_authority_is_trusted_and_no_other(tmp_path: Path) -> None:
    authority = Authority.kept(tmp_path, "Test authority")
    assert Authority.kept(tmp_path, "Test authority") == authority
    issued = authority.issue("localhost")
    (tmp_path / "host.pem").write_bytes(issued.certificate + issued.key)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "host.pem")
    trusting = ssl.create_default_context(cadata=authority.certificate.decode())
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT  # what Python has by default from 3.13 on
    trusting.hostname_checks_common_name = False  # as everybody else does
    with running_model_api(tls=tls) as api:
        url = api.url.replace("127.0.0.1", "localhost")
        with fetch(url, trusting) as response:
            assert response.status == 200
        with pytest.raises(URLError, match="CERTIFICATE_VERIFY_FAILED"):
            fetch(url, ssl.create_default_context())


def test_the_program_tells_where_it_listens_and_what_it_heard(tmp_path: Path) -> None:
    control, log = tmp_path / "control", tmp_path / "log"
    started = subprocess.Popen(
        [sys.executable, "-m", "offline.model_api", "--control", str(control), "--log", str(log)], cwd=ROOT
    )
    try:
        deadline = time.monotonic() + 30
        while not control.exists():
            assert time.monotonic() < deadline
            assert started.poll() is None
            time.sleep(0.02)
        answer = anthropic.Anthropic(base_url=control.read_text(), api_key="k").messages.create(
            model=MODEL, max_tokens=9, system="Be kind.", messages=[{"role": "user", "content": "fake: say hi"}]
        )
    finally:
        started.send_signal(signal.SIGTERM)
    assert started.wait(timeout=10) == 0
    assert said(answer) == "hi"
    listening, request = (json.loads(line) for line in log.read_text().splitlines())
    assert listening == {"listening": control.read_text()}
    assert (request["status"], request["system"], request["prompt"]) == (200, "Be kind.", "fake: say hi")


def run_claude(api: ModelApi, folder: Path, prompt: str, *options: str) -> dict[str, Any]:
    """The result line of the real `claude` in this folder."""
    (folder / "work").mkdir(exist_ok=True)
    done = subprocess.run(
        [CLAUDE, "-p", prompt, "--output-format", "json", "--setting-sources", "", *options],
        cwd=folder / "work",
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "CLAUDE_CONFIG_DIR": str(folder / "config"),
            "ANTHROPIC_BASE_URL": api.url,
            "ANTHROPIC_API_KEY": "held-by-the-gateway",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_the_real_claude_works_with_tools_through_troubles_and_resumes(api: ModelApi, tmp_path: Path) -> None:
    steps = "write a.txt 'some text'; status 529 1; edit a.txt some other; bash 'cat a.txt'; cut; echo"
    first = run_claude(api, tmp_path, f"Please.\nfake: {steps}", "--allowed-tools", "Bash,Write,Edit")
    assert (tmp_path / "work" / "a.txt").read_text() == "other text"
    assert json.loads(first["result"])["tool_result"] == "other text"
    second = run_claude(api, tmp_path, "fake: echo", "--resume", first["session_id"])
    assert json.loads(second["result"])["prompts"] == [steps]
    assert {"Bash", "Write", "Edit"} <= set(api.requests[0].tools)


def test_the_real_claude_stops_at_max_turns(api: ModelApi, tmp_path: Path) -> None:
    result = run_claude(api, tmp_path, "fake: repeat 9 bash true", "--allowed-tools", "Bash", "--max-turns", "2")
    assert (result["subtype"], result["num_turns"]) == ("error_max_turns", 3)


def test_answers_are_chosen_by_the_words_of_a_prompt() -> None:
    with running_model_api(answers={"Count": 'bash "wc"; tell', "Greet": "say hello"}) as api:
        assert said(ask(api, "Greet me.")) == "hello"
        assert said(ask(api, "Greet me.\nfake: say 'its own script'")) == "its own script"
        assert said(ask(api, "Anything else")).startswith("No script in")
        asked: MessageParam = {"role": "user", "content": "Count the lines."}
        with client(api) as caller:
            used = caller.messages.create(model=MODEL, max_tokens=9, messages=[asked])
            (block,) = used.content
            assert isinstance(block, ToolUseBlock)
            result: MessageParam = {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": block.id, "content": "x" * 500}],
            }
            done: MessageParam = {"role": "assistant", "content": used.content}
            assert said(caller.messages.create(model=MODEL, max_tokens=9, messages=[asked, done, result])) == "x" * 500


def test_answers_that_cannot_be_read_are_refused_at_once() -> None:
    with pytest.raises(script.ScriptError, match="dance"):
        ModelApi(answers={"Dance": "dance"})
