"""Runs of one agent, by the real `claude` program: what it does, how it ends, what is kept."""

import json
import resource
import signal
import stat

import pytest

from tests.session.box import Box, ended, until
from tests.session.gateway import running_gateway

MIB = 2**20
STAYS = 'x\nfake: bash "tail -f /dev/null"; say "never"'


def hybrid(box: Box) -> str:
    return box.declaration(pattern="hybrid")


def test_an_agent_works_in_its_folder_and_its_answer_is_the_result(box: Box) -> None:
    seen = box.run(
        {"prompt": 'x\nfake: bash "pwd; echo hi > note.txt"; edit note.txt hi ho; read note.txt; say "it is done"'}
    )
    assert seen.code == 0, seen.raw + seen.errors
    assert (box.workspace / "note.txt").read_text() == "ho\n"
    assert seen.result["outcome"] == "success"
    assert seen.agent["text"] == "it is done"
    assert seen.agent["turns"] >= 3
    assert seen.agent["usage"]["output_tokens"] > 0
    assert [event["event"] for event in seen.events][:2] == ["session_started", "turn_started"]
    assert seen.events[-1] == seen.events[-1] | {"event": "session_ended", "outcome": "success", "exit_code": 0}
    assert seen.of("tool_use")[0]["tool"] == "Bash"
    assert str(box.workspace) in seen.of("tool_result")[0]["text"]
    assert all(len(line.encode()) <= 8192 for line in seen.raw.splitlines())


def test_the_program_holds_a_placeholder_and_no_task(box: Box) -> None:
    seen = box.run({"prompt": 'x\nfake: bash "env"; say done'}, AGENTENV_RUN="r1")
    told = seen.of("tool_result")[0]["text"]
    assert "ANTHROPIC_API_KEY=held-by-the-gateway" in told
    assert "AGENTENV_TASK=" not in told
    assert "CLAUDE_CODE_DISABLE_AUTO_MEMORY=1" in told


def test_prompts_are_answered_one_after_another_in_one_conversation(box: Box) -> None:
    seen = box.run({"input": ['a\nfake: say "one"', "b\nfake: echo"]})
    assert len(seen.of("turn_ended")) == 2
    assert json.loads(seen.agent["text"])["answers"] == ["one"]


def test_max_turns_holds_over_all_prompts(box: Box) -> None:
    seen = box.run({"input": ['a\nfake: repeat 4 bash "true"; say one', 'b\nfake: repeat 9 bash "true"; say two']})
    assert (seen.code, seen.result["outcome"]) == (11, "limit_reached")
    assert "maximum number of turns" in seen.agent["error"]
    assert len(seen.of("turn_ended")) == 2


def test_a_budget_that_is_spent_ends_the_run(box: Box) -> None:
    declared = box.declaration(agent={"model": "sonnet", "max_turns": 20, "max_budget_usd": 0.01})
    seen = box.run({"prompt": 'x\nfake: usage 1000000 1000; repeat 5 bash "true"; say done'}, declared=declared)
    assert (seen.code, seen.result["outcome"]) == (11, "limit_reached")


def test_a_tool_that_is_not_allowed_is_not_there(box: Box) -> None:
    declared = box.declaration(agent={"model": "sonnet", "max_turns": 5, "allowed_tools": ["Read"]})
    seen = box.run({"prompt": 'x\nfake: bash "touch made"; say done'}, declared=declared)
    assert seen.of("tool_result")[0]["is_error"]
    assert not (box.workspace / "made").exists()


def test_a_pattern_allows_what_it_covers_and_denies_the_rest(box: Box) -> None:
    declared = box.declaration(agent={"model": "sonnet", "max_turns": 9, "allowed_tools": ["Bash(touch made)"]})
    seen = box.run({"prompt": 'x\nfake: bash "touch made"; bash "touch other"; say done'}, declared=declared)
    assert [result["is_error"] for result in seen.of("tool_result")] == [False, True]
    assert {path.name for path in box.workspace.iterdir()} == {"made"}


@pytest.mark.parametrize("status", [500, 529])
def test_an_api_that_fails_is_an_error_of_the_agent_with_the_apis_word(box: Box, status: int) -> None:
    seen = box.run({"prompt": f"x\nfake: status {status}; say done"})
    assert (seen.code, seen.result["outcome"]) == (10, "agent_error")
    assert str(status) in seen.agent["error"]


