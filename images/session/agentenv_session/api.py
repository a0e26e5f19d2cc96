"""HTTP and WebSocket of an agent that stays up; every answer but a health check's takes the session's token."""

import asyncio
import hashlib
import hmac
import json
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from aiohttp import WSMsgType, web

from agentenv_session.bus import Bus, Event, FullError, Listener
from agentenv_session.conversation import TurnResult
from agentenv_session.talks import BusyError, Talk, Talks, UnknownError

MOST_BYTES = 256 * 1024
"""Of a request's body, and of a WebSocket message."""
HEARTBEAT_SECONDS = 20
_CLOSE_SECONDS = 5
_RETRY_SECONDS = 5
_PROTOCOL = "agentenv"
_BEARER = "bearer."
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """Serves one agent's conversations.

    Args:
        talks: The conversations.
        bus: Their events.
        token_sha256: SHA-256 of the token, in hexadecimal.
        stopping: Whether the session is about to end.
    """

    def __init__(self, talks: Talks, bus: Bus, token_sha256: str, stopping: Callable[[], bool]) -> None:
        self._talks, self._bus, self._hash, self._stopping = talks, bus, token_sha256, stopping
        self._tasks: set[asyncio.Task[TurnResult]] = set()
        self._sockets: set[web.WebSocketResponse] = set()
        self.application = web.Application(client_max_size=MOST_BYTES, middlewares=[self._guarded])
        self.application.add_routes(
            [
                web.get("/healthz", self._health),
                web.post("/messages", self._message),
                web.get("/events", self._events),
                web.get("/ws", self._socket),
                web.get("/conversations", self._table),
                web.delete("/conversations/{id}", self._forget),
            ]
        )

    async def close(self) -> None:
        """End every stream."""
        closing = (socket.close(code=1001, message=b"the session is stopping") for socket in self._sockets)
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await asyncio.gather(*closing, return_exceptions=True)
        self._bus.close()

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if request.path != "/healthz" and not self._knows(request):
                return _error(401, "token", "the token is missing or wrong", "send Authorization: Bearer TOKEN")
            return await handler(request)
        except web.HTTPRequestEntityTooLarge:
            return _error(413, "size", f"a message has {MOST_BYTES} bytes at most", "put the text into a file")
        except web.HTTPException as error:
            return _error(error.status, "request", error.reason, "see the README for what is served here")
        except _BadError as error:
            return _error(400, "body", str(error), 'send {"text": "...", "conversation": "..."}')
        except UnknownError:
            return _error(404, "conversation", "there is no such conversation", "leave it out to begin a new one")
        except (BusyError, FullError) as error:
            answer = _error(429, "busy", str(error) or "too many listen", "try again later")
            answer.headers["retry-after"] = str(_RETRY_SECONDS)
            return answer

    def _knows(self, request: web.Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            # Browsers put no header on a WebSocket.
            offered = [one.strip() for one in request.headers.get("sec-websocket-protocol", "").split(",")]
            token = next((one.removeprefix(_BEARER) for one in offered if one.startswith(_BEARER)), "")
        digest = hashlib.sha256(token.strip().encode(errors="surrogateescape")).hexdigest()
        return bool(token) and hmac.compare_digest(digest, self._hash)

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "stopping" if self._stopping() else "ok"})

    async def _message(self, request: web.Request) -> web.Response:
        text, conversation = _message_of(await request.read())
        talk, message, task = self._said(text, conversation)
        told = {"conversation": talk.id, "message": message}
        if request.query.get("wait") != "true":
            return web.json_response({**told, "turn": talk.kept.turns + 1}, status=202)
        # Whoever waits and goes away leaves the turn at work.
        result = await asyncio.shield(task)
        return web.json_response(told | _told(result))

    async def _events(self, request: web.Request) -> web.StreamResponse:
        conversation = request.query.get("conversation")
        after = _number(request.headers.get("last-event-id") or request.query.get("after"))
        with self._bus.listening({conversation} if conversation else None, after) as listener:
            answer = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-store"})
            await answer.prepare(request)
            try:
                async for event in _heard(listener):
                    line = ": still here\n\n" if event is None else _sse(event)
                    async with asyncio.timeout(HEARTBEAT_SECONDS):
                        await answer.write(line.encode())
            except ConnectionError:
                pass
            except TimeoutError:
                # The end of the stream would wait for it again.
                if request.transport is not None:
                    request.transport.abort()
        return answer

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_SECONDS, max_msg_size=MOST_BYTES, protocols=(_PROTOCOL,), timeout=_CLOSE_SECONDS
        )
        wanted = request.query.get("conversation")
        with self._bus.listening({wanted} if wanted else set()) as listener:
            await socket.prepare(request)
            self._sockets.add(socket)
            sending = asyncio.create_task(_send(socket, listener, request.transport))
            try:
                async for message in socket:
                    if message.type is not WSMsgType.TEXT:
                        continue
                    await self._heard(socket, listener, message.data)
            finally:
                self._sockets.discard(socket)
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        return socket

    async def _heard(self, socket: web.WebSocketResponse, listener: Listener, data: str) -> None:
        try:
            text, conversation = _message_of(data)
            talk = self._talks.enter(conversation)
        except (_BadError, UnknownError, BusyError) as error:
            rule = {UnknownError: "conversation", BusyError: "busy"}.get(type(error), "body")
            problem = str(error) or "there is no such conversation"
            await socket.send_json({"type": "error", "error": {"rule": rule, "message": problem}})
            return
        if listener.conversations is not None:
            listener.conversations.add(talk.id)
        message = uuid.uuid4().hex
        try:
            await socket.send_json({"type": "accepted", "conversation": talk.id, "message": message})
        except BaseException:
            # Who was not told of it does not wait for an answer.
            self._talks.leave(talk)
            raise
        self._work(talk, message, text)

    async def _table(self, _: web.Request) -> web.Response:
        return web.json_response({"conversations": self._talks.table()})

    async def _forget(self, request: web.Request) -> web.Response:
        await self._talks.forget(request.match_info["id"])
        return web.Response(status=204)

    def _said(self, text: str, conversation: str | None) -> tuple[Talk, str, "asyncio.Task[TurnResult]"]:
        talk = self._talks.enter(conversation)
        message = uuid.uuid4().hex
        return talk, message, self._work(talk, message, text)

    def _work(self, talk: Talk, message: str, text: str) -> "asyncio.Task[TurnResult]":
        task = asyncio.create_task(self._talks.say(talk, message, text))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _BadError(Exception):
    """A message that is none."""


