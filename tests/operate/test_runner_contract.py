"""What `agentenv` and the program in the container tell each other: each side's words, read by the other."""

import json
from typing import Any

import pytest
from agentenv_session.outcomes import Outcome
from agentenv_session.results import AgentResult, document, tell
from agentenv_session.settings import Declaration, Task, check_prompts

from components.models.errors import validate
from components.models.session import Session
from components.plans.task import declaration
from operate.orders import Asked, check, encoded, task_document
from operate.results import OUTCOMES, joined
from operate.runs import Order
from tests.operate.deployed import DESK
from tests.operate.test_orders import NIGHTLY, PAIR

HYBRID = DESK | {"pattern": "hybrid"}


@pytest.mark.parametrize(
    ("declared", "order", "turns"),
    [
        (DESK, Order("desk", "go"), {"agent": ("go",)}),
        (DESK, Order("desk", input=("one", "two")), {"agent": ("one", "two")}),
        (NIGHTLY, Order("desk"), {"agent": ("report",)}),
        (PAIR, Order("pair", "rest", prompts={"critic": "read"}), {"writer": ("rest",), "critic": ("read",)}),
        (HYBRID, Order("desk", "on", conversation="c1", resume=True), {"agent": ("on",)}),
    ],
)
def test_the_runner_reads_what_is_ordered(
    declared: dict[str, Any], order: Order, turns: dict[str, tuple[str, ...]]
) -> None:
    session = validate(Session, declared)
    check(order, Asked.of(session))
    known = Declaration.parse(declaration(session))
    tokens = dict.fromkeys(turns, "t") if len(turns) > 1 else {}
    task = Task.parse(encoded(task_document(order, "r1", tokens)), known)
    check_prompts(task, known)
    assert {agent.name: task.prompts_of(agent.name) for agent in known.agents} == turns
    assert (task.run, task.conversation, task.resume) == ("r1", order.conversation, order.resume)
    assert task.tokens == tokens


@pytest.mark.parametrize("text", ["", "short", "x" * 200_000, 'a "quoted" \\ line\n\u2028\x1b\U0001f600' * 500])
def test_agentenv_reads_what_the_runner_says(text: str) -> None:
    lines: list[str] = []
    result = AgentResult("agent", Outcome.SUCCESS, text=text)
    told = document(
        run="r1",
        session="desk",
        environment="e",
        conversation=None,
        started="2027-01-31T00:00:00.000Z",
        ended="2027-01-31T00:00:01.000Z",
        agents=[result.to_json()],
    )
    tell(told, lambda event, fields: lines.append(json.dumps({"event": event, **fields})))
    assert joined(lines, "r1") == told


def test_both_know_the_same_outcomes() -> None:
    assert {outcome.exit_code: outcome.value for outcome in Outcome} == dict(OUTCOMES)
