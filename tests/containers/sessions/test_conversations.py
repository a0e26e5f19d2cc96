"""A hybrid session: killed in the middle, and resumed in a fresh container with its history and its files."""

import json
from pathlib import Path

from components.plans.image import STATE_FOLDER
from tests.containers.sessions.stage import Stage, until

FIRST = "fake: write note.txt 'from the first turn'; say 'first answer'"
SECOND = "fake: bash 'echo unfinished > half.txt; ls'; hang"


def test_a_killed_conversation_goes_on_where_its_last_turn_ended(stage: Stage, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps([FIRST, SECOND]))
    started = stage.told("start", "notebook", "--input", str(prompts))
    run, conversation = started["id"], started["conversation"]
    stage.wait_for_event(run, "tool_result", 2)
    stage.container(run).kill(signal="SIGKILL")
    until(lambda: not stage.leftovers(), "the killed run is removed")
    killed = next(one for one in stage.told("list")["runs"] if one["id"] == run)
    assert (killed["status"], killed["exit_code"]) == ("ended", 137)

    ended = stage.ran("resume", run, "--prompt", "fake: bash 'pwd; cat note.txt; echo; ls -A'; echo")
    assert (ended.code, ended.info["conversation"]) == (0, conversation), ended.info
    assert ended.id != run
    # What the first turn did and said is there; what the second had begun was never saved.
    assert ended.echoed["prompts"] == [FIRST.removeprefix("fake: ")]
    assert ended.echoed["answers"] == ["first answer"]
    assert ended.echoed["tool_result"] == "/workspace\nfrom the first turn\nnote.txt"

    again = stage.ran("resume", conversation, "--prompt", "fake: echo")
    assert again.echoed["answers"][0] == "first answer"
    assert len(again.echoed["prompts"]) == 2
    assert stage.agentenv("forget", conversation, "--yes").returncode == 0
    assert f"agentenv-state-{conversation}" not in stage.volumes()
    assert not stage.leftovers()


def test_what_is_kept_of_a_session_fills_no_disk_of_the_host(stage: Stage) -> None:
    tried = "cd /var/lib/agentenv/state; touch more; rm a.tar; truncate -s 1025M b.tar; ls; cd /workspace"
    script = f"fake: bash '({tried}; truncate -s 600M one two) 2>&1'; tell"
    ended = stage.ran("start", "notebook", "--prompt", script)
    assert "touch: cannot touch 'more': Permission denied" in ended.text
    assert "rm: cannot remove 'a.tar': Permission denied" in ended.text
    assert "File size limit exceeded" in ended.text
    assert ended.text.split()[-2:] == ["a.tar", "b.tar"]
    assert ended.code == 13, ended.info
    conversation = ended.info["conversation"]
    assert stage.agentenv("forget", conversation, "--yes").returncode == 0


def test_a_run_that_is_killed_while_it_saves_leaves_the_state_before(stage: Stage, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps([FIRST, "fake: bash 'head -c 300M /dev/zero > large.bin'; say 'second answer'"]))
    started = stage.told("start", "notebook", "--input", str(prompts))
    run, conversation = started["id"], started["conversation"]
    stage.wait_for_event(run, "state_saved")
    container = stage.container(run)
    # What is kept is in the first file; the second one is being written.
    code, _ = container.exec_run(["sh", "-c", f"until [ -s {STATE_FOLDER}/b.tar ]; do :; done"])
    container.kill(signal="SIGKILL")
    assert code == 0
    until(lambda: not stage.leftovers(), "the killed run is removed")
    told = [event["event"] for event in stage.said(run)]
    assert (told.count("turn_ended"), told.count("state_saved")) == (2, 1)

    ended = stage.ran("resume", run, "--prompt", "fake: bash 'ls -A; cat note.txt'; echo")
    assert (ended.code, ended.echoed["answers"]) == (0, ["first answer"]), ended.info
    assert ended.echoed["tool_result"] == "note.txt\nfrom the first turn"
    assert stage.agentenv("forget", conversation, "--yes").returncode == 0


def test_a_conversation_stopped_in_a_turn_has_saved_it(stage: Stage) -> None:
    started = stage.told("start", "notebook", "--prompt", "fake: write kept.txt 'kept'; slow 600; say never")
    stage.wait_for_event(started["id"], "tool_result")
    assert stage.told("stop", started["id"])["outcome"] == "stopped"
    ended = stage.ran("resume", started["conversation"], "--prompt", "fake: bash 'cat kept.txt'; echo")
    assert (ended.code, ended.echoed["tool_result"]) == (0, "kept"), ended.info
    assert stage.agentenv("forget", started["conversation"], "--yes").returncode == 0
