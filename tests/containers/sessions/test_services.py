"""Sessions that stay up: spoken to as a browser does, stopped when idle, woken by `agentenv`."""

import asyncio
import json
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.error import HTTPError

import aiohttp
import pytest

from tests.containers.sessions.stage import IDLE_SECONDS, TOKEN, Stage, events, until


def test_a_browser_talks_over_a_websocket(stage: Stage) -> None:
    until(lambda: stage.healthy("chat"), "chat serves")

    async def talk() -> list[dict[str, Any]]:
        received: list[dict[str, Any]] = []
        # As a browser: it cannot set an Authorization header, and says where its page comes from.
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(
                f"http://{stage.address('chat')}/ws",
                protocols=("agentenv", f"bearer.{TOKEN}"),
                origin="https://desk.example.com",
            ) as socket,
        ):
            assert socket.protocol == "agentenv"
            await socket.send_json({"type": "message", "text": "fake: bash 'echo over the socket'; say 'heard you'"})
            async for message in socket:
                received.append(message.json())
                if received[-1].get("event") == "turn_ended":
                    conversation = received[-1]["conversation"]
                    if sum(one.get("event") == "turn_ended" for one in received) == 2:
                        break
                    await socket.send_json({"type": "message", "text": "fake: echo", "conversation": conversation})
        return received

    received = asyncio.run(asyncio.wait_for(talk(), 60))
    texts = [one["text"] for one in received if one.get("event") == "assistant_text"]
    assert texts[0] == "heard you"
    assert json.loads(texts[1])["answers"] == ["heard you"]
    assert any(one.get("event") == "tool_result" and "over the socket" in one["text"] for one in received)


def test_without_the_token_nobody_is_heard(stage: Stage) -> None:
    with pytest.raises(HTTPError) as refused:
        stage.post("chat", "fake: say x", token="another")
    assert refused.value.code == 401
    assert json.load(refused.value)["error"]["fix"]


def test_agentenv_asks_a_service(stage: Stage) -> None:
    answer = stage.told("start", "chat", "--prompt", "fake: say 'at your service'")
    assert answer["text"] == "at your service"


def test_an_idle_service_ends_and_is_woken_with_what_it_knew(stage: Stage, asleep: Future[dict[str, Any]]) -> None:
    said = asleep.result(60)
    assert said["text"] == "good night"
    service = stage.session("dozer")
    container = stage.client.containers.get(str(service.container))

    def ended() -> bool:
        container.reload()
        return bool(container.status == "exited")

    until(ended, "dozer idles and ends", IDLE_SECONDS)
    assert container.attrs["State"]["ExitCode"] == 0
    assert "idle" in container.logs(stderr=False).decode()

    woken = stage.told("start", "dozer", "--prompt", "fake: say 'awake'")
    assert woken["text"] == "awake"
    answer = stage.post("dozer", "fake: bash 'cat note.txt'; echo", said["conversation"])
    echoed = json.loads(answer["text"])
    assert (echoed["answers"], echoed["tool_result"]) == (["good night"], "before the nap")


def test_a_service_that_is_stopped_in_a_turn_is_resumed_with_what_it_knew(
    stage: Stage, asleep: Future[dict[str, Any]]
) -> None:
    # The end of any other turn would save this one's files too.
    asleep.result(60)
    begun = stage.post("dozer", "fake: say 'before the stop'")
    conversation, container = begun["conversation"], stage.client.containers.get(str(stage.session("dozer").container))

    def tool_results() -> int:
        told = events(container.logs(stdout=True, stderr=False).decode())
        return sum(
            one["event"] == "tool_result" and one["conversation"] == conversation and "half" in one["text"]
            for one in told
        )

    with ThreadPoolExecutor(1) as pool:
        cut = pool.submit(
            stage.post, "dozer", "fake: bash 'echo half | tee half.txt'; slow 600; say never", conversation
        )
        until(tool_results, "the turn is on its way")
        assert stage.told("stop", "dozer")["status"] == "ended"
        assert cut.exception(60) is not None or cut.result()["outcome"] == "stopped"
    assert stage.told("resume", "dozer")["status"] == "running"
    answer = stage.post("dozer", "fake: bash 'cat half.txt'; echo", conversation)
    echoed = json.loads(answer["text"])
    assert echoed["answers"][0] == "before the stop"
    assert echoed["tool_result"] == "half"


def test_a_stopped_service_stays_down_until_it_is_resumed(stage: Stage) -> None:
    assert stage.told("stop", "chat")["status"] == "ended"
    assert not stage.healthy("chat")
    assert stage.told("resume", "chat")["status"] == "running"
    until(lambda: stage.healthy("chat"), "chat serves again")
