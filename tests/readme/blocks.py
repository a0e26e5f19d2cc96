"""Reads the README: its fenced blocks, and the commands with their expected output in them.

A command begins with `$ `. The lines below it are what it prints, all of it: where `...` stands, there may be anything,
and a line of `...` alone stands for any number of lines. Spaces before and after a line do not count.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"
PROMPT = "$ "
ANYTHING = "..."


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        section: The heading of level 2 that it is under.
        heading: The heading that it is under, of whatever level.
        language: Of its fence; empty for none.
        text: Its lines.
        line: Number of its first line in the file.
    """

    section: str
    heading: str
    language: str
    text: str
    line: int

    def commands(self) -> "list[Command]":
        """What is typed in it, in order."""
        found: list[Command] = []
        for number, line in enumerate(self.text.splitlines(), self.line):
            if line.startswith(PROMPT):
                found.append(Command(line.removeprefix(PROMPT), (), number))
            else:
                assert found, f"line {number}: the block does not begin with a command"
                last = found[-1]
                found[-1] = Command(last.text, (*last.expected, line), last.line)
        return found


@dataclass(frozen=True)
class Command:
    """A command of a block.

    Attributes:
        text: As it is typed.
        expected: Lines that it prints.
        line: Number of its line in the file.
    """

    text: str
    expected: tuple[str, ...]
    line: int


def blocks(text: str) -> Iterator[Block]:
    """All fenced blocks of a Markdown text."""
    section = heading = ""
    language: str | None = None
    lines: list[str] = []
    begun = 0
    for number, line in enumerate(text.splitlines(), 1):
        if language is None and (found := re.fullmatch(r"(#{1,6}) (.+)", line)):
            heading = found[2]
            section = heading if len(found[1]) <= 2 else section
        elif line.startswith("```"):
            if language is None:
                language, lines, begun = line.removeprefix("```").strip(), [], number + 1
            else:
                yield Block(section, heading, language, "\n".join(lines), begun)
                language = None
        elif language is not None:
            lines.append(line)
    assert language is None, f"the block from line {begun} has no end"


def matches(expected: Sequence[str], output: str) -> bool:
    """Whether `output` is what the lines say."""
    parts = []
    for line in expected:
        if line.strip() == ANYTHING:
            parts.append(r"(?:.*\n)*")
        else:
            parts.append(r"[ \t]*" + ".*".join(map(re.escape, line.strip().split(ANYTHING))) + r"[ \t]*\n")
    text = "".join(f"{line}\n" for line in output.strip().splitlines())
    return re.fullmatch("".join(parts), text) is not None
