"""What the container is told, read: every problem is one line with its field and a fix."""

import json
from typing import Any

import pytest
from agentenv_session.environment import PLACEHOLDER, agent_variables
from agentenv_session.layout import Layout
from agentenv_session.mounts import mount_all
from agentenv_session.settings import Declaration, InvalidTask, Task, check_prompts

from offline.model_api.server import ModelApi

PAIR = Declaration.parse(
    json.dumps(
        {
            "name": "pair",
            "environment": "e",
            "pattern": "single_container",
            "agents": [{"name": "writer", "model": "sonnet"}, {"name": "critic", "model": "opus", "max_turns": 3}],
        }
    )
)


def parsed(**fields: Any) -> Task:
    return Task.parse(json.dumps({"version": 1, "run": "r", **fields}), PAIR)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"prompt": ""}, "task.prompt"),
        ({"prompt": 7}, "task.prompt"),
        ({"input": "text"}, "task.input"),
        ({"input": ["a", " "]}, "task.input"),
        ({"prompt": "a", "input": ["b"]}, "task.input"),
        ({"prompts": {"reader": "a"}}, "task.prompts"),
        ({"prompts": {"writer": ["a"]}}, "task.prompts"),
        ({"agents": ["writer"]}, "task.agents"),
        ({"resume": "no"}, "task.resume"),
        ({"state": "s3://b/k"}, "task.state"),
        ({"state": {"load": "file:///etc/passwd"}}, "task.state.load"),
        ({"version": "1"}, "task.version"),
        ({"sate": {}}, "task.sate"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidTask) as error:
        parsed(**fields)
    text = str(error.value)
    assert text.startswith((f"{field}:", f"{field} = "))
    assert "Fix: " in text
    assert "\n" not in text


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "[" * 100_000])
def test_what_is_no_task_at_all_is_said(text: str) -> None:
    if text:
        with pytest.raises(InvalidTask, match=r"^task: .*Fix: "):
            Task.parse(text, PAIR)
    else:
        assert Task.parse(text, PAIR) == Task()


def test_each_agent_gets_its_own_prompt_or_the_one_for_all() -> None:
    task = parsed(prompt="rest", prompts={"critic": "read"})
    assert [task.prompts_of(agent.name) for agent in PAIR.agents] == [("rest",), ("read",)]
    check_prompts(task, PAIR)
    with pytest.raises(InvalidTask, match="agent 'writer' has nothing to do"):
        check_prompts(parsed(prompts={"critic": "read"}), PAIR)


def test_a_bearer_token_of_the_models_is_held_in_its_own_header(tmp_path: Any, model: ModelApi) -> None:
    layout = Layout(tmp_path)
    told = {"AGENTENV_MODEL_ROUTE": "http://10.0.0.2:3128/ANTHROPIC_AUTH_TOKEN"}
    found = agent_variables(told, layout.home, layout.scratch, tmp_path / "policy.json")
    assert found["ANTHROPIC_AUTH_TOKEN"] == PLACEHOLDER
    assert "ANTHROPIC_API_KEY" not in found
    model.files["file_2"] = b"bytes"
    mounts = ({"type": "file", "file_id": "file_2"},)
    mount_all(mounts, tmp_path, found | {"ANTHROPIC_BASE_URL": model.url}, lambda *_: None)
    assert (tmp_path / "file_2").read_bytes() == b"bytes"
