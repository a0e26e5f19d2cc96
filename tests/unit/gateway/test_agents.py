"""Agents that share a session's address: each shows its token, and nobody else is let in from there."""

import asyncio
import base64
import hashlib
import json
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from egress_gateway.asking import ControlError, ask
from egress_gateway.credentials import Agent, Shown, from_target, parse_agents, without_tokens
from egress_gateway.denial import Denied
from egress_gateway.identity import Identities, NotAdmitted
from egress_gateway.policy import Identity

from tests.unit.gateway.rig import HOST, Answer, Rig, host, rig, run
from tests.unit.gateway.test_gateway import echo, said
from tests.unit.gateway.test_inject import SECRET, routed

TOKENS = {"critic": "token-of-critic-1b7c", "writer": "token-of-writer-9f20"}
HASHES = {name: hashlib.sha256(token.encode()).hexdigest() for name, token in TOKENS.items()}
AGENTS = parse_agents(HASHES)
RUN = ip_network("10.0.0.1/32")
HERE = "127.0.0.1/32"


def header(name: str, token: str) -> str:
    """An agent's line of proxy credentials."""
    return f"Proxy-Authorization: Basic {base64.b64encode(f'{name}:{token}'.encode()).decode()}"


def admit(made: Rig, **further: Any) -> None:
    """Have the rig's own address belong to the agents of session `s`."""
    control = made.folder / "state" / "control.sock"
    ask(control, {"command": "admit", "session": "s", "source": HERE, "agents": HASHES} | further)


def rule(answer: Answer) -> str:
    """Rule of a denial; empty for a tunnel or an answer of the origin."""
    return str(answer.told()["rule"]) if answer.has("x-egress-rule") else ""


def test_each_agent_is_known_by_its_own_token(tmp_path: Path) -> None:
    identities = Identities(tmp_path)
    identities.admit("s", RUN, AGENTS)
    identity = run(identities.identity("10.0.0.1", None))
    assert {name: identity.agent(Shown(name, token)) for name, token in TOKENS.items()} == {
        name: name for name in TOKENS
    }
    for shown in (
        Shown(),
        Shown("critic"),
        Shown("critic", TOKENS["writer"]),
        Shown("critic", TOKENS["critic"] + "\n"),
        Shown("critic", HASHES["critic"]),
        Shown("", TOKENS["critic"]),
        Shown("s", TOKENS["critic"]),
        Shown("CRITIC", TOKENS["critic"]),
    ):
        with pytest.raises(Denied, match="unknown-agent"):
            identity.agent(shown)


def test_agents_are_known_after_a_restart_and_what_an_earlier_gateway_wrote_too(tmp_path: Path) -> None:
    Identities(tmp_path).admit("s", RUN, AGENTS)
    file = tmp_path / "identities.json"
    (written,) = json.loads(file.read_text())
    assert written == {"session": "s", "source": str(RUN), "agents": HASHES}
    assert Identities(tmp_path).all() == [Identity("s", RUN, agents=AGENTS)]
    file.write_text(json.dumps([{"session": "s", "source": str(RUN)}]))
    assert Identities(tmp_path).all() == [Identity("s", RUN)]


@pytest.mark.parametrize("source", ["10.0.0.1/32", "10.0.0.0/29"])
@pytest.mark.parametrize("agents", [(), AGENTS[:1], (Agent("critic", "0" * 64), AGENTS[1])])
def test_what_is_admitted_for_agents_is_not_admitted_for_others(
    tmp_path: Path, source: str, agents: tuple[Agent, ...]
) -> None:
    identities = Identities(tmp_path)
    identities.admit("s", RUN, AGENTS)
    with pytest.raises(NotAdmitted, match="dismiss that first"):
        identities.admit("s", ip_network(source), agents)
    identities.admit("s", RUN, AGENTS)
    assert identities.all() == [Identity("s", RUN, agents=AGENTS)]


def test_an_agent_that_is_no_more_is_not_let_in_again(tmp_path: Path) -> None:
    identities = Identities(tmp_path)
    identities.admit("s", RUN, AGENTS)
    assert identities.still("s", "10.0.0.1", "critic")
    assert not identities.still("s", "10.0.0.1")
    identities.dismiss(RUN)
    identities.admit("s", RUN, AGENTS[1:])
    assert not identities.still("s", "10.0.0.1", "critic")
    identities.dismiss(RUN)
    identities.admit("s", RUN)
    assert identities.still("s", "10.0.0.1")
    assert not identities.still("s", "10.0.0.1", "writer")


