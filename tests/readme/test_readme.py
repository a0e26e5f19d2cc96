"""What the README shows of sessions is typed and run: its stack files are deployed, its commands print what it says.

Three things of a stack file are put in for this machine: the file with the model's key, the hash of a token that this
test has, and whatever makes the stand-in for the Messages API known to gateways.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.models.session import Pattern
from components.models.stack import Stack
from operate.results import OUTCOMES
from operate.run_commands import app
from operate.tokens import new_token, token_hash
from tests.deployment import BASE, ROOT, played
from tests.readme.blocks import README, Block, blocks, matches
from tests.readme.model import ANSWERS

STACK = "readme"
RANGE = "10.224.0.0/16"
SECTION = "Sessions"
KEY_IN_README = "file:/etc/agentenv/anthropic"
SECONDS = 120
MARK = "\x1e"
BLOCKS = [block for block in blocks(README.read_text()) if block.section == SECTION]
CONSOLE = [block for block in BLOCKS if block.language == "console"]


def stack_files(found: list[Block]) -> list[dict[str, Any]]:
    """What each stack file among them declares."""
    files = [yaml.safe_load(block.text) for block in found if block.language == "yaml"]
    return [file["config"]["agent-environments:stack"] for file in files]


def test_every_stack_file_is_valid() -> None:
    files = stack_files(list(blocks(README.read_text())))
    assert len(files) > len(Pattern)
    for file in files:
        assert Stack.parse(file).sessions


def test_there_is_a_stack_file_and_a_command_for_each_pattern() -> None:
    for pattern in Pattern:
        (file,) = [file for file in stack_files(BLOCKS) if file["sessions"][0]["pattern"] == pattern]
        name = file["sessions"][0]["name"]
        assert any(f"agentenv start {name} " in block.text for block in CONSOLE)


def test_all_exit_codes_and_commands_are_named() -> None:
    text = README.read_text()
    for code, outcome in OUTCOMES.items():
        assert f"| {code} | `{outcome}`" in text
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__
        assert f"`agentenv {name}" in text or f"`{name}`" in text, name


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The stack files of the section, deployed together as one; the variables of a shell to type in, PWD its folder."""
    folder, token = tmp_path_factory.mktemp("readme"), new_token()

    def declare(key: Path, authority: str) -> dict[str, Any]:
        return as_here(stack_files(BLOCKS), key, token, authority)

    with played(folder, STACK, declare, ANSWERS) as up:
        yield {
            **os.environ,
            **up.deployment.stack.workspace.env_vars,
            "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
            "PWD": up.deployment.stack.workspace.work_dir,
            "XDG_STATE_HOME": str(folder / "home"),
            "AGENTENV_TOKEN": token,
            "COLUMNS": "200",
        }


def as_here(files: list[dict[str, Any]], key: Path, token: str, authority: str) -> dict[str, Any]:
    """One stack file out of several that declare the same environments, for this machine."""
    text = json.dumps([session for file in files for session in file["sessions"]])
    assert text.count(KEY_IN_README) == len(files)
    sessions = json.loads(text.replace(KEY_IN_README, f"file:{key}"))
    for session in sessions:
        session["resources"] = {"cpu": 1, "memory_gib": 0.5, "disk_gib": 1}
        if "token_sha256" in session:
            session["token_sha256"] = token_hash(token)
    assert all(file["environments"] == files[0]["environments"] for file in files)
    return {
        **files[0],
        "sessions": sessions,
        "base_image": BASE,
        "docker": {"range": RANGE},
        "private_hosts": {"api.anthropic.com": RANGE},
        "certificate_authorities": [authority],
    }


@pytest.mark.containers
@pytest.mark.parametrize("block", CONSOLE, ids=lambda block: block.text.splitlines()[0][2:30])
def test_commands_print_what_the_readme_says(block: Block, variables: dict[str, str]) -> None:
    commands = block.commands()
    # One shell for a block, so that its later commands know the variables of its earlier ones.
    script = "".join(f"{one.text}\nprintf '{MARK}%d{MARK}' $?\n" for one in commands)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=variables["PWD"],
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECONDS,
        check=False,
    )
    printed = done.stdout.decode().split(MARK)
    assert len(printed) == 2 * len(commands) + 1, printed
    for command, output, code in zip(commands, printed[::2], printed[1::2], strict=False):
        at = f"README.md:{command.line}: {command.text}"
        assert code == "0", f"{at}\n{output}"
        assert matches(command.expected, output), f"{at}\n{output}"
