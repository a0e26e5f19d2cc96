"""Reads the messages of a request: where the present turn began, and what the model has seen.

Besides `user` and `assistant` there are messages of the role `system`, which Claude Code puts between them; they are
no part of the talk.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import cast

from offline.model_api import script

_EXCERPT = 200


@dataclass(frozen=True)
class Turn:
    """The turn that a request belongs to.

    Attributes:
        prompt: The user's texts that began it.
        script: What its prompt says of the answers; None when it says nothing.
        step: How many answers it has had.
    """

    prompt: str
    script: str | None
    step: int


@dataclass(frozen=True)
class Seen:
    """How a conversation looked to the API.

    Attributes:
        messages: How many of user and assistant, the last prompt included.
        prompts: The script, or the beginning, of each earlier prompt, oldest first.
        answers: Texts of the model so far, each cut.
        tool_result: The last result of a tool, cut; None: none yet.
    """

    messages: int
    prompts: list[str]
    answers: list[str]
    tool_result: str | None

    def text(self) -> str:
        """As one line of JSON."""
        return json.dumps(asdict(self))


Message = Mapping[str, object]


def blocks(message: Message) -> list[Mapping[str, object]]:
    """The content of a message as blocks; a plain text is one block."""
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [block for block in cast(list[object], content or []) if isinstance(block, Mapping)]


def current(messages: Sequence[Message]) -> Turn:
    """The turn of the last message.

    A turn begins with a message of the user that carries no results of tools, or that carries a script: after an
    interruption the client puts both into one message.
    """
    step = 0
    for message in reversed(messages):
        if message.get("role") == "assistant":
            step += 1
        elif _begins_turn(message):
            return Turn(*_prompt(message), step)
    return Turn("", None, step)


def seen(messages: Sequence[Message]) -> Seen:
    """What `echo` tells."""
    prompts: list[str] = []
    answers: list[str] = []
    result = None
    for message in messages:
        if message.get("role") == "assistant":
            answers += [str(block.get("text"))[:_EXCERPT] for block in blocks(message) if block.get("type") == "text"]
        for block in _results(message):
            result = _plain(block.get("content"))[:_EXCERPT]
        if _begins_turn(message):
            prompt, found = _prompt(message)
            prompts.append((found if found is not None else prompt).strip()[:_EXCERPT])
    talk = [message for message in messages if message.get("role") != "system"]
    return Seen(len(talk), prompts[:-1], answers, result)


def last_result(messages: Sequence[Message]) -> str:
    """What the last tool has given; empty when there was none."""
    found = [_plain(block.get("content")) for message in messages for block in _results(message)]
    return found[-1] if found else ""


def attempt_key(body: Mapping[str, object], caller: str) -> str:
    """What tells a repeated request from another: caller, the client's own session id, and the conversation so far."""
    messages = cast(Sequence[Message], body["messages"])
    told = [caller, body.get("metadata"), len(messages), current(messages).prompt]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _begins_turn(message: Message) -> bool:
    if message.get("role") != "user":
        return False
    prompt, found = _prompt(message)
    return found is not None or (bool(prompt) and not _results(message))


def _prompt(message: Message) -> tuple[str, str | None]:
    """The user's own text, and the last script in it."""
    # Clients put reminders of their own around the prompt, as blocks of the same message.
    texts = [str(block.get("text", "")) for block in blocks(message) if block.get("type") == "text"]
    found = [text for text in (script.find(text) for text in texts) if text is not None]
    own = [text for text in texts if not text.lstrip().startswith("<system-reminder>")]
    return "\n".join(own), found[-1] if found else None


def _results(message: Message) -> list[Mapping[str, object]]:
    return [block for block in blocks(message) if block.get("type") == "tool_result"]


def _plain(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = cast(list[object], content or [])
    return "\n".join(str(part.get("text", "")) for part in parts if isinstance(part, Mapping))