def test_an_api_that_nobody_reaches_is_an_error_of_the_agent(box: Box) -> None:
    seen = box.run({"prompt": "x"}, AGENTENV_MODEL_ROUTE="http://127.0.0.1:9")
    assert (seen.code, seen.result["outcome"]) == (10, "agent_error")
    assert seen.agent["error"]


def test_a_model_that_the_gateway_refuses_is_refused_by_policy(box: Box) -> None:
    with running_gateway() as gateway:
        seen = box.run(
            {"prompt": "x"},
            AGENTENV_GATEWAY=gateway,
            AGENTENV_MODEL_ROUTE=f"{gateway}/ANTHROPIC_API_KEY",
        )
    assert (seen.code, seen.result["outcome"]) == (12, "refused_by_policy"), seen.agent


def test_a_session_that_the_gateway_does_not_know_is_refused_by_policy(box: Box) -> None:
    with running_gateway(known=False) as gateway:
        seen = box.run({"prompt": "x"}, AGENTENV_GATEWAY=gateway)
    assert (seen.code, seen.result["outcome"]) == (12, "refused_by_policy")
    assert "unknown-route" in seen.agent["error"]


def test_the_policy_is_a_file_that_the_agent_may_read_and_not_change(box: Box) -> None:
    with running_gateway() as gateway:
        seen = box.run({"prompt": 'x\nfake: bash "cat $AGENTENV_POLICY_FILE"; say done'}, AGENTENV_GATEWAY=gateway)
    assert "api.example.com" in seen.of("tool_result")[0]["text"]
    file = box.root / "tmp/agentenv/network-policy.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o444
    assert seen.of("policy")[0]["hosts"] == 1


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"version": 2, "prompt": "x"}, "task.version = 2"),
        ({"promt": "x"}, "task.promt: no such field"),
        ({}, "task.prompt: agent 'agent' has nothing to do"),
        ({"input": ["a", 1]}, "task.input"),
        ({"prompt": "x", "state": {"save": "http://a"}}, "task.state.save"),
        ({"prompt": "x", "conversation": 1}, "task.conversation"),
    ],
)
def test_a_task_that_is_none_is_one_clear_error(box: Box, task: dict[str, object], said: str) -> None:
    seen = box.run(task)
    assert (seen.code, seen.result["outcome"]) == (78, "invalid_task")
    assert said in seen.of("error")[0]["problem"]
    assert "Fix: " in seen.of("error")[0]["problem"]


def test_a_schedule_says_what_to_do_where_nobody_else_does(box: Box) -> None:
    declared = box.declaration(schedule={"expression": "rate(1 day)", "prompt": 'x\nfake: say "by schedule"'})
    assert box.run(declared=declared).agent["text"] == "by schedule"


def test_a_run_that_is_stopped_says_so(box: Box) -> None:
    with box.started({"prompt": STAYS}) as process:
        until(process, "tool_use")
        process.send_signal(signal.SIGTERM)
        seen = ended(process)
    assert (seen.code, seen.result["outcome"]) == (143, "stopped")
    assert seen.of("stopping")[0]["signal"] == "SIGTERM"


def test_a_conversation_goes_on_in_a_fresh_container_with_its_history_and_files(box: Box) -> None:
    first = box.run(
        {"prompt": 'one\nfake: bash "echo hi > note.txt; ln -s note.txt link"; say first', "conversation": "c1"},
        declared=hybrid(box),
        AGENTENV_STATE="volume",
    )
    assert first.result["conversation"] == "c1"
    assert first.of("state_saved")
    box.fresh()
    second = box.run(
        {"prompt": "two\nfake: read link; echo", "conversation": "c1", "resume": True},
        declared=hybrid(box),
        AGENTENV_STATE="volume",
    )
    assert second.code == 0, second.raw
    told = json.loads(second.agent["text"])
    assert told["answers"] == ["first"]
    assert "hi" in told["tool_result"]
    assert second.of("state_loaded")


