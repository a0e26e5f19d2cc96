"""The HTTP side of the stand-in: messages, token counts, models and files."""

import asyncio
import hashlib
import json
import ssl
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, cast

from aiohttp import web

from offline.model_api import script, turns, wire
from offline.model_api.script import Answer, Echo, Say, Tell, UseTool

LARGEST_REQUEST = 64 << 20
_CHARACTERS_A_TOKEN = 4
_PING_SECONDS = 1.0


@dataclass(frozen=True)
class Received:
    """One request, as the log has it.

    Attributes:
        time: RFC 3339, UTC.
        method: HTTP method.
        path: With its query.
        key_sha256: Of the API key or bearer token; None: none was sent.
        status: What was answered; 0: nothing, or the connection was cut.
        model: As asked for.
        messages: How many.
        system: The system prompt's text.
        tools: Names of the tools that the caller offers.
        prompt: The user's text that began the turn.
        stream: Whether server-sent events were wanted.
    """

    time: str
    method: str
    path: str
    key_sha256: str | None
    status: int = 0
    model: str | None = None
    messages: int = 0
    system: str = ""
    tools: tuple[str, ...] = ()
    prompt: str = ""
    stream: bool = False

    def line(self) -> str:
        """As one line of JSON."""
        return json.dumps(asdict(self))


class ApiError(Exception):
    """Answered as an error of the API."""

    def __init__(self, status: int, message: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class ModelApi:
    """The stand-in, inside a running event loop: `async with ModelApi() as api`.

    Attributes:
        url: Where it listens, once entered.
        requests: All requests so far whose fate is known, in that order.
        files: Content by file id, for `GET /v1/files/ID/content`.
    """

    url: str

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        expected_key: str | None = None,
        answers: Mapping[str, str] | None = None,
        on_request: Callable[[Received], None] = lambda _: None,
    ) -> None:
        """Nothing listens yet.

        Args:
            host: Address to listen on.
            port: 0 for any.
            tls: With a certificate; None: plain HTTP.
            expected_key: The only API key that is taken; None: any.
            answers: Words -> the script where a prompt has these words and no script of its own.
            on_request: Told of each request as it ends.

        Raises:
            ScriptError: One of `answers` cannot be read.
        """
        for text in (answers or {}).values():
            script.parse(text)
        self._answers = dict(answers or {})
        self._host, self._port, self._tls, self._expected_key = host, port, tls, expected_key
        self._on_request = on_request
        self._default: str | None = None
        self._attempts: Counter[str] = Counter()
        self.requests: list[Received] = []
        self.files: dict[str, bytes] = {}

    def script(self, text: str | None) -> None:
        """What is answered where a prompt carries no script; None: a short fixed text.

        Raises:
            ScriptError: It cannot be read.
        """
        script.parse(text or "")
        self._default = text

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=LARGEST_REQUEST)
        app.router.add_get("/.requests", self._list_requests)
        app.router.add_route("*", "/{path:.*}", self._serve)
        # A caller that gives up ends its handler, so that `hang` and `slow` leave nothing behind.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port, ssl_context=self._tls).start()
        port = self._runner.addresses[0][1]
        self.url = f"{'https' if self._tls else 'http'}://{self._host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _list_requests(self, _: web.Request) -> web.Response:
        return web.json_response([asdict(received) for received in self.requests])

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        key = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
        told: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "method": request.method,
            "path": request.path_qs,
            "key_sha256": hashlib.sha256(key.encode()).hexdigest() if key else None,
        }
        try:
            if request.method in {"GET", "HEAD"} and request.path == "/":
                response: web.StreamResponse = web.json_response({"type": "stand-in"})
            else:
                self._judge(key)
                response = await self._answer(request, key, told)
            # A connection that was cut has told nothing.
            told["status"] = 0 if request.transport is None or request.transport.is_closing() else response.status
        except ApiError as error:
            told["status"] = error.status
            response = web.json_response(wire.error(error.status, error.message), status=error.status)
        finally:
            received = Received(**told)
            self.requests.append(received)
            self._on_request(received)
        if not response.prepared:
            response.headers["request-id"] = wire.request_id()
        return response

    def _judge(self, key: str) -> None:
        if not key or self._expected_key not in {None, key}:
            raise ApiError(401, "invalid x-api-key")

    async def _answer(self, request: web.Request, key: str, told: dict[str, Any]) -> web.StreamResponse:
        match request.method, request.path.removeprefix("/v1/").split("/"):
            case "POST", ["messages"]:
                body = await _messages_request(request)
                told.update(_summary(body))
                return await self._message(request, body, key)
            case "POST", ["messages", "count_tokens"]:
                body = await _messages_request(request)
                told.update(_summary(body))
                return web.json_response({"input_tokens": _tokens(body)})
            case "GET", ["models"]:
                return web.json_response({"data": [], "has_more": False, "first_id": None, "last_id": None})
            case "GET", ["files", name, "content"] if name in self.files:
                return web.Response(body=self.files[name], content_type="application/octet-stream")
        raise ApiError(404, f"{request.method} {request.path}: not found")

    async def _message(self, request: web.Request, body: Mapping[str, Any], key: str) -> web.StreamResponse:
        turn = turns.current(body["messages"])
        try:
            answer = self._chosen(turn)
        except script.ScriptError as error:
            raise ApiError(400, str(error)) from None
        attempt = turns.attempt_key(body, key)
        trouble = answer.trouble(self._attempts[attempt])
        self._attempts[attempt] += 1
        if trouble and trouble.status:
            raise ApiError(trouble.status)
        if answer.hang:
            await asyncio.Event().wait()
        content = _content(answer, body["messages"])
        tokens = wire.usage(*(answer.usage or (_tokens(body), _count(content))))
        message = wire.message(str(body["model"]), content, tokens)
        if not body.get("stream"):
            await asyncio.sleep(answer.slow)
            if trouble:
                _cut(request)
            return web.json_response(message)
        return await _stream(request, message, content, slow=answer.slow, cut=bool(trouble))

    def _chosen(self, turn: turns.Turn) -> Answer:
        known = (text for words, text in self._answers.items() if words in turn.prompt)
        text = turn.script if turn.script is not None else next(known, self._default)
        if text is None:
            return Answer(Say(f"No script in: {turn.prompt.strip()[:60]}"))
        return script.chosen(script.parse(text), turn.step)