@pytest.mark.parametrize(
    "agents", [{"critic": "a-token"}, {"critic": "A" * 64}, {"critic": 1}, {"a:b": "0" * 64}, {"": "0" * 64}]
)
def test_what_is_no_name_or_hash_is_refused_and_not_repeated(tmp_path: Path, agents: dict[str, Any]) -> None:
    async def work() -> None:
        async with rig(tmp_path, identities=[]) as made:
            # In a thread of its own, since it waits for the gateway, which runs here.
            with pytest.raises(ControlError, match=r"^agents") as caught:
                await in_thread(admit, made, agents=agents)
            assert str(next(iter(agents.values()))) not in str(caught.value).replace("64", "")

    run(work())


async def in_thread(function: Any, *arguments: Any, **further: Any) -> None:
    """Call what waits for the gateway, which runs in this thread's event loop."""
    await asyncio.to_thread(function, *arguments, **further)


def test_a_tunnel_is_for_an_agent_with_its_token_and_the_log_names_it(tmp_path: Path) -> None:
    async def work() -> None:
        async with rig(tmp_path) as made:
            port = await made.serve(echo)
            await made.use(hosts=[host(port)], identities=[])
            await in_thread(admit, made)
            target = f"{HOST}:{port}"
            for headers in (
                [],
                [header("critic", TOKENS["writer"])],
                [header("other", TOKENS["critic"])],
                [header("critic", "")],
                ["Proxy-Authorization: Bearer " + TOKENS["critic"]],
            ):
                answer, _, _ = await made.connect(target, *headers)
                assert (answer.status, rule(answer)) == (407, "unknown-agent")
                assert answer["proxy-authenticate"] == 'Basic realm="egress-gateway"'
                assert (answer.told()["session"], answer.told()["retry"]) == ("s", False)
            answer, reader, writer = await made.connect(target, header("critic", TOKENS["critic"]))
            await writer.start_tls(made.trust, server_hostname=HOST)
            assert await said(reader, writer)
            refused, _, _ = await made.connect("other.test:443", header("writer", TOKENS["writer"]))
            assert refused.told()["agent"] == "writer"
            writer.close()
            (end,) = await made.logged("end")
            decisions = await made.logged("decision", 7)
            assert [line.get("agent") for line in decisions] == [None] * 5 + ["critic", "writer"]
            assert (end["session"], end["agent"]) == ("s", "critic")
            assert not [token for token in TOKENS.values() if token in json.dumps(made.lines)]

    run(work())


def test_a_route_is_for_an_agent_that_says_who_it_is_in_the_path(tmp_path: Path) -> None:
    async def work() -> None:
        async with routed(tmp_path) as (made, origin):
            document = made.gateway.describe()["policy"]
            listed = {"name": "listed", "paths": ["GET /v1/models/*"]}
            await made.use(routes=[*document["routes"], document["routes"][0] | listed], identities=[])
            await in_thread(admit, made)
            for path in (
                "/model/v1",
                f"/.as/critic/{TOKENS['writer']}/model/v1",
                f"/.as/critic//model/{TOKENS['critic']}",
                f"/.as/{TOKENS['critic']}/model/v1",
                f"/.as/critic/{TOKENS['critic']}",
            ):
                answer = await made.ask("GET", path)
                assert (answer.status, rule(answer)) == (407, "unknown-agent")
            assert origin.heads == []
            assert (await made.ask("GET", f"/.as/critic/{TOKENS['critic']}/model/v1/x?a=b")).status == 200
            assert (await made.ask("GET", "/model/v1/y", header("writer", TOKENS["writer"]))).status == 200
            targets = [head.split(b" ")[1] for head in origin.heads]
            assert targets == [b"/v1/x?a=b", b"/v1/y"]
            assert origin.field("x-api-key") == [SECRET]
            ends = await made.logged("end", 2)
            assert [(line["agent"], line["route"]) for line in ends] == [("critic", "model"), ("writer", "model")]
            told = await made.ask("GET", f"/.as/critic/{TOKENS['critic']}/nothing/at/all")
            assert (rule(told), told.told()["agent"], told.told()["route"]) == ("unknown-route", "critic", "nothing")
            own = f"/.as/critic/{TOKENS['critic']}/listed"
            assert (await made.ask("GET", f"{own}/v1/models/a")).status == 200
            refused = await made.ask("GET", f"{own}/v1/files")
            assert (rule(refused), refused.told()["request"]) == ("route-path-not-allowed", "GET /v1/files")
            assert (await made.logged("decision", 10))[-1]["request"] == "GET /v1/files"
            assert not [token for token in TOKENS.values() if token in json.dumps(made.lines)]
            assert not [token for token in TOKENS.values() if token in (told.body + refused.body).decode()]

    run(work())


