"""Two agents in one container: each with a user, a folder and an identity of its own."""

import json
from pathlib import Path

from offline.model_api.container import HOST as MODEL_HOST
from tests.containers.sessions.stage import Stage

# Names of the identities that a process finds in what it can read of the others.
SPY = "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -o '/\\.as/[a-z]*' | sort -u"
WRITER_HOST, CHECKER_HOST = "writer.example.com", "checker.example.com"


def test_two_agents_are_apart_and_told_apart(stage: Stage, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.json"
    look = "id -u; pwd; touch /workspace/writer/planted; cat /workspace/writer/mine.txt; ls /home/agent/writer"
    writer = [
        "bash 'echo secret > mine.txt; id -u; pwd'",
        f"bash 'curl -sS -m 20 https://{WRITER_HOST}/; true'",
        "bash 'sleep 3; ls -A'",
        "echo",
    ]
    checker = [
        f"bash '{look}; true'",
        f'bash "{SPY}"',
        f"bash 'curl -sS -m 20 https://{CHECKER_HOST}/; true'",
        "say 'checked'",
    ]
    prompts.write_text(json.dumps({"writer": f"fake: {'; '.join(writer)}", "checker": f"fake: {'; '.join(checker)}"}))
    ended = stage.ran("start", "pair", "--input", str(prompts))
    assert (ended.code, ended.info["outcome"]) == (0, "success"), ended.info
    assert ended.agents["checker"]["text"] == "checked"

    told = stage.said(ended.id)
    results: dict[str, list[str]] = {"writer": [], "checker": []}
    for event in told:
        if event["event"] == "tool_result":
            results[event["agent"]].append(event["text"])
    assert results["writer"][0].split() == ["10401", "/workspace/writer"]
    assert results["checker"][0].split()[:2] == ["10402", "/workspace/checker"]
    assert results["checker"][0].count("Permission denied") == 3
    assert results["checker"][1] == "/.as/checker"
    assert "mine.txt" in results["writer"][2]
    assert "planted" not in results["writer"][2]

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


def test_both_save_and_end_when_they_are_stopped(stage: Stage) -> None:
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
    prompts = tmp_path / "prompts.json"
    # Its own keeper and command line are all that an agent may end.
    prompts.write_text(
        json.dumps(
            {"writer": "fake: bash 'kill -9 -1'; say never", "checker": "fake: bash 'sleep 3'; say 'still here'"}
        )
    )
    ended = stage.ran("start", "pair", "--input", str(prompts))
    assert ended.code != 0
    assert ended.agents["checker"]["text"] == "still here"
    assert ended.agents["writer"]["outcome"] in {"crash", "agent_error"}
    assert not stage.leftovers()
