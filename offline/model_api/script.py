"""What the model is to answer, written into the prompt itself: so a container needs no second channel.

Every line of a prompt that begins with `fake:` is a part of its script, for instance

    Please tidy up.
    fake: bash "echo hi > note.txt"; say "done"

Steps are separated by `;`, words quoted as in a shell (nothing is expanded). One step answers one request of the agent
loop; the last answer of a script that ends with a tool is `done`.

    say TEXT                a text, and the turn ends
    echo                    a text: JSON of how the API saw the conversation (`turns.Seen`)
    tell                    a text: the last result of a tool
    big BYTES               a text of that length
    bash COMMAND            the tools of Claude Code by their names
    read PATH | write PATH TEXT | edit PATH OLD NEW
    tool NAME JSON          any tool
    repeat N STEP           the step N times

Before a step, for the request that it answers:

    status CODE [TIMES]     this HTTP error, TIMES times (by default always)
    cut [TIMES]             the connection ends in the middle of the answer (by default once)
    slow SECONDS            the answer begins, and goes on after SECONDS
    hang                    no answer at all, until the caller gives up
    usage INPUT OUTPUT      tokens that the answer claims to have used
"""

import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

MARK = "fake:"
_MOST_STEPS = 10_000


class ScriptError(Exception):
    """A script cannot be read; the message names the step and the rule."""


@dataclass(frozen=True)
class Say:
    """A text."""

    text: str


@dataclass(frozen=True)
class Echo:
    """A text that tells how the conversation looked."""


@dataclass(frozen=True)
class Tell:
    """A text: what the last tool has given."""


@dataclass(frozen=True)
class UseTool:
    """A tool is to be used, with this input."""

    name: str
    input: dict[str, object]


@dataclass(frozen=True)
class Trouble:
    """What goes wrong before an answer.

    Attributes:
        status: HTTP status; None: the connection is cut in the middle of the answer.
        times: How often; None: always.
    """

    status: int | None
    times: int | None


@dataclass(frozen=True)
class Answer:
    """One answer of the model.

    Attributes:
        content: Its only block.
        troubles: Happen first, one after another.
        slow: Seconds between its beginning and its content.
        hang: True: it never comes.
        usage: Input and output tokens that it claims; None: counted from the texts.
    """

    content: Say | Echo | Tell | UseTool
    troubles: tuple[Trouble, ...] = ()
    slow: float = 0
    hang: bool = False
    usage: tuple[int, int] | None = None

    def trouble(self, attempt: int) -> Trouble | None:
        """What goes wrong at this attempt, counted from 0; None: nothing."""
        for trouble in self.troubles:
            if trouble.times is None or attempt < trouble.times:
                return trouble
            attempt -= trouble.times
        return None


DONE = Answer(Say("done"))


def find(text: str) -> str | None:
    """The script in a prompt; None when there is none."""
    lines = [line.strip().removeprefix(MARK) for line in text.splitlines() if line.strip().startswith(MARK)]
    return ";".join(lines) if lines else None


def parse(script: str) -> list[Answer]:
    """The answers of a script, in their order.

    Raises:
        ScriptError: A word or a quote is not understood.
    """
    answers: list[Answer] = []
    pending = DONE
    for words in _steps(script):
        count, words = _repeated(words)
        name, arguments = words[0], words[1:]
        try:
            if name in _BEFORE:
                pending = _BEFORE[name](pending, *arguments)
                continue
            content = _CONTENT[name](*arguments)
        except KeyError:
            known = ", ".join(sorted([*_BEFORE, *_CONTENT, "repeat"]))
            raise ScriptError(f"step {shlex.join(words)!r}: {name!r} is not a step. Fix: use one of {known}.") from None
        except (TypeError, ValueError) as error:
            raise ScriptError(f"step {shlex.join(words)!r}: {error}. Fix: see the list of steps.") from None
        answers += [replace(pending, content=content)] * count
        pending = DONE
    if pending != DONE:
        answers.append(pending)
    return answers


def _steps(script: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(script, posix=True, punctuation_chars=";")
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    try:
        for word in lexer:
            # Several in a row, as between two lines, are one token.
            if word.strip(";"):
                words.append(word)
            elif words:
                yield words
                words = []
    except ValueError as error:
        raise ScriptError(f"script {script[:80]!r}: {error}. Fix: close the quotation.") from None
    if words:
        yield words


def _repeated(words: list[str]) -> tuple[int, list[str]]:
    if words[0] != "repeat":
        return 1, words
    if len(words) < 3 or not words[1].isdecimal() or int(words[1]) > _MOST_STEPS:
        raise ScriptError(f"step {shlex.join(words)!r}: repeat wants N (to {_MOST_STEPS}) and a step. Fix: add them.")
    return int(words[1]), words[2:]


def _status(answer: Answer, code: str, times: str | None = None) -> Answer:
    if not 400 <= int(code) <= 599:
        raise ValueError("CODE is an HTTP error from 400 to 599")
    return replace(answer, troubles=(*answer.troubles, Trouble(int(code), None if times is None else int(times))))


def _cut(answer: Answer, times: str = "1") -> Answer:
    return replace(answer, troubles=(*answer.troubles, Trouble(None, int(times))))


def _slow(answer: Answer, seconds: str) -> Answer:
    return replace(answer, slow=float(seconds))


def _hang(answer: Answer) -> Answer:
    return replace(answer, hang=True)


def _usage(answer: Answer, tokens_in: str, tokens_out: str) -> Answer:
    return replace(answer, usage=(int(tokens_in), int(tokens_out)))


def _tool(name: str, text: str = "{}") -> UseTool:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("the JSON of a tool's input is an object")  # noqa: TRY004 - reported as any other bad word
    return UseTool(name, value)


def _bash(command: str) -> UseTool:
    return UseTool("Bash", {"command": command, "description": "As the script says"})


def _read(path: str) -> UseTool:
    return UseTool("Read", {"file_path": path})


def _write(path: str, text: str) -> UseTool:
    return UseTool("Write", {"file_path": path, "content": text})


def _edit(path: str, old: str, new: str) -> UseTool:
    return UseTool("Edit", {"file_path": path, "old_string": old, "new_string": new})


def _big(count: str) -> Say:
    return Say("x" * int(count))


_BEFORE: dict[str, Callable[..., Answer]] = {
    "status": _status,
    "cut": _cut,
    "slow": _slow,
    "hang": _hang,
    "usage": _usage,
}
_CONTENT: dict[str, Callable[..., Say | Echo | Tell | UseTool]] = {
    "say": Say,
    "echo": Echo,
    "tell": Tell,
    "big": _big,
    "bash": _bash,
    "read": _read,
    "write": _write,
    "edit": _edit,
    "tool": _tool,
}


def chosen(answers: Sequence[Answer], index: int) -> Answer:
    """The answer number `index` from 0; after the last, `DONE`."""
    return answers[index] if index < len(answers) else DONE
