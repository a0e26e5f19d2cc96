"""The reader of the README itself: what it lets pass, no test would find."""

import pytest

from tests.readme.blocks import Block, Command, blocks, matches

TEXT = """# Title

## One
```console
$ first      # a word about it
said
...
$ second
```
### Inner
```yaml
# no heading
a: 1
```
"""


def test_blocks_know_where_they_stand() -> None:
    first, second = blocks(TEXT)
    assert (first.section, first.heading, first.language, first.line) == ("One", "One", "console", 5)
    assert second == Block("One", "Inner", "yaml", "# no heading\na: 1", 12)


def test_commands_have_what_stands_below_them() -> None:
    first, _ = blocks(TEXT)
    assert first.commands() == [
        Command("first      # a word about it", ("said", "..."), 5),
        Command("second", (), 8),
    ]


@pytest.mark.parametrize("text", ["```\nopen", "```console\nno command\n```"])
def test_what_is_no_block_is_an_error(text: str) -> None:
    with pytest.raises(AssertionError):
        [block.commands() for block in blocks(text)]


@pytest.mark.parametrize(
    ("expected", "output"),
    [
        ([], ""),
        (["a b"], "a b\n"),
        (["run ...: success, ... s"], "run 4f: success, 12 s"),
        (["a", "...", "z"], "a\nb\nc\nz\n"),
        (["a", "...", "z"], "a\nz"),
        (["..."], ""),
        (["1.50 (a+b)"], "1.50 (a+b)"),
        (["## one", "", "x"], "## one\n\nx\n"),
    ],
)
def test_output_as_expected(expected: list[str], output: str) -> None:
    assert matches(expected, output)


@pytest.mark.parametrize(
    ("expected", "output"),
    [
        ([], "something"),
        (["a"], ""),
        (["a"], "a\nb"),
        (["a"], "b\na"),
        (["run ...: success"], "run 4f: success, 12 s"),
        (["a ... z"], "a\nz"),
        (["1.50"], "1x50"),
        (["...", "z"], "z\ny"),
    ],
)
def test_output_that_differs(expected: list[str], output: str) -> None:
    assert not matches(expected, output)
