"""Requests on a route that is not for all of them: nothing of the others leaves, and the refusal explains itself."""

import asyncio
from pathlib import Path

import pytest

from tests.unit.gateway.rig import rig, route, run
from tests.unit.gateway.test_inject import routed

PATHS = ["POST /v1/messages", "GET /v1/models/*"]


def test_a_request_that_is_not_on_the_list_is_refused_and_told_why(tmp_path: Path) -> None:
    async def work() -> None:
        async with routed(tmp_path, paths=PATHS) as (made, origin):
            answer = await made.ask("DELETE", "/model/v1/files/file_1?x=private")
            assert (answer.status, answer["x-egress-rule"]) == (403, "route-path-not-allowed")
            told = answer.told()
            assert (told["field"], told["route"], told["retry"]) == ("secrets[model].inject.paths", "model", False)
            assert told["request"] == "DELETE /v1/files/file_1"
            assert (made.names.asked, origin.connections) == ([], 0)
            (decision,) = await made.logged("decision")
            assert (decision["verdict"], decision["rule"]) == ("denied", "route-path-not-allowed")
            assert (decision["field"], decision["request"]) == (told["field"], told["request"])
            metrics = (await made.admin_says("/metrics")).body.decode()
            assert 'rule="route-path-not-allowed",verdict="denied"} 1.0' in metrics
            assert (await made.ask("POST", "/model/v1/messages?beta=true", body=b"hi")).status == 200
            assert origin.heads[0].startswith(b"POST /v1/messages?beta=true HTTP/1.1\r\n")
            origin.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
            assert (await made.ask("HEAD", "/model/v1/models/a")).status == 200

    run(work())


@pytest.mark.parametrize(
    "header", ["X-HTTP-Method-Override: DELETE", "X_Method-Override: DELETE", "X-Original-URL: /v1/files"]
)
@pytest.mark.parametrize("listed", [True, False])
def test_no_header_speaks_against_the_request_line_of_a_listed_one(
    tmp_path: Path, header: str, *, listed: bool
) -> None:
    async def work() -> None:
        further = {"paths": PATHS} if listed else {}
        async with routed(tmp_path, **further) as (made, origin):
            assert (await made.ask("POST", "/model/v1/messages", header)).status == 200
            assert bool(origin.field(header.partition(":")[0].lower())) is not listed

    run(work())


@pytest.mark.parametrize("kept", [True, False])
def test_a_changed_list_cuts_what_it_no_longer_has_and_nothing_else(tmp_path: Path, *, kept: bool) -> None:
    async def work() -> None:
        changed = asyncio.Event()

        async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
            await changed.wait()
            writer.write(b"3\r\ntwo\r\n0\r\n\r\n")

        async with rig(tmp_path) as made:
            (tmp_path / "secret").write_text("key")
            only = route(await made.serve(origin), f"file:{tmp_path / 'secret'}")
            await made.use(routes=[only | {"paths": PATHS}])
            reader, _ = await made.send(b"POST /model/v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            await reader.readuntil(b"one\r\n")
            await made.use(routes=[only | {"paths": ["GET /v1/other", *(PATHS if kept else ())]}])
            changed.set()
            if kept:
                assert await reader.readuntil(b"0\r\n\r\n") == b"3\r\ntwo\r\n0\r\n\r\n"
            else:
                with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                    await reader.readuntil(b"0\r\n\r\n")
            (end,) = await made.logged("end")
            assert end["rule"] == ("closed" if kept else "policy-changed")

    run(work())