def test_the_tunnels_of_agents_that_are_dismissed_are_cut(tmp_path: Path) -> None:
    async def work() -> None:
        async with rig(tmp_path) as made:
            port = await made.serve(echo)
            await made.use(hosts=[host(port)], identities=[])
            await in_thread(admit, made)
            _, reader, writer = await made.connect(f"{HOST}:{port}", header("critic", TOKENS["critic"]))
            await writer.start_tls(made.trust, server_hostname=HOST)
            await made.use(hosts=[host(port), host(port, "more.test")], identities=[])
            assert await said(reader, writer)
            await in_thread(ask, made.folder / "state" / "control.sock", {"command": "dismiss", "source": HERE})
            (end,) = await made.logged("end")
            assert (end["rule"], end["agent"]) == ("session-dismissed", "critic")
            assert not await said(reader, writer)

    run(work())


def test_people_see_who_is_admitted_and_no_hash(tmp_path: Path) -> None:
    async def work() -> None:
        async with rig(tmp_path, identities=[]) as made:
            await in_thread(admit, made)
            shown = made.gateway.describe()
            assert shown["identities"] == [
                {"session": "s", "source": HERE, "token": False, "agents": ["critic", "writer"]}
            ]
            assert not [digest for digest in HASHES.values() if digest in json.dumps(shown)]

    run(work())


@pytest.mark.parametrize(
    ("target", "found"),
    [
        (b"/.as/a/t/model/v1?x=/.as/b/u/c", (Shown("a", "t"), b"/model/v1?x=/.as/b/u/c")),
        (b"/.as/a/t/", (Shown("a", "t"), b"/")),
        (b"/.as///model", (Shown(), b"/model")),
        (b"/.as/a/t/.as/b/u/model", (Shown("a", "t"), b"/.as/b/u/model")),
        (b"/.as/a/t", None),
        (b"/.as/a/t?x", None),
        (b"/.as/a/\xff/model", None),
        (b"/x/.as/a/t/model", None),
        (b"/.as", None),
        (b"http://h/.as/a/t/model", None),
    ],
)
def test_who_a_path_says_it_is(target: bytes, found: tuple[Shown, bytes] | None) -> None:
    assert from_target(target) == found


@pytest.mark.parametrize(
    ("target", "logged"),
    [
        (b"/.as/a/SECRET/model/v1?x", b"/.as/...?x"),
        (b"http://10.0.0.2:3128/.AS/a/SECRET/model", b"http://10.0.0.2:3128/.AS/..."),
        (b"http://a:SECRET@h.test:80/x", b"http://a:...@h.test:80/x"),
        (b"a:SECRET@h.test:443", b"a:...@h.test:443"),
        (b"x@allowed.test:443", b"x@allowed.test:443"),
        (b"/model/v1/a:b", b"/model/v1/a:b"),
        (b"h.test:443", b"h.test:443"),
    ],
)
def test_a_target_is_logged_without_tokens(target: bytes, logged: bytes) -> None:
    assert without_tokens(target) == logged


def test_no_place_where_a_token_is_shown_reaches_the_log(tmp_path: Path) -> None:
    token = TOKENS["critic"]

    async def work() -> None:
        async with rig(tmp_path, identities=[]) as made:
            for admitted in (False, True):
                if admitted:
                    await in_thread(admit, made)
                for target in (f"/.as/critic/{token}/model", f"http://x/.as/critic/{token}/m", f"http://a:{token}@x/"):
                    for shown in ([], [header("critic", token)]):
                        answer = await made.ask("GET", target, *shown)
                        assert answer.status in (403, 407)
                        assert token not in f"{answer}"
                answer, _, _ = await made.connect(f"critic:{token}@x.test:443", header("critic", token))
                assert token not in f"{answer}"
            assert len(await made.logged("decision", 14)) == 14
            assert token not in json.dumps(made.lines)

    run(work())