def test_a_killed_run_is_resumed_from_the_end_of_its_last_turn(box: Box) -> None:
    task = {"input": ['one\nfake: bash "echo kept > a"; say first', STAYS], "conversation": "c1"}
    with box.started(task, declared=hybrid(box), AGENTENV_STATE="volume") as process:
        until(process, "state_saved")
        until(process, "tool_use")
        process.kill()
    box.end()
    box.fresh()
    seen = box.run(
        {"prompt": "x\nfake: read a; echo", "conversation": "c1", "resume": True},
        declared=hybrid(box),
        AGENTENV_STATE="volume",
    )
    told = json.loads(seen.agent["text"])
    assert told["answers"] == ["first"]
    assert "kept" in told["tool_result"]


def test_a_stopped_run_keeps_what_it_has_before_it_ends(box: Box) -> None:
    prompt = 'x\nfake: bash "echo kept > a"; bash "tail -f /dev/null"; say never'
    with box.started({"prompt": prompt, "conversation": "c"}, declared=hybrid(box), AGENTENV_STATE="volume") as process:
        until(process, "tool_result")
        until(process, "tool_use")
        process.send_signal(signal.SIGTERM)
        seen = ended(process)
    assert seen.code == 143
    assert seen.of("state_saved")
    assert box.kept()


def test_resuming_what_is_not_kept_is_an_error(box: Box) -> None:
    task = {"prompt": "x", "conversation": "c9", "resume": True}
    seen = box.run(task, declared=hybrid(box), AGENTENV_STATE="volume")
    assert (seen.code, seen.result["outcome"]) == (78, "invalid_task")
    assert "nothing is kept" in seen.agent["error"]


def test_a_state_that_is_not_whole_is_never_loaded(box: Box) -> None:
    box.run({"prompt": "x\nfake: say a", "conversation": "c"}, declared=hybrid(box), AGENTENV_STATE="volume")
    (file,) = box.kept()
    file.write_bytes(file.read_bytes()[:-20_000])
    task = {"prompt": "x", "conversation": "c", "resume": True}
    seen = box.run(task, declared=hybrid(box), AGENTENV_STATE="volume")
    assert seen.code == 78
    assert "not whole" in seen.agent["error"]
    assert seen.of("turn_started") == []


def test_a_save_that_fails_is_loud(box: Box) -> None:
    # As the container's limit on the length of a file has it, whatever is on the disk.
    with (box.workspace / "sparse").open("wb") as stream:
        stream.truncate(3 * MIB)
    task = {"prompt": 'x\nfake: say "the answer"', "conversation": "c"}
    with box.started(task, declared=hybrid(box), AGENTENV_STATE="volume") as process:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (2 * MIB, 2 * MIB))
        seen = ended(process)
    assert (seen.code, seen.result["outcome"]) == (13, "save_failed")
    assert seen.agent["text"] == "the answer"
    problem = seen.of("state_save_failed")[0]["problem"]
    assert "takes no state" in problem
    assert "Fix: raise resources.disk_gib" in problem
    assert box.kept() == []


def test_a_volume_of_an_older_image_is_an_error_that_says_so(box: Box) -> None:
    for file in box.state.iterdir():
        file.unlink()
    (box.state / "state.tar").write_text("kept")
    task = {"prompt": "x", "conversation": "c", "resume": True}
    seen = box.run(task, declared=hybrid(box), AGENTENV_STATE="volume")
    assert (seen.code, seen.of("turn_started")) == (78, [])
    assert "older image" in seen.agent["error"]


def test_a_command_of_a_teams_own_finds_what_an_agent_would(box: Box) -> None:
    script = 'echo "$ANTHROPIC_BASE_URL $AGENTENV_TASK"; cat $AGENTENV_POLICY_FILE; exit 7'
    with running_gateway() as gateway:
        route = f"{gateway}/ANTHROPIC_API_KEY"
        task = {"prompt": "do it"}
        seen = box.run(task, "exec", "--", "sh", "-c", script, AGENTENV_GATEWAY=gateway, AGENTENV_MODEL_ROUTE=route)
    assert seen.code == 7
    assert seen.raw.startswith(f"{route} {{")
    assert "do it" in seen.raw
    assert "api.example.com" in seen.raw


def test_a_command_that_is_not_there_is_said(box: Box) -> None:
    seen = box.run(None, "exec", "--", "no-such-program")
    assert seen.code == 127
    assert "no-such-program" in seen.of("error")[0]["problem"]


def test_a_command_line_that_is_none_is_refused(box: Box) -> None:
    assert box.run(None, "execute").code == 64
    assert box.run(None, "agent", "nobody").code == 78
