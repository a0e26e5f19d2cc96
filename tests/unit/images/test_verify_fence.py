"""The probe program: what it calls things that it meets. Everything it meets here listens on loopback."""

import errno
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from agentenv_session import environment

from components.plans.probes import Kind, Seen
from tests.unit.images.programs import IMAGES, program

verify_fence = program("session", "verify_fence")
Handler = Callable[[socket.socket], None]
SERVER_HELLO = b"\x16\x03\x03\x00\x7a\x02\x00\x00"
UNRECOGNIZED_NAME = b"\x15\x03\x03\x00\x02\x02\x70"


@contextmanager
def serving(handler: Handler) -> Iterator[int]:
    """A TCP server that gives each connection to `handler`."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    link, _ = server.accept()
                except OSError:
                    return
                with link:
                    handler(link)

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def prober(port: int) -> Any:
    return verify_fence.Prober(verify_fence.Place("127.0.0.1", port), 0.3)


def gateway(head: str, then: bytes | None = None) -> Handler:
    """A gateway that answers each request with `head`, reads one ClientHello, and sends `then`."""

    def handle(link: socket.socket) -> None:
        link.recv(4096)
        link.sendall(f"HTTP/1.1 {head}\r\n\r\n".encode())
        if then is not None:
            hello = link.recv(4096)
            assert hello[0] == 22, "a TLS handshake record"
            link.sendall(then)

    return handle


OK = "200 Connection established"
DENIED = "403 Forbidden\r\nx-egress-rule: host-not-allowed\r\ncontent-length: 0"


@pytest.mark.parametrize(
    ("handler", "seen"),
    [
        (gateway(OK, SERVER_HELLO), "reached"),
        (gateway(OK, UNRECOGNIZED_NAME), "cut"),
        (gateway(OK, b""), "cut"),
        (gateway(OK), "cut"),
        (gateway(DENIED), "denied"),
        (gateway("403 Forbidden\r\nx-egress-rule: unknown-session\r\ncontent-length: 0"), "not known to the gateway"),
        (gateway("502 Bad Gateway\r\nx-egress-rule: dns-failed\r\ncontent-length: 0"), "allowed, upstream unreachable"),
        (gateway("503 Service Unavailable\r\nx-egress-rule: no-policy\r\ncontent-length: 0"), "gateway fault"),
        (gateway("nonsense"), "cut"),
    ],
)
def test_a_tunnel(handler: Handler, seen: str) -> None:
    with serving(handler) as port:
        assert prober(port).tunnel("a.test:443")[0] == seen


def test_a_tunnel_names_the_server_that_is_asked_for() -> None:
    heads: list[bytes] = []
    hellos: list[bytes] = []

    def handle(link: socket.socket) -> None:
        heads.append(link.recv(4096))
        link.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        hellos.append(link.recv(4096))

    with serving(handle) as port:
        prober(port).tunnel("a.test:443 other.test")
    assert heads[0].startswith(b"CONNECT a.test:443 HTTP/1.1\r\n")
    assert b"other.test" in hellos[0]
    assert b"a.test" not in hellos[0].replace(b"other.test", b"")


def test_the_rule_of_a_denial_is_told() -> None:
    with serving(gateway(DENIED)) as port:
        assert prober(port).tunnel("a.test:443") == ("denied", "403 host-not-allowed")
        assert prober(port).plain("http://a.test/") == ("denied", "403 host-not-allowed")


def test_plain_http_that_gets_through_is_told() -> None:
    with serving(gateway("200 OK\r\ncontent-length: 0")) as port:
        assert prober(port).plain("http://a.test/")[0] == "reached"


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_no_gateway() -> None:
    assert prober(closed_port()).tunnel("a.test:443")[0] == "no gateway"
    assert prober(closed_port()).plain("http://a.test/")[0] == "no gateway"


def test_tcp() -> None:
    with serving(lambda link: None) as port:
        assert prober(1).tcp(f"127.0.0.1:{port}")[0] == "connected"
    assert prober(1).tcp(f"127.0.0.1:{closed_port()}")[0] == "blocked"


def test_a_listener_that_never_accepts_gives_no_answer() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        full = [socket.socket() for _ in range(4)]
        for link in full:
            link.setblocking(False)
            link.connect_ex(server.getsockname())
        assert prober(1).tcp(f"127.0.0.1:{server.getsockname()[1]}")[0] == "no answer"
        for link in full:
            link.close()


def test_udp_tells_silence_an_answer_and_a_closed_port_apart() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        assert prober(1).udp(f"127.0.0.1:{port}")[0] == "no answer"
        answering = threading.Thread(target=_answer, args=(server, lambda query: b"yes"), daemon=True)
        assert server.recv(64) == b"agentenv"
        answering.start()
        assert prober(1).udp(f"127.0.0.1:{port}")[0] == "answered"
        answering.join(5)
    assert prober(1).udp(f"127.0.0.1:{port}") == ("answered", "port unreachable")


def test_a_rule_in_the_own_namespace_refuses_a_datagram_at_once() -> None:
    # A broadcast without leave fails in the sending call, as what netfilter drops there does.
    assert prober(1).udp("255.255.255.255:9")[0] == "blocked"


def _answer(server: socket.socket, reply: Callable[[bytes], bytes]) -> None:
    query, client = server.recvfrom(4096)
    server.sendto(reply(query), client)


@pytest.mark.parametrize(
    ("flags", "records", "seen"),
    [
        (0x8180, 1, "answered"),
        (0x8180, 0, "empty answer"),
        (0x8183, 0, "no such name"),
        (0x8182, 0, "resolver failed"),
    ],
)
def test_the_answer_of_a_resolver(flags: int, records: int, seen: str) -> None:
    queries: list[bytes] = []

    def reply(query: bytes) -> bytes:
        queries.append(query)
        return query[:2] + struct.pack("!5H", flags, 1, records, 0, 0) + query[12:]

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=_answer, args=(server, reply), daemon=True)
        thread.start()
        place = verify_fence.Place(*server.getsockname())
        assert prober(1)._query(place, "a.invalid", "TXT", stream=False)[0] == seen
        thread.join(5)
    assert queries[0][12:] == b"\x01a\x07invalid\x00\x00\x10\x00\x01"


def test_a_query_over_tcp() -> None:
    def handle(link: socket.socket) -> None:
        query = link.recv(4096)[2:]
        answer = query[:2] + struct.pack("!5H", 0x8183, 1, 0, 0, 0) + query[12:]
        link.sendall(struct.pack("!H", len(answer)) + answer)

    with serving(handle) as port:
        place = verify_fence.Place("127.0.0.1", port)
        assert prober(1)._query(place, "a.invalid", "TXT", stream=True)[0] == "no such name"


def test_the_worst_resolver_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text("search x\nnameserver 203.0.113.1\nnameserver 203.0.113.2\n")
    monkeypatch.setattr(verify_fence, "RESOLV_CONF", conf)
    outcomes = {"203.0.113.1": ("blocked", ""), "203.0.113.2": ("no such name", "")}
    monkeypatch.setattr(verify_fence.Prober, "_query", lambda self, resolver, *_, stream: outcomes[resolver.host])
    assert prober(1).dns("a.invalid A resolv.conf", stream=False) == ("no such name", "203.0.113.2: ")
    conf.write_text("")
    assert prober(1).dns("a.invalid A resolv.conf", stream=False)[0] == "blocked"


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        ('200 OK\r\ncontent-length: 24\r\n\r\n{"SecretAccessKey": "x"}', "credentials"),
        ("404 Not Found\r\ncontent-length: 0", "no credentials"),
    ],
)
def test_credentials_of_a_task(answer: str, seen: str) -> None:
    with serving(gateway(answer)) as port:
        assert prober(1).credentials(f"127.0.0.1:{port}")[0] == seen


def test_a_folder_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    assert verify_fence.write(str(tmp_path))[0] == "writable"
    assert list(tmp_path.iterdir()) == []
    assert verify_fence.write("/proc")[0] == "refused"


def test_files_that_raise_privileges_are_found(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    plain = tmp_path / "below" / "plain"
    plain.write_text("")
    assert verify_fence.setuid(str(tmp_path)) == ("none", "1 files")
    plain.chmod(0o4755)
    assert verify_fence.setuid(str(tmp_path)) == ("found", str(plain))


@pytest.fixture
def status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    monkeypatch.setattr(verify_fence, "PROC", tmp_path)
    (tmp_path / "self").mkdir()

    def write(text: str) -> None:
        (tmp_path / "self/status").write_text(text)

    return write


def test_capabilities(status: Callable[[str], None]) -> None:
    none = "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0\nCapBnd:\t0\nCapAmb:\t0\n"
    status(none)
    assert verify_fence.capabilities("")[0] == "none"
    status(none.replace("CapBnd:\t0", "CapBnd:\t0000000000002000"))
    assert verify_fence.capabilities("") == ("found", "CapBnd=0000000000002000")
    status(none.replace("CapBnd:\t0", "CapBnd:\t00000000000000c0"))
    assert verify_fence.capabilities("")[0] == "found"
    assert verify_fence.capabilities("SETGID SETUID")[0] == "none"
    status(none.replace("CapEff:\t0", "CapEff:\t00000000000000c0"))
    assert verify_fence.capabilities("SETGID SETUID")[0] == "found"


@pytest.mark.parametrize(("value", "seen"), [("1", "set"), ("0", "not set")])
def test_no_new_privileges(status: Callable[[str], None], value: str, seen: str) -> None:
    status(f"NoNewPrivs:\t{value}\n")
    assert verify_fence.no_new_privileges("")[0] == seen


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Seccomp:\t2\nSeccomp_filters:\t2\n", "set"),
        # The session's own, and not the engine's.
        ("Seccomp:\t2\nSeccomp_filters:\t1\n", "not set"),
        ("Seccomp:\t0\nSeccomp_filters:\t0\n", "not set"),
        ("Seccomp:\t2\n", "set"),
        ("Seccomp:\t0\n", "not set"),
        ("\n", "unknown"),
    ],
)
def test_seccomp(status: Callable[[str], None], text: str, seen: str) -> None:
    status(text)
    assert verify_fence.seccomp("")[0] == seen


@pytest.mark.parametrize(
    ("file", "value", "seen"),
    [
        ("memory.max", "1073741824", "limited"),
        ("memory.max", "max", "unlimited"),
        ("memory/memory.limit_in_bytes", "9223372036854771712", "unlimited"),
        ("other", "1", "unknown"),
    ],
)
def test_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, value: str, seen: str) -> None:
    monkeypatch.setattr(verify_fence, "CGROUP", tmp_path)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(value + "\n")
    assert verify_fence.memory("")[0] == seen


def test_processes_are_limited_by_the_group_or_by_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_fence, "CGROUP", tmp_path)
    monkeypatch.setattr(verify_fence.resource, "getrlimit", lambda _: (128, 128))
    assert verify_fence.pids("") == ("limited", "128 for this user")
    monkeypatch.setattr(verify_fence.resource, "getrlimit", lambda _: (1 << 20, 1 << 20))
    assert verify_fence.pids("")[0] == "unknown"
    (tmp_path / "pids.max").write_text("256\n")
    assert verify_fence.pids("") == ("limited", "256")


def test_what_a_child_is_refused_changes_nothing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise PermissionError(1, "no")

    monkeypatch.setattr(verify_fence, "_mount", refused)
    assert verify_fence.syscall("mount") == ("refused", "Operation not permitted")
    monkeypatch.setattr(verify_fence, "_mount", lambda: None)
    assert verify_fence.syscall("mount")[0] == "allowed"


def test_a_socket_to_the_hypervisor_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(family: int, _: int) -> None:
        raise PermissionError(errno.EPERM if family == socket.AF_VSOCK else errno.EACCES, "no")

    with monkeypatch.context() as patch:
        patch.setattr(verify_fence.socket, "socket", refusing)
        assert verify_fence.syscall("vsock") == ("refused", "Operation not permitted")
    monkeypatch.setattr(verify_fence, "AF_VSOCK", socket.AF_INET)
    assert verify_fence.syscall("vsock")[0] == "allowed"


def test_variables_that_hold_a_secret_are_named_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_fence, "PROC", tmp_path)
    monkeypatch.setattr(verify_fence, "_own_environment", lambda: b"PATH=/bin\0GH_TOKEN=hunter2\0EMPTY_TOKEN=")
    assert verify_fence.environ("") == ("found", "GH_TOKEN (own)")
    assert verify_fence.environ("GH_TOKEN")[0] == "none"
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "environ").write_bytes(b"MY_KEY=ghp_abcdefghijklmnop\0HOME=/root")
    seen, detail = verify_fence.environ("GH_TOKEN")
    assert (seen, detail) == ("found", "MY_KEY (process 7)")


def test_what_stands_for_a_key_that_the_gateway_has_is_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_fence, "PROC", tmp_path)
    own = f"ANTHROPIC_API_KEY={environment.PLACEHOLDER}\0GH_TOKEN={environment.PLACEHOLDER}-no-more"
    monkeypatch.setattr(verify_fence, "_own_environment", own.encode)
    assert verify_fence.environ("") == ("found", "GH_TOKEN (own)")


def test_paths_that_must_not_be_there(tmp_path: Path) -> None:
    assert verify_fence.absent(f"{tmp_path}/a {tmp_path}/b")[0] == "none"
    (tmp_path / "b").symlink_to("/nowhere")
    assert verify_fence.absent(f"{tmp_path}/a {tmp_path}/b") == ("found", f"{tmp_path}/b")


def told(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_one_line_for_each_probe_and_one_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    order = {
        "gateway": f"127.0.0.1:{closed_port()}",
        "seconds": 0.3,
        "probes": [["a", "tunnel", "a.test:443"], ["b", "user", ""], ["c", "flight", "x"], ["d", "tcp", "no port"]],
    }
    assert verify_fence.main([json.dumps(order)]) == 0
    *probes, last = told(capsys)
    assert {line["id"]: line["seen"] for line in probes} == {
        "a": "no gateway",
        "b": "root" if os.getuid() == 0 else "not root",
        "c": "unknown",
        "d": "unknown",
    }
    assert last == {"event": "probes_done", "count": 4}


def test_the_probes_of_several_agents_are_tried_as_one_of_them() -> None:
    probes = [["user", "user", ""], ["left", "capabilities", ""], ["raised", "no-new-privileges", ""]]
    order = {"gateway": "127.0.0.1:9", "seconds": 0.3, "uid": 10401, "probes": probes}
    command = [sys.executable, "-I", str(IMAGES / "session/verify_fence.py"), json.dumps(order)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seen = {line.get("id"): line for line in map(json.loads, done.stdout.splitlines())}
    assert seen["user"]["seen"] == "not root"
    assert "CapEff" not in seen["left"]["detail"]
    if os.getuid() == 0:
        assert seen["user"]["detail"] == "uid 10401, gid 10401"
        assert seen["raised"]["seen"] == "set"


@pytest.mark.parametrize("arguments", [[], ["{}"], ["[1"], ['{"gateway": "a", "seconds": 1, "probes": []}']])
def test_an_argument_that_is_none_is_refused(arguments: list[str]) -> None:
    assert verify_fence.main(arguments) == 64


def test_program_and_plan_speak_of_the_same_things() -> None:
    known = verify_fence.LOCAL.keys() | verify_fence.network(prober(1)).keys()
    assert known == {str(kind) for kind in Kind}
    text = (IMAGES / "session" / "verify_fence.py").read_text()
    for seen in set(Seen) - {Seen.NOT_FINISHED}:
        assert f'"{seen}"' in text, seen
