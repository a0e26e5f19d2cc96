"""Two agents in one container: each with a user, a folder and an identity of its own."""

import json
from pathlib import Path
from typing import Any

from offline.model_api.container import HOST as MODEL_HOST
from tests.containers.sessions.stage import Ended, Stage

# Whose processes there are, and the names of the identities in what can be read of them.
SPY = (
    "stat -c %u /proc/[0-9]* 2>/dev/null | sort -u; "
    r'cat /proc/[0-9]*/environ 2>/dev/null | tr "\0" "\n" | grep -o "/\.as/[a-z]*" | sort -u'
)
WRITER_HOST, CHECKER_HOST = "writer.example.com", "checker.example.com"
WRITER, CHECKER = "10401", "10402"
"""Their users."""
# Where they wait for each other: /tmp is everybody's, as it is on any system.
HERE, DONE = "/tmp/writer-is-here", "/tmp/checker-is-done"


def when(condition: str) -> str:
    """Waits in a shell."""
    return f"until {condition}; do sleep 0.1; done"


def started(stage: Stage, tmp_path: Path, **steps: list[str]) -> Ended:
    """A run of the pair, to its end: agent -> what it does."""
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps({name: f"fake: {'; '.join(own)}" for name, own in steps.items()}))
    return stage.ran("start", "pair", "--input", str(prompts))


def tools(told: list[dict[str, Any]], agent: str) -> list[tuple[str, str, str]]:
    """What each tool of an agent has answered: when it was begun, when it had ended, and what."""
    own = [event for event in told if event.get("agent") == agent]
    ended = {event["id"]: event for event in own if event["event"] == "tool_result"}
    begun = [event for event in own if event["event"] == "tool_use"]
    return [(use["time"], ended[use["id"]]["time"], ended[use["id"]]["text"]) for use in begun]


def test_two_agents_are_apart_and_told_apart(stage: Stage, tmp_path: Path) -> None:
    look = "touch /workspace/writer/planted; cat /workspace/writer/mine.txt; ls /home/agent/writer"
    ended = started(
        stage,
        tmp_path,
        writer=[
            "bash 'echo secret > mine.txt; id -u; pwd'",
            f"bash 'curl -sS -m 20 https://{WRITER_HOST}/; true'",
            f"bash 'touch {HERE}; {when(f'[ -e {DONE} ]')}; ls -A'",
            "echo",
        ],
        checker=[
            # Nobody has declared a shared folder, so there is none and nobody makes one.
            f"bash '{when(f'[ -e {HERE} ]')}; id -u; pwd; {look}; mkdir /workspace/shared; true'",
            f"bash '{SPY}'",
            f"bash 'curl -sS -m 20 https://{CHECKER_HOST}/; true'",
            f"bash 'touch {DONE}'",
            "say 'checked'",
        ],
    )
    assert (ended.code, ended.info["outcome"]) == (0, "success"), ended.info
    assert ended.agents["checker"]["text"] == "checked"

    told = stage.said(ended.id)
    (_, _, first), _, (waits, waited, kept) = tools(told, "writer")
    assert first.split() == [WRITER, "/workspace/writer"]
    assert kept == "mine.txt"
    (_, _, looked), (begun, spied, seen), *_ = tools(told, "checker")
    assert looked.split()[:2] == [CHECKER, "/workspace/checker"]
    assert looked.count("Permission denied") == 4
    # The writer was there to be spied on, and nothing of it was to be read.
    assert waits < begun <= spied < waited
    assert {WRITER, CHECKER} <= set(seen.split())
    assert [word for word in seen.split() if word.startswith("/")] == ["/.as/checker"]

    refused = {
        line["host"]: line["agent"]
        for line in stage.gateway_log()
        if line.get("verdict") == "denied" and "agent" in line
    }
    assert (refused[WRITER_HOST], refused[CHECKER_HOST]) == ("writer", "checker")
    log = stage.gateway_log()
    assert {line["agent"] for line in log if line.get("host") == MODEL_HOST and "agent" in line} == {
        "writer",
        "checker",
    }
    assert not stage.leftovers()


def test_both_end_in_good_order_when_they_are_stopped(stage: Stage) -> None:
    run = stage.told("start", "pair", "--prompt", "fake: bash 'echo begun'; slow 600; say never")["id"]
    stage.wait_for_event(run, "tool_result", 2)
    assert stage.told("stop", run)["outcome"] == "stopped"
    ended = stage.result(run)
    assert (ended.code, {name: agent["outcome"] for name, agent in ended.agents.items()}) == (
        143,
        {"writer": "stopped", "checker": "stopped"},
    )
    assert not stage.leftovers()


def test_one_agent_that_fails_does_not_stop_the_other(stage: Stage, tmp_path: Path) -> None:
    gone = f"! stat -c %u /proc/[0-9]* 2>/dev/null | grep -qx {WRITER}"
    ended = started(
        stage,
        tmp_path,
        # Its own keeper and command line are all that an agent may end.
        writer=[f"bash 'touch {HERE}; kill -9 -1'", "say never"],
        checker=[f"bash '{when(f'[ -e {HERE} ]')}; {when(gone)}; echo alone'", "say 'still here'"],
    )
    assert ended.code != 0
    assert [text for _, _, text in tools(stage.said(ended.id), "checker")] == ["alone"]
    assert ended.agents["checker"]["text"] == "still here"
    assert ended.agents["writer"]["outcome"] in {"crash", "agent_error"}
    assert not stage.leftovers()
