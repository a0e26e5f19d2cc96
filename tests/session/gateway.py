"""A gateway as far as the runner talks to it itself: the policy, and a refusal on every route."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

POLICY = {
    "environment": "e",
    "session": "s",
    "networking": "limited",
    "in_force": True,
    "hosts": [{"host": "api.example.com", "port": 443, "field": "config.networking.allowed_hosts[0]"}],
    "routes": [],
    "package_managers": False,
    "registries": [],
}
REFUSAL = {"error": "egress_denied", "rule": "unknown-route", "message": "No such route.", "fix": "Declare a secret."}


class Handler(BaseHTTPRequestHandler):
    """Answers as the gateway does."""

    known = True
    first: list[str]

    def do_GET(self) -> None:
        """The policy."""
        if self.first:
            self._answer(403, REFUSAL, self.first.pop(0))
        elif self.path == "/.policy" and self.known:
            self._answer(200, POLICY)
        else:
            self._answer(403, REFUSAL)

    def do_POST(self) -> None:
        """Whatever is asked of a route."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self._answer(403, REFUSAL)

    def _answer(self, status: int, told: object, rule: str = "unknown-route") -> None:
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("x-egress-rule", rule)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is written to the tests' output."""


@contextmanager
def running_gateway(*, known: bool = True, first: Sequence[str] = ()) -> Iterator[str]:
    """Address of a gateway that knows this session, or does not; its first answers are refusals by these rules."""
    handler = type("Known", (Handler,), {"known": known, "first": [*first]})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
