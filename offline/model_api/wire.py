"""Answers in the API's own form: one message, its server-sent events, its errors."""

import itertools
import json
import secrets
from collections.abc import Iterator, Mapping

from offline.model_api.script import Say, UseTool

_PIECE = 512  # characters of one delta
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_MESSAGES = {429: "This request would exceed your rate limit.", 529: "Overloaded", 500: "Internal server error"}

Event = Mapping[str, object]


def message(model: str, content: Say | UseTool, usage: Mapping[str, object]) -> dict[str, object]:
    """The whole answer, as without streaming."""
    if isinstance(content, Say):
        block: dict[str, object] = {"type": "text", "text": content.text}
    else:
        block = {
            "type": "tool_use",
            "id": f"toolu_{secrets.token_hex(12)}",
            "name": content.name,
            "input": content.input,
        }
    return {
        "id": f"msg_{secrets.token_hex(12)}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [block],
        "stop_reason": "end_turn" if isinstance(content, Say) else "tool_use",
        "stop_sequence": None,
        "usage": usage,
    }


def usage(tokens_in: int, tokens_out: int) -> dict[str, object]:
    """Token counts of an answer, nothing of them cached."""
    return {
        "input_tokens": tokens_in,
        "output_tokens": tokens_out,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "service_tier": "standard",
    }


def opening(answer: Mapping[str, object], tokens: Mapping[str, object]) -> list[Event]:
    """The events before any content."""
    start = {**answer, "content": [], "stop_reason": None, "usage": {**tokens, "output_tokens": 1}}
    return [{"type": "message_start", "message": start}, PING]


PING: Event = {"type": "ping"}


def contents(content: Say | UseTool, block: Mapping[str, object]) -> Iterator[Event]:
    """The events of the only content block, from its start to its stop."""
    if isinstance(content, Say):
        empty: Mapping[str, object] = {"type": "text", "text": ""}
        deltas = ({"type": "text_delta", "text": piece} for piece in _pieces(content.text))
    else:
        empty = {**block, "input": {}}
        told = itertools.chain([""], _pieces(json.dumps(content.input)))
        deltas = ({"type": "input_json_delta", "partial_json": piece} for piece in told)
    yield {"type": "content_block_start", "index": 0, "content_block": empty}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}


def closing(answer: Mapping[str, object], tokens: Mapping[str, object]) -> list[Event]:
    """The events after the content."""
    delta = {"stop_reason": answer["stop_reason"], "stop_sequence": None}
    return [
        {"type": "message_delta", "delta": delta, "usage": {"output_tokens": tokens["output_tokens"]}},
        {"type": "message_stop"},
    ]


def encode(event: Event) -> bytes:
    """One server-sent event."""
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def error(status: int, text: str | None = None) -> dict[str, object]:
    """The body of an error; without a text, the API's usual one."""
    kind = _ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {
        "type": "error",
        "error": {"type": kind, "message": text or _MESSAGES.get(status, "Error")},
        "request_id": request_id(),
    }


def request_id() -> str:
    """As the API's header and errors carry it."""
    return f"req_{secrets.token_hex(12)}"


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), _PIECE):
        yield text[start : start + _PIECE]
