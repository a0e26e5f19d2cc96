"""The small parts of the runner: lines, results, stores, mounts, variables, outcomes."""

import json
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from agentenv_session import events, mounts, results
from agentenv_session.environment import agent_variables
from agentenv_session.mounts import MountError, mount_all
from agentenv_session.outcomes import Outcome, worst
from agentenv_session.policy import GatewayAwayError, RefusedError, fetch, refusal
from agentenv_session.settings import Declaration, InvalidTask
from agentenv_session.stores import Addresses, StoreError
from hypothesis import example, given
from hypothesis import strategies as st

from offline.model_api.server import ModelApi
from tests.session.gateway import POLICY, running_gateway

TOLD = {"AGENTENV_GATEWAY": "http://10.0.0.2:3128", "AGENTENV_MODEL_ROUTE": "http://10.0.0.2:3128/ANTHROPIC_API_KEY"}
ANY = st.recursive(
    st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)
LONG = st.text(min_size=1).map(lambda text: text * 9000)


@given(st.dictionaries(st.text() | LONG, ANY | LONG))
@example({chr(1) * 62 + f"{number:02}": chr(1) * 9000 for number in range(20)})
@example({"x" * 9000: "y"})
def test_no_line_is_longer_than_8_kib_whatever_it_tells(fields: dict[str, Any]) -> None:
    fields.pop("event", None)
    text = events.line("e", fields)
    assert len(text.encode()) < 8192
    assert json.loads(text)["event"] == "e"
    assert "\n" not in text


def test_a_long_text_is_cut_and_that_is_said() -> None:
    told = json.loads(events.line("assistant_text", {"text": "é" * 100_000}))
    assert told["truncated"] is True
    assert told["text"].startswith("é" * 1000)


@given(st.text(max_size=30_000))
def test_a_result_comes_in_parts_that_together_are_all_of_it(text: str) -> None:
    told: list[dict[str, Any]] = []
    agent = results.AgentResult("a", text=text).to_json()
    document = results.document(
        run="r", session="s", environment="e", conversation=None, started="", ended="", agents=[agent]
    )
    results.tell(document, lambda event, fields: told.append({"event": event, **fields}))
    lines = [events.line(one.pop("event"), one) for one in told]
    parts = [json.loads(line) for line in lines if '"result_part"' in line]
    assert all(len(line.encode()) < 8192 and "truncated" not in json.loads(line) for line in lines)
    assert json.loads("".join(part["text"] for part in parts))["agents"][0]["text"] == text


def test_the_worst_of_several_decides() -> None:
    assert worst([Outcome.SUCCESS, Outcome.STOPPED, Outcome.AGENT_ERROR]) is Outcome.AGENT_ERROR
    assert worst([Outcome.SAVE_FAILED, Outcome.CRASH]) is Outcome.CRASH
    assert worst([]) is Outcome.SUCCESS
    assert {outcome.exit_code for outcome in Outcome} == {0, 10, 11, 12, 13, 70, 78, 143}


def test_an_agent_of_several_has_a_name_and_a_token_at_the_gateway() -> None:
    told = TOLD | {"HTTPS_PROXY": TOLD["AGENTENV_GATEWAY"]}
    found = agent_variables(told, Path("/h"), Path("/t"), Path("/p"), ("a", "to/ken"))
    assert found["HTTPS_PROXY"] == "http://a:to%2Fken@10.0.0.2:3128"
    assert "HTTP_PROXY" not in found
    assert found["ANTHROPIC_BASE_URL"] == "http://10.0.0.2:3128/.as/a/to%2Fken/ANTHROPIC_API_KEY"
    assert found["NO_PROXY"].startswith("10.0.0.2,")


def test_an_agent_alone_has_the_containers_proxy() -> None:
    found = agent_variables(TOLD, Path("/h"), Path("/t"), Path("/p"))
    assert found["ANTHROPIC_BASE_URL"] == TOLD["AGENTENV_MODEL_ROUTE"]
    assert not {"HTTPS_PROXY", "https_proxy"} & found.keys()