def _message_of(data: str | bytes) -> tuple[str, str | None]:
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        # A text that is no UTF-8 is a ValueError too.
        raise _BadError("the body is no JSON") from None
    if not isinstance(told, dict):
        raise _BadError("the body must be a JSON object")
    text, conversation = told.get("text"), told.get("conversation")
    if not isinstance(text, str) or not text.strip() or not _is_unicode(text):
        raise _BadError("text must be text that says something")
    if conversation is not None and not isinstance(conversation, str):
        raise _BadError("conversation must be text")
    return text, conversation


def _is_unicode(text: str) -> bool:
    """Whether no half of a surrogate pair is in it, as JSON may have: no program could be sent that."""
    return text.encode(errors="replace").decode() == text


def _told(result: TurnResult) -> dict[str, Any]:
    told: dict[str, Any] = {
        "outcome": result.outcome.value,
        "text": result.text,
        "turns": result.turns,
        "cost_usd": result.cost_usd,
    }
    return told | ({"error": {"rule": result.outcome.value, "message": result.error}} if result.error else {})


def _error(status: int, rule: str, message: str, fix: str) -> web.Response:
    return web.json_response({"error": {"rule": rule, "message": message, "fix": fix}}, status=status)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 20 else None


def _sse(event: Event) -> str:
    return f"id: {event.number}\nevent: {event.name}\ndata: {json.dumps(event.fields, default=str)}\n\n"


async def _heard(listener: Listener) -> Any:
    """Events as they come; None whenever there was none for a while."""
    while True:
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                event = await listener.next()
        except TimeoutError:
            yield None
            continue
        if event is None:
            return
        yield event


async def _send(socket: web.WebSocketResponse, listener: Listener, transport: asyncio.Transport | None) -> None:
    """Send events as they come; who takes none for a while is cut off, and with it whatever else waits for it."""
    try:
        while (event := await listener.next()) is not None:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                await socket.send_json({**event.fields, "type": "event", "number": event.number, "event": event.name})
        async with asyncio.timeout(HEARTBEAT_SECONDS):
            await socket.close(code=1013, message=b"too slow")
    except TimeoutError:
        if transport is not None:
            transport.abort()