def _content(answer: Answer, messages: Sequence[Mapping[str, Any]]) -> Say | UseTool:
    match answer.content:
        case Echo():
            return Say(turns.seen(messages).text())
        case Tell():
            return Say(turns.last_result(messages) or "(nothing)")
        case content:
            return content


async def _stream(
    request: web.Request, message: Mapping[str, Any], content: Say | UseTool, *, slow: float, cut: bool
) -> web.StreamResponse:
    """Write the answer as server-sent events; with `cut`, end the connection in the middle of the content."""
    response = web.StreamResponse(
        headers={"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
    )
    response.headers["request-id"] = wire.request_id()
    await response.prepare(request)
    tokens = message["usage"]
    with suppress(ConnectionResetError):
        for event in wire.opening(message, tokens):
            await response.write(wire.encode(event))
        await _wait(response, slow)
        for event in wire.contents(content, message["content"][0]):
            if cut and event["type"] == "content_block_stop":
                _cut(request)
                break
            await response.write(wire.encode(event))
        else:
            for event in wire.closing(message, tokens):
                await response.write(wire.encode(event))
            await response.write_eof()
    return response


async def _wait(response: web.StreamResponse, seconds: float) -> None:
    while seconds > 0:
        await asyncio.sleep(min(seconds, _PING_SECONDS))
        seconds -= _PING_SECONDS
        await response.write(wire.encode(wire.PING))


def _cut(request: web.Request) -> None:
    if request.transport:
        request.transport.abort()


async def _messages_request(request: web.Request) -> Mapping[str, Any]:
    """The body of a request for a message.

    Raises:
        ApiError: It is not one.
    """
    try:
        body = await request.json()
    except ValueError:
        raise ApiError(400, "the body is not JSON") from None
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        raise ApiError(400, "messages: Field required")
    if not isinstance(body.get("model"), str):
        raise ApiError(400, "model: Field required")
    return cast(Mapping[str, Any], body)


def _summary(body: Mapping[str, Any]) -> dict[str, object]:
    system = body.get("system") or ""
    if not isinstance(system, str):
        system = "\n".join(str(block.get("text", "")) for block in system)
    tools: Sequence[Mapping[str, object]] = body.get("tools") or []
    return {
        "model": body["model"],
        "messages": len(body["messages"]),
        "system": system,
        "tools": tuple(str(tool.get("name")) for tool in tools),
        "prompt": turns.current(body["messages"]).prompt,
        "stream": bool(body.get("stream")),
    }


def _tokens(body: Mapping[str, Any]) -> int:
    counted = {name: body.get(name) for name in ("system", "messages", "tools")}
    return max(1, len(json.dumps(counted)) // _CHARACTERS_A_TOKEN)


def _count(content: Say | UseTool) -> int:
    text = content.text if isinstance(content, Say) else json.dumps(content.input)
    return max(1, len(text) // _CHARACTERS_A_TOKEN)