def test_a_gateway_that_is_away_is_asked_again_for_a_while() -> None:
    pauses: list[float] = []
    with pytest.raises(GatewayAwayError, match="no gateway answers"):
        fetch("http://127.0.0.1:9", 0.05, pauses.append)


def test_a_gateway_that_has_not_heard_of_the_session_yet_is_asked_again() -> None:
    pauses: list[float] = []
    with running_gateway(first=["unknown-session"] * 3) as address:
        assert fetch(address, 60, pauses.append) == POLICY
    assert len(pauses) == 3
    with (
        running_gateway(first=["unknown-session"] * 2) as address,
        pytest.raises(RefusedError, match="unknown-session"),
    ):
        fetch(address, 0, pauses.append)
    with running_gateway(first=["not-allowed"]) as address, pytest.raises(RefusedError, match="not-allowed"):
        fetch(address, 60, pauses.append)
    assert len(pauses) == 3


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"name": "s"}'])
def test_a_declaration_that_is_none_is_said(text: str | None) -> None:
    with pytest.raises(InvalidTask, match=r"AGENTENV_SESSION.*Fix: "):
        Declaration.parse(text)


class Bucket(BaseHTTPRequestHandler):
    """Keeps what is put; `fails` first answers with 503."""

    kept: dict[str, bytes]
    fails: list[int]

    def do_GET(self) -> None:
        """An object."""
        body = self.kept.get(self.path)
        self.send_response(200 if body is not None else 404)
        self.send_header("content-length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def do_PUT(self) -> None:
        """Another object in its place."""
        body = self.rfile.read(int(self.headers["content-length"]))
        status = self.fails.pop() if self.fails else 200
        if status == 200:
            self.kept[self.path] = body
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing is written to the tests' output."""


@contextmanager
def bucket(*fails: int) -> Iterator[tuple[str, dict[str, bytes]]]:
    kept: dict[str, bytes] = {}
    with serving(type("Filled", (Bucket,), {"kept": kept, "fails": list(fails)})) as address:
        yield f"{address}/state.tar", kept


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def put(data: bytes) -> Any:
    return lambda stream: stream.write(data)


def test_an_address_keeps_a_state_past_any_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    pauses: list[float] = []
    with bucket(503) as (address, kept):
        store = Addresses(address, address, pauses.append)
        assert store.fetch(Path.read_bytes, tmp_path) is None
        assert store.keep(put(b"x" * 100_000), tmp_path) == 100_000
        assert kept == {"/state.tar": b"x" * 100_000}
        assert store.fetch(Path.read_bytes, tmp_path) == b"x" * 100_000
    assert pauses == [1.0]
    with pytest.raises(StoreError, match="cannot be reached"):
        store.keep(put(b"y"), tmp_path)


@contextmanager
def breaking_off(answers: Sequence[bytes]) -> Iterator[str]:
    """A server that gives these answers to one request each, all of them said to be of 100 bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for answer in answers:
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n" + answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/state.tar"
        thread.join(10)


def test_a_download_that_breaks_off_is_begun_again(tmp_path: Path) -> None:
    pauses: list[float] = []
    with breaking_off([b"x" * 60, b"x" * 100]) as address:
        assert Addresses(address, None, pauses.append).fetch(Path.read_bytes, tmp_path) == b"x" * 100
    assert pauses == [1.0]
    with breaking_off([b"x" * 60] * 3) as address, pytest.raises(StoreError, match="cannot be reached"):
        Addresses(address, None, pauses.append).fetch(Path.read_bytes, tmp_path)


def test_an_address_that_refuses_is_asked_once(tmp_path: Path) -> None:
    pauses: list[float] = []
    with bucket(403, 403) as (address, kept), pytest.raises(StoreError, match="403"):
        Addresses(None, address, pauses.append).keep(put(b"x"), tmp_path)
    assert (kept, pauses) == ({}, [])


def test_a_file_is_mounted_by_the_models_route_and_only_once(tmp_path: Path, model: ModelApi) -> None:
    told: list[str] = []
    model.files["file_1"] = b"a,b\n"
    variables = {"ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_API_KEY": "held-by-the-gateway"}
    mounts = ({"type": "file", "file_id": "file_1", "mount_path": "/workspace/in/data.csv"},)
    mount_all(mounts, tmp_path, variables, lambda event, _: told.append(event))
    assert (tmp_path / "in/data.csv").read_bytes() == b"a,b\n"
    (tmp_path / "in/data.csv").write_text("changed")
    mount_all(mounts, tmp_path, variables, lambda event, _: told.append(event))
    assert (tmp_path / "in/data.csv").read_text() == "changed"
    assert told == ["mount"]


@pytest.mark.parametrize("short", [1, 3])
def test_a_file_that_does_not_come_whole_is_fetched_again_and_never_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: int
) -> None:
    monkeypatch.setattr(mounts, "_PAUSE_SECONDS", 0)
    sent: list[int] = []

    class Files(Bucket):
        def do_GET(self) -> None:
            sent.append(len(sent))
            self.send_response(200)
            self.send_header("content-length", "8")
            self.end_headers()
            self.wfile.write(b"half" if len(sent) <= short else b"halfhalf")

    mount = {"type": "file", "file_id": "f", "mount_path": "/workspace/f"}
    with serving(Files) as address:
        variables = {"ANTHROPIC_BASE_URL": address}
        if short < 3:
            mount_all((mount,), tmp_path, variables, lambda *_: None)
            assert (tmp_path / "f").read_bytes() == b"halfhalf"
        else:
            with pytest.raises(MountError, match="4 of 8 bytes"):
                mount_all((mount,), tmp_path, variables, lambda *_: None)
    assert (len(sent), [path.name for path in tmp_path.iterdir()]) == ((2, ["f"]) if short < 3 else (3, []))


def test_git_is_not_told_what_only_the_runner_may_read(tmp_path: Path) -> None:
    git = tmp_path / "bin/git"
    git.parent.mkdir()
    git.write_text('#!/bin/sh\nfor last; do :; done; env > "$last"\n')
    git.chmod(0o755)
    told = {"PATH": f"{git.parent}:{os.environ['PATH']}", "AGENTENV_TASK": "a token", "AGENTENV_TASK_URL": "https://x"}
    mount = {"type": "github_repository", "url": "https://github.com/o/r"}
    mount_all((mount,), tmp_path / "w", told, lambda *_: None)
    seen = (tmp_path / "w/r").read_text()
    assert "GIT_TERMINAL_PROMPT=0" in seen
    assert "AGENTENV_TASK" not in seen


@pytest.mark.parametrize(
    ("mount", "said"),
    [
        ({"type": "file", "file_id": "f"}, r"mounts\[0\]\.file_id.*inject"),
        ({"type": "github_repository", "url": "https://github.com/o/r"}, r"mounts\[0\]\.url.*cannot be cloned"),
    ],
)
def test_what_cannot_be_mounted_is_said_with_its_place(tmp_path: Path, mount: dict[str, str], said: str) -> None:
    variables = {"PATH": os.environ["PATH"], "HTTPS_PROXY": "http://127.0.0.1:9"}
    with pytest.raises(MountError, match=said):
        mount_all((mount,), tmp_path, variables, lambda *_: None)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(("rule", "told"), [("unknown-route", "unknown-route"), ("route-path-not-allowed", None)])
def test_a_list_of_paths_without_the_question_is_no_refusal_of_the_agents_own(rule: str, told: str | None) -> None:
    with running_gateway(first=[rule]) as address:
        assert refusal(f"{address}/ANTHROPIC_API_KEY") == told
