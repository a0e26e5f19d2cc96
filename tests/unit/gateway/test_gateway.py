"""The gateway as a whole: what it lets through, what it refuses, and how it says so."""

import asyncio
import contextlib
import json
import os
import ssl
from pathlib import Path
from typing import Any

import pytest
from egress_gateway import gateway

from tests.unit.gateway.rig import HOST, Rig, host, policy, rig, run
from tests.unit.gateway.test_client_hello import hello


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends back what it gets, and ends when the client does."""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


async def said(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes = b"hello") -> bool:
    """Whether the other end of a tunnel still echoes."""
    try:
        writer.write(text)
        return await asyncio.wait_for(reader.readexactly(len(text)), 5) == text
    except (OSError, asyncio.IncompleteReadError):
        return False


def test_an_allowed_host_is_reached_and_both_ends_are_logged(tmp_path: Path) -> None:
    async def work() -> None:
        async with rig(tmp_path) as made:
            port = await made.serve(echo)
            await made.use(hosts=[host(port)])
            reader, writer = await made.secure(f"Allowed.TEST.:{port}")
            assert await said(reader, writer)
            (decision,) = await made.logged("decision")
            about = {"session": "s", "source": "127.0.0.1", "host": HOST, "port": port}
            field = {"field": "config.networking.allowed_hosts[0]"}
            assert decision.items() >= ({"verdict": "allowed", "rule": "allowed-host"} | about | field).items()
            writer.close()
            (end,) = await made.logged("end")
            assert end.items() >= ({"verdict": "ended", "rule": "closed"} | about | field).items()
            assert end["bytes_up"] > 500
            assert end["bytes_down"] > 500
            assert end["seconds"] < 5

    run(work())


def test_what_is_refused_says_why_and_asks_nobody(tmp_path: Path) -> None:
    async def work() -> None:
        async with rig(tmp_path) as made:
            port = await made.serve(echo)
            await made.use(hosts=[host(port)])
            for target, rule in (
                (f"other.test:{port}", "host-not-allowed"),
                (f"{HOST}:{port + 1 if port < 65535 else 1}", "port-not-allowed"),
                ("127.0.0.1:443", "address-literal"),
                ("x@allowed.test:443", "bad-authority"),
                ("a_b.test:443", "bad-host"),
            ):
                answer, _, _ = await made.connect(target)
                assert (answer.status, answer["x-egress-rule"], answer["connection"]) == (403, rule, "close")
                told = answer.told()
                assert (told["rule"], told["retry"], told["session"]) == (rule, False, "s")
                assert "will not help" in told["message"]
            assert made.names.asked == []
            decisions = await made.logged("decision", 5)
            assert {line["verdict"] for line in decisions} == {"denied"}
            assert decisions[3]["target"] == "x@allowed.test:443"
            metrics = (await made.admin_says("/metrics")).body.decode()
            assert 'egress_decisions_total{rule="host-not-allowed",verdict="denied"} 1.0' in metrics

    run(work())


def test_a_name_of_which_one_address_is_not_allowed_is_refused(tmp_path: Path) -> None:
    async def work() -> None:
        async with rig(tmp_path) as made:
            port = await made.serve(echo)
            made.names.addresses[HOST] = ["127.0.0.1", "10.0.0.1"]
            await made.use(hosts=[host(port)])
            answer, _, _ = await made.connect(f"{HOST}:{port}")
            assert (answer.status, answer.told()["rule"]) == (403, "address-not-allowed")
            assert answer.told()["field"] == "config.networking.allowed_hosts[0]"

    run(work())


def test_answers_are_kept_no_longer_than_their_records_say(tmp_path: Path) -> None:
    async def work() -> None:
        async with rig(tmp_path) as made:
            port = await made.serve(echo)
            await made.use(hosts=[host(port), host(port, "other.test")])
            for target in (HOST, HOST, "other.test", "other.test"):
                made.names.ttl = 60 if target == HOST else 0
                await made.connect(f"{target}:{port}")
            assert made.names.asked.count((HOST, "A")) == 1
            assert made.names.asked.count(("other.test", "A")) == 2

    run(work())


def test_faults_of_the_upstream_may_be_retried(tmp_path: Path) -> None:
    async def work() -> None:
        async with rig(tmp_path) as made:
            port = await made.serve(echo)
            closed = await asyncio.start_server(echo, "127.0.0.1", 0)
            nobody = closed.sockets[0].getsockname()[1]
            closed.close()
            await made.use(hosts=[host(port, "unknown.test"), host(nobody)])
            for target, rule in ((f"unknown.test:{port}", "dns-failed"), (f"{HOST}:{nobody}", "connect-failed")):
                answer, _, _ = await made.connect(target)
                assert (answer.status, answer.told()["rule"], answer.told()["retry"]) == (502, rule, True)

    run(work())


@pytest.mark.parametrize(
    ("first", "rule"),
    [
        (hello("other.test"), "sni-mismatch"),
        (hello(None), "sni-missing"),
        (b"GET / HTTP/1.1\r\n\r\n", "not-tls"),
        (b"", "hello-too-slow"),
        (hello(HOST)[:-1], "hello-too-slow"),
        (b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc" + bytes(3000), "hello-too-large"),
    ],
)
def test_what_is_no_hello_for_the_host_never_reaches_it(tmp_path: Path, first: bytes, rule: str) -> None:
    reached = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(await reader.read(1))

    async def work() -> None:
        async with rig(tmp_path) as made:
            port = await made.serve(listen, tls=False)
            await made.use(hosts=[host(port)], limits={"hello_seconds": 0.2, "hello_bytes": 2000})
            answer, reader, writer = await made.connect(f"{HOST}:{port}")
            assert answer.status == 200
            writer.write(first)
            with contextlib.suppress(ConnectionError):
                assert (await asyncio.wait_for(reader.read(), 3))[:1] in (b"", b"\x15")
            (decision,) = await made.logged("decision")
            assert (decision["verdict"], decision["rule"]) == ("denied", rule)
            assert set(reached) <= {b""}

    run(work())


def test_the_hello_reaches_the_host_unchanged_with_all_that_follows(tmp_path: Path) -> None:
    received = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.read())
        writer.close()

    async def work() -> None:
        async with rig(tmp_path) as made:
            port = await made.serve(listen, tls=False)
            await made.use(hosts=[host(port)])
            first, rest = hello(HOST), os.urandom(70_000)
            # Sent without waiting for the answer: it stands behind the request's head.
            reader, writer = await made.send(f"CONNECT {HOST}:{port} HTTP/1.1\r\nHost: x\r\n\r\n".encode() + first[:50])
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
            writer.write(first[50:] + rest)
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 5) == b""
            assert bytes(received) == first + rest

    run(work())


def test_a_tightened_policy_cuts_what_it_does_not_allow_and_nothing_else(tmp_path: Path) -> None:
    async def work() -> None:
        async with rig(tmp_path) as made:
            port = await made.serve(echo)
            hosts = [host(port), host(port, "other.test")]
            await made.use(hosts=hosts)
            kept, cut = await made.secure(f"{HOST}:{port}"), await made.secure(f"other.test:{port}", "other.test")
            made.write_policy(hosts=hosts[:1])
            (end,) = await made.logged("end")
            assert (end["host"], end["rule"]) == ("other.test", "policy-changed")
            assert await said(*kept)
            assert not await said(*cut)
            assert (await made.connect(f"other.test:{port}"))[0].told()["rule"] == "host-not-allowed"

    run(work())


@pytest.mark.parametrize(
    "changes",
    [
        {"hosts": [host(1)]},
        {"hosts": [], "identities": []},
        {"identities": [{"session": "other", "sources": ["127.0.0.1/32"]}]},
    ],
)
def test_a_tunnel_needs_its_host_its_port_and_its_session(tmp_path: Path, changes: dict[str, Any]) -> None:
    async def work() -> None:
        async with rig(tmp_path) as made:
            port = await made.serve(echo)
            await made.use(hosts=[host(port)])
            await made.secure(f"{HOST}:{port}")
            await made.use(**({"hosts": [host(port)]} | changes))
            (end,) = await made.logged("end")
            assert end["rule"] == "policy-changed"

    run(work())


def test_another_private_range_cuts_the_tunnels_of_the_last_one(tmp_path: Path) -> None:
    async def work() -> None:
        async with rig(tmp_path) as made:
            port = await made.serve(echo)
            await made.use(hosts=[host(port)])
            await made.secure(f"{HOST}:{port}")
            await made.use(hosts=[host(port, private_range="10.0.0.0/8")])
            await made.logged("end")
            assert (await made.connect(f"{HOST}:{port}"))[0].told()["rule"] == "address-not-allowed"

    run(work())


def test_without_a_good_policy_nothing_leaves(tmp_path: Path) -> None:
    async def work() -> None:
        async with rig(tmp_path, policy_file=False) as made:
            port = await made.serve(echo)

            async def state() -> tuple[int, str, bool, int]:
                answer, _, _ = await made.connect(f"{HOST}:{port}")
                ready = await made.admin_says("/readyz")
                assert (await made.admin_says("/healthz")).status == 200
                if answer.status == 200:
                    return 200, "", True, ready.status
                assert ready.body.decode().strip() == answer.told()["rule"]
                return answer.status, answer.told()["rule"], answer.told()["retry"], ready.status

            assert await state() == (503, "no-policy", True, 503)
            await made.use(hosts=[host(port)])
            assert await state() == (200, "", True, 200)
            reader, writer = await made.secure(f"{HOST}:{port}")
            (tmp_path / "policy.json").write_text('{"version": 2}')
            await made.gateway.look()
            assert not await said(reader, writer)
            assert await state() == (503, "broken-policy", False, 503)
            (tmp_path / "policy.json").unlink()
            await made.gateway.look()
            assert await state() == (503, "no-policy", True, 503)
            await made.use(hosts=[host(port)])
            assert await state() == (200, "", True, 200)
            seen = [(line["verdict"], line["rule"]) for line in await made.logged("policy")]
            assert seen == [
                ("refused", "no-policy"),
                ("in-force", None),
                ("refused", "broken-policy"),
                ("refused", "no-policy"),
                ("in-force", None),
            ]

    run(work())


def test_a_stranger_is_refused_and_a_token_tells_two_sessions_apart(tmp_path: Path) -> None:
    async def work() -> None:
        async with rig(tmp_path) as made:
            port = await made.serve(echo)
            # SHA-256 of "one" and of "two".
            digests = (
                "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
                "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3",
            )
            identities = [
                {"session": name, "sources": ["127.0.0.1/32"], "token_sha256": digest}
                for name, digest in zip("ab", digests, strict=True)
            ]
            await made.use(hosts=[host(port, sessions=["b"])], identities=identities)

            async def rule(*headers: str) -> str:
                answer, _, _ = await made.connect(f"{HOST}:{port}", *headers)
                return "" if answer.status == 200 else str(answer.told()["rule"])

            # Basic credentials: a:one, b:two, b:one, and what is none.
            assert await rule("Proxy-Authorization: Basic YTpvbmU=") == "host-not-allowed"
            assert await rule("Proxy-Authorization: basic Yjp0d28=") == ""
            for headers in (
                [],
                ["Proxy-Authorization: Basic YjpvbmU="],
                ["Proxy-Authorization: Bearer two"],
                ["Proxy-Authorization: Basic !"],
                ["Authorization: Basic Yjp0d28="],
            ):
                assert await rule(*headers) == "unknown-session"
            assert await rule(*["Proxy-Authorization: Basic Yjp0d28="] * 2) == "malformed-request"

    run(work())


def test_a_session_has_so_many_tunnels_and_no_more(tmp_path: Path) -> None:
    async def work() -> None:
        async with rig(tmp_path) as made:
            port = await made.serve(echo)
            await made.use(hosts=[host(port)], limits={"tunnels_per_session": 2})
            _, first = await made.secure(f"{HOST}:{port}")
            await made.secure(f"{HOST}:{port}")
            answer, _, _ = await made.connect(f"{HOST}:{port}")
            assert (answer.status, answer.told()["rule"], answer.told()["retry"]) == (503, "too-many-tunnels", True)
            first.close()
            await made.logged("end")
            await made.secure(f"{HOST}:{port}")

    run(work())


@pytest.mark.parametrize(("limit", "rule"), [("idle_seconds", "idle-timeout"), ("total_seconds", "total-timeout")])
def test_an_idle_tunnel_and_an_old_one_are_cut(tmp_path: Path, limit: str, rule: str) -> None:
    async def work() -> None:
        async with rig(tmp_path, limits={limit: 0.4}) as made:
            port = await made.serve(echo)
            await made.use(hosts=[host(port)], limits={limit: 0.4})
            reader, writer = await made.secure(f"{HOST}:{port}")
            for _ in range(4):
                await asyncio.sleep(0.15)
                if limit == "idle_seconds":
                    assert await said(reader, writer)
            (end,) = await made.logged("end")
            assert end["rule"] == rule

    run(work())


@pytest.mark.parametrize(
    ("request_", "status", "rule"),
    [
        (b"GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n", 403, "plain-http"),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 403, "method-refused"),
        (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 403, "unknown-route"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 403, "unknown-route"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "malformed-request"),
        (b"CONNECT a.test:443 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 400, "malformed-request"),
        (
            b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "malformed-request",
        ),
        (b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", 400, "malformed-request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "malformed-request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 5000 + b"\r\n\r\n", 431, "head-too-large"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 5000, 431, "head-too-large"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", 408, "head-too-slow"),
        (b"", 408, "head-too-slow"),
    ],
)
def test_other_requests_are_refused_with_a_reason(tmp_path: Path, request_: bytes, status: int, rule: str) -> None:
    async def work() -> None:
        async with rig(tmp_path) as made:
            await made.use(limits={"head_bytes": 4000, "head_seconds": 0.2})
            reader, _ = await made.send(request_)
            answer = (await asyncio.wait_for(reader.read(), 5)).decode()
            assert answer.startswith(f"HTTP/1.1 {status} ")
            assert f"x-egress-rule: {rule}\r\n" in answer
            assert json.loads(answer.partition("\r\n\r\n")[2])["rule"] == rule
            (decision,) = await made.logged("decision")
            assert decision["rule"] == rule

    run(work())


def test_a_crowd_of_silent_clients_is_turned_away(tmp_path: Path) -> None:
    async def work() -> None:
        async with rig(tmp_path) as made:
            await made.use(limits={"tunnels_per_session": 3})
            for _ in range(3):
                await made.send(b"")
            reader, _ = await made.send(b"")
            assert b"x-egress-rule: too-many-tunnels\r\n" in await asyncio.wait_for(reader.read(), 3)

    run(work())


def test_a_client_that_leaves_leaves_nothing_behind(tmp_path: Path) -> None:
    async def work() -> None:
        async with rig(tmp_path) as made:
            port = await made.serve(echo)
            await made.use(hosts=[host(port)], limits={"tunnels_per_session": 1})
            _, _, writer = await made.connect(f"{HOST}:{port}")
            before = open_files()
            writer.transport.abort()
            (decision,) = await made.logged("decision")
            assert (decision["verdict"], decision["rule"]) == ("denied", "client-left")
            await made.secure(f"{HOST}:{port}")
            assert open_files() <= before + 1

    run(work())


def test_a_stop_lets_open_tunnels_end_and_takes_no_new_ones(tmp_path: Path) -> None:
    async def work(made: Rig) -> None:
        port = await made.serve(echo)
        await made.use(hosts=[host(port)])
        reader, writer = await made.secure(f"{HOST}:{port}")
        stopping = asyncio.get_running_loop().create_task(made.gateway.stop())
        await asyncio.sleep(0.05)
        assert await said(reader, writer)
        with pytest.raises(ConnectionError):
            await made.send(b"")
        writer.close()
        await asyncio.wait_for(stopping, 3)
        assert made.lines[-1]["event"] == "stopped"
        assert not (made.folder / "state" / "control.sock").exists()

    async def inside() -> None:
        async with rig(tmp_path) as made:
            await work(made)

    run(inside())


def test_the_admin_server_is_not_on_the_proxys_port(tmp_path: Path) -> None:
    async def work() -> None:
        async with rig(tmp_path) as made:
            assert made.admin != made.proxy
            assert (await made.ask("GET", "/metrics")).told()["rule"] == "unknown-route"
            assert (await made.admin_says("/other")).status == 404

    run(work())


def test_registries_are_reached_where_the_policy_says_so(tmp_path: Path) -> None:
    async def work() -> None:
        async with rig(tmp_path, registries=[{"manager": "pip", "host": "packages.test"}]) as made:
            await made.use(**policy())
            refused = (await made.connect("packages.test:443"))[0].told()
            assert refused["rule"] == "host-not-allowed"
            assert refused["field"] == "config.networking.allow_package_managers"
            await made.use(package_managers=True)
            assert (await made.connect("packages.test:443"))[0].told()["rule"] == "dns-failed"

    run(work())


def test_no_more_tunnels_are_allowed_than_files_can_be_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "_raise_file_limit", lambda: 128 + 3 * 2)

    async def work() -> None:
        async with rig(tmp_path) as made:
            port = await made.serve(echo)
            await made.use(hosts=[host(port)])
            for _ in range(2):
                await made.secure(f"{HOST}:{port}")
            assert (await made.connect(f"{HOST}:{port}"))[0].told()["rule"] == "too-many-tunnels"

    run(work())


def test_a_host_that_takes_nothing_holds_the_client_back(tmp_path: Path) -> None:
    enough = 32 * 2**20

    async def listen_and_take_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(20)

    async def work() -> None:
        async with rig(tmp_path) as made:
            port = await made.serve(listen_and_take_nothing, tls=False)
            await made.use(hosts=[host(port)])
            # More than the gateway's buffers hold comes before the tunnel is joined.
            head = f"CONNECT {HOST}:{port} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            _, writer = await made.send(head + hello(HOST) + bytes(120_000))

            async def fill() -> None:
                for _ in range(enough // 2**18):
                    writer.write(bytes(2**18))
                    await writer.drain()

            with pytest.raises(TimeoutError):
                await asyncio.wait_for(fill(), 3)

    run(work())


def test_a_range_withdrawn_while_a_tunnel_opens_is_withdrawn_for_it(tmp_path: Path) -> None:
    received = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            received.extend(data)

    async def work() -> None:
        async with rig(tmp_path) as made:
            port = await made.serve(listen, tls=False)
            await made.use(hosts=[host(port)])
            _, reader, writer = await made.connect(f"{HOST}:{port}")
            await made.use(hosts=[host(port) | {"private_range": "127.128.0.0/9"}])
            writer.write(hello(HOST))
            assert await asyncio.wait_for(reader.read(), 5) == b""
            (decision,) = await made.logged("decision")
            assert decision["rule"] == "policy-changed"
            assert not received

    run(work())


def test_a_host_that_leaves_before_the_hello_is_no_http_answer_in_the_tunnel(tmp_path: Path) -> None:
    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def work() -> None:
        async with rig(tmp_path) as made:
            port = await made.serve(leave, tls=False)
            await made.use(hosts=[host(port)])
            _, reader, writer = await made.connect(f"{HOST}:{port}")
            await asyncio.sleep(0.2)
            writer.write(hello(HOST))
            assert await asyncio.wait_for(reader.read(), 5) == b""
            (decision,) = await made.logged("decision")
            assert (decision["verdict"], decision["rule"]) == ("denied", "upstream-left")

    run(work())
