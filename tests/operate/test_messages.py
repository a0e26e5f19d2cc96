"""Messages to a service: straight to its port, with its token, and its refusals in its own words."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from operate import messages
from operate.failures import Exit, Failure


class Service:
    """A service that answers as it is told.

    Attributes:
        address: HOST:PORT.
        answers: Status and body of the answers to messages, in order.
        unready: How often it says that it is not ready.
        stopping: How often it says that it is about to end.
        asked: What it was sent: token and body.
    """

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.unready = 0
        self.stopping = 0
        self.asked: list[tuple[str | None, Any]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.unready -= 1
                service.stopping -= 1
                state = "stopping" if service.stopping >= 0 else "ok"
                self.answer(503 if service.unready >= 0 else 200, {"status": state})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                service.asked.append((self.headers["Authorization"], json.loads(body)))
                assert self.path == "/messages?wait=true"
                self.answer(*service.answers.pop(0))

            def answer(self, status: int, document: Any) -> None:
                body = document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setattr(messages, "PAUSE_SECONDS", 0.01)
    # A proxy would see the token.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    made = Service()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def quiet(what: str) -> None:
    """Nobody looks."""


def test_a_message_is_sent_when_the_service_is_ready(service: Service) -> None:
    service.unready = 2
    service.answers = [(200, {"outcome": "success", "text": "hello"}), (200, {"text": "again"})]
    assert messages.send(service.address, "hi", "secret", quiet) == {"outcome": "success", "text": "hello"}
    assert messages.send(service.address, "hi", "secret", quiet, "c1") == {"text": "again"}
    assert service.asked == [
        ("Bearer secret", {"text": "hi"}),
        ("Bearer secret", {"text": "hi", "conversation": "c1"}),
    ]


@pytest.mark.parametrize(
    ("status", "answer", "told"),
    [
        (401, {"error": {"rule": "token", "message": "The token is wrong.", "fix": "Use the right one."}}, "401 token"),
        (500, b"<html>", "HTTP 500"),
        (200, [1], "HTTP 200"),
        (429, {"error": "busy"}, "HTTP 429"),
    ],
)
def test_a_refusal_is_told(service: Service, status: int, answer: Any, told: str) -> None:
    service.answers = [(status, answer)]
    with pytest.raises(Failure, match=told) as caught:
        messages.send(service.address, "hi", "secret", quiet)
    assert caught.value.code is Exit.UNREACHABLE
    assert "secret" not in str(caught.value)


def test_a_service_that_is_never_ready_is_told(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "READY_SECONDS", 0.05)
    service.unready = 1_000_000
    with pytest.raises(Failure, match="HTTP 503"):
        messages.send(service.address, "hi", "secret", quiet)
    with pytest.raises(Failure, match=r"not ready.*refused"):
        messages.send("127.0.0.1:1", "hi", "secret", quiet)


def test_the_token_comes_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTENV_TOKEN", "secret")
    assert messages.token() == "secret"
    for wrong in ("", "two\nlines", "schlüssel"):
        monkeypatch.setenv("AGENTENV_TOKEN", wrong)
        with pytest.raises(Failure, match="agentenv token"):
            messages.token()


def test_a_service_that_is_about_to_end_is_waited_for_and_started_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "READY_SECONDS", 0.0)
    service.stopping = 3
    stopping = {"error": {"rule": "busy", "message": "the session is stopping", "fix": "try again later"}}
    service.answers = [(429, stopping), (200, {"text": "hello"})]
    woken: list[int] = []
    assert messages.send(service.address, "hi", "secret", quiet, wake=lambda: woken.append(1)) == {"text": "hello"}
    assert len(woken) == 3
    assert len(service.asked) == 2


def test_a_service_that_never_takes_a_message_is_told(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "READY_SECONDS", 0.05)
    monkeypatch.setattr(messages, "STOPPING_SECONDS", 0.05)
    stopping = {"error": {"rule": "busy", "message": "the session is stopping", "fix": "try again later"}}
    service.answers = [(429, stopping)] * 1000
    with pytest.raises(Failure, match="429 busy"):
        messages.send(service.address, "hi", "secret", quiet)
    service.stopping = 10**6
    with pytest.raises(Failure, match="it is stopping"):
        messages.send(service.address, "hi", "secret", quiet)


def test_a_service_that_ends_before_it_takes_a_message_is_sent_it_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, refused = messages._asked, [1]

    def ending(address: str, method: str, *told: Any, **more: Any) -> tuple[int, bytes]:
        if method == "POST" and refused:
            refused.pop()
            raise ConnectionRefusedError
        return asked(address, method, *told, **more)

    monkeypatch.setattr(messages, "_asked", ending)
    service.answers = [(200, {"text": "hello"})]
    assert messages.send(service.address, "hi", "secret", quiet) == {"text": "hello"}
