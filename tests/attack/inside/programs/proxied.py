"""Requests by the gateway: `main(name, arguments...)`."""

import os
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

AUTHORITY, STOP = "/tmp/authority.pem", "/tmp/stop"
SECONDS = 8
STALLED_SECONDS = 3
CONNECT_SECONDS = 2


def main(name: str, *arguments: Any) -> Any:
    attacks: dict[str, Callable[..., Any]] = {
        "trust": trust,
        "curl": curl,
        "urllib": fetched,
        "connect": connect,
        "route": route,
        "stream": stream,
        "go": go,
        "stop": stop,
    }
    return attacks[name](*arguments)


def trust(authority: str) -> None:
    Path(AUTHORITY).write_text(authority)


def curl(arguments: list[str], unset: list[str], variables: dict[str, str]) -> list[Any]:
    """Exit code, status at the end, status of the CONNECT."""
    environment = {name: value for name, value in os.environ.items() if name not in unset} | variables
    command = ["curl", "--silent", "--output", "/dev/null", "--max-time", str(SECONDS), "--cacert", AUTHORITY]
    done = subprocess.run(
        [*command, "--write-out", "%{http_code} %{http_connect}", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    status, tunnel = done.stdout.split()
    return [done.returncode, int(status), int(tunnel)]


def fetched(url: str) -> Any:
    """Status, or why there is none: by Python's own client, which looks at the proxy variables by itself."""
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context()))
    try:
        with opener.open(url, timeout=SECONDS) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError as error:
        return str(error)


def context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=AUTHORITY)


def gateway() -> socket.socket:
    place = urlsplit(os.environ["AGENTENV_GATEWAY"])
    connection = socket.create_connection((str(place.hostname), int(str(place.port))), timeout=CONNECT_SECONDS)
    connection.settimeout(SECONDS)
    return connection


def asked(connection: socket.socket, method: str, lines: list[str]) -> HTTPResponse:
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    answer = HTTPResponse(connection, method=method)
    answer.begin()
    return answer


def connect(authority: str) -> list[Any]:
    """Status of a CONNECT and the rule that denied it."""
    try:
        with gateway() as connection:
            answer = asked(connection, "CONNECT", [f"CONNECT {authority} HTTP/1.1", f"host: {authority}"])
            return [answer.status, answer.headers.get("x-egress-rule", "")]
    except OSError as error:
        return [0, type(error).__name__]


def route(name: str, headers: list[str]) -> list[Any]:
    """Status and body of a request on a credential route."""
    with gateway() as connection:
        answer = asked(connection, "GET", [f"GET /{name}/ HTTP/1.1", "host: gateway", "connection: close", *headers])
        return [answer.status, answer.read().decode()]


def go() -> None:
    Path(STOP).unlink(missing_ok=True)


def stop() -> None:
    Path(STOP).touch()


def stream(url: str) -> list[Any]:
    """Read what an endless answer sends until `stop`; how many bytes came, and how it ended.

    `url` is https, by a tunnel, or the path of a credential route.
    """
    parts = urlsplit(url)
    received = 0
    with gateway() as plain:
        connection = plain
        if parts.scheme:
            authority = f"{parts.hostname}:443"
            asked(plain, "CONNECT", [f"CONNECT {authority} HTTP/1.1", f"host: {authority}"])
            connection = context().wrap_socket(plain, server_hostname=parts.hostname)
        target = f"{parts.path}?{parts.query}"
        connection.settimeout(STALLED_SECONDS)
        connection.sendall(f"GET {target} HTTP/1.1\r\nhost: {parts.hostname or 'gateway'}\r\n\r\n".encode())
        try:
            while not Path(STOP).exists():
                data = connection.recv(4096)
                if not data:
                    return [received, "closed"]
                received += len(data)
        except TimeoutError:
            return [received, "silence"]
        except OSError as error:
            return [received, type(error).__name__]
    return [received, "open"]
