"""One task, one container: the real `claude` behind the real gateway, started by `agentenv`."""

import json

from tests.containers.sessions.stage import DENIED, KEYS, NO_KEY, NO_RETRY, Stage

# The whole of the gateway's answer: clients keep to themselves what a refused tunnel says.
ASK = (
    'python3 -c "import http.client as h, sys; c = h.HTTPConnection(sys.argv[1][7:]); '
    'c.request(\\"CONNECT\\", sys.argv[2]); print(c.getresponse().read().decode())"'
)


def test_an_agent_edits_a_file_with_its_tools(stage: Stage) -> None:
    ended = stage.ran(
        "start",
        "worker",
        "--prompt",
        "Mend the greeting.\nfake: write greeting.txt 'Hello wrold'; edit greeting.txt wrold world; "
        "bash 'pwd; cat greeting.txt'; echo",
    )
    assert (ended.code, ended.info["outcome"]) == (0, "success"), ended.info
    assert ended.echoed["tool_result"] == "/workspace\nHello world"
    told = stage.said(ended.id)
    assert [event["tool"] for event in told if event["event"] == "tool_use"] == ["Write", "Edit", "Bash"]
    assert told[0]["event"] == "session_started"
    assert told[-1] | {"time": ""} == {"time": "", "event": "session_ended", "outcome": "success", "exit_code": 0}
    assert not stage.leftovers()


def test_an_agent_that_is_refused_a_host_reads_why_and_what_would_change_it(stage: Stage) -> None:
    steps = [f"bash 'curl -sS -i -m 20 https://{DENIED}/; true'", f"bash '{ASK} $AGENTENV_GATEWAY {DENIED}:443'"]
    ended = stage.ran("start", "worker", "--prompt", f"fake: {'; '.join(steps)}; say ok")
    assert (ended.code, ended.text) == (0, "ok"), ended.info
    refused = [line for line in stage.gateway_log() if line.get("host") == DENIED]
    assert [(line["verdict"], line["session"]) for line in refused] == [("denied", "worker")] * 2
    (rule,) = {line["rule"] for line in refused}
    head, body = (event["text"] for event in stage.said(ended.id) if event["event"] == "tool_result")
    # What clients show by themselves, and what the answer says besides.
    assert f"x-egress-rule: {rule}" in head
    answer = json.loads(body)
    assert (answer["rule"], answer["field"], answer["retry"]) == (rule, "config.networking.allowed_hosts", False)
    assert "The owner of the environment can change it in the stack file" in answer["message"]


def test_an_agent_knows_its_policy_and_holds_no_key(stage: Stage) -> None:
    known = len(stage.api.requests())
    ended = stage.ran(
        "start", "worker", "--prompt", f"fake: bash 'cat \"$AGENTENV_POLICY_FILE\"'; bash '{KEYS}'; say ok"
    )
    assert (ended.code, ended.text) == (0, "ok"), ended.info
    told, keys = (event["text"] for event in stage.said(ended.id) if event["event"] == "tool_result")
    policy = json.loads(told)
    assert (policy["environment"], policy["session"], policy["in_force"]) == ("scenes", "worker", True)
    assert "ANTHROPIC_API_KEY" in policy["routes"]
    assert keys == NO_KEY
    # The stand-in takes no other key, so the gateway has put it in.
    assert 200 in {request["status"] for request in stage.api.requests()[known:]}


def test_a_program_of_the_teams_own_finds_the_same_prepared(stage: Stage) -> None:
    ended = stage.ran("start", "own", "--prompt", "fake: say 'to whom it may concern'")
    assert (ended.code, ended.info["outcome"]) == (0, "success"), ended.info
    (told,) = (event for event in stage.said(ended.id) if event["event"] == "own")
    assert (told["said"], told["session"]) == ("to whom it may concern", "own")


def test_max_turns_ends_a_run(stage: Stage) -> None:
    ended = stage.ran("start", "hasty", "--prompt", "fake: repeat 9 bash true")
    assert (ended.code, ended.info["outcome"]) == (11, "limit_reached"), ended.info


def test_an_api_that_is_down_is_the_agents_error_and_no_hang(stage: Stage) -> None:
    stage.api.stop()
    try:
        ended = stage.ran("start", "worker", "--prompt", "fake: say never", "--env", NO_RETRY)
    finally:
        stage.api.start()
    assert (ended.code, ended.info["outcome"]) == (10, "agent_error"), ended.info
    (agent,) = ended.agents.values()
    assert agent["error"]


def test_errors_of_the_api_are_told(stage: Stage) -> None:
    overloaded = stage.ran("start", "worker", "--prompt", "fake: status 529; say x", "--env", NO_RETRY)
    assert (overloaded.code, overloaded.info["outcome"]) == (10, "agent_error"), overloaded.info
    assert "529" in str(overloaded.agents["agent"]["error"])


def test_passing_errors_and_a_cut_connection_are_survived(stage: Stage) -> None:
    ended = stage.ran("start", "worker", "--prompt", "fake: status 529 1; cut; slow 1; say 'got through'")
    assert (ended.code, ended.text) == (0, "got through"), ended.info


def test_a_full_disk_is_the_agents_problem_and_its_result_still_comes(stage: Stage) -> None:
    steps = [
        f"bash 'head -c 2G /dev/zero > {folder}/fill; df --output=pcent {folder}'" for folder in ("/workspace", "/tmp")
    ]
    ended = stage.ran("start", "worker", "--prompt", f"fake: {'; '.join(steps)}; say 'all full'")
    assert (ended.code, ended.text) == (0, "all full"), ended.info
    work, temporary = (event["text"] for event in stage.said(ended.id) if event["event"] == "tool_result")
    assert "No space left on device" in work
    assert "100%" in work
    # Where its own temporary folder is full, Claude Code says so itself.
    assert "Disk full" in temporary


def test_sigterm_in_the_middle_of_a_turn(stage: Stage) -> None:
    run = stage.told("start", "worker", "--prompt", "fake: bash 'echo begun'; slow 600; say never")["id"]
    stage.wait_for_event(run, "tool_result")
    info = stage.told("stop", run)
    assert (info["status"], info["outcome"], info["exit_code"]) == ("ended", "stopped", 143)
    ended = stage.result(run)
    assert (ended.code, ended.info["result"]["outcome"]) == (143, "stopped")
    assert "stopping" in [event["event"] for event in stage.said(run)]
    assert not stage.leftovers()
