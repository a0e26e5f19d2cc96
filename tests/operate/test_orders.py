"""Orders: what is refused before anything exists, and the task document of what is not."""

import json
from typing import Any

import pytest

from components.models.errors import validate
from components.models.session import Session
from components.plans.task import declaration
from operate.failures import Exit, Failure
from operate.orders import MOST_BYTES, Asked, check, encoded, parse_input, task_document
from operate.runs import Order
from tests.operate.deployed import CHAT, DESK

PAIR = {
    "name": "pair",
    "environment": "api-client",
    "pattern": "single_container",
    "agents": [{"name": "writer", "model": "m"}, {"name": "critic", "model": "m"}],
}
OWN = {"name": "own", "environment": "api-client", "pattern": "ephemeral", "command": ["true"]}
NIGHTLY = DESK | {"schedule": {"expression": "rate(1 day)", "prompt": "report"}}


def asked(declared: dict[str, Any]) -> Asked:
    return Asked.of(validate(Session, declared))


@pytest.mark.parametrize(
    ("declared", "order"),
    [
        (DESK, Order("desk", "go")),
        (DESK, Order("desk", input=("one", "two"))),
        (NIGHTLY, Order("desk")),
        (OWN, Order("own")),
        (OWN, Order("own", "go")),
        (CHAT, Order("chat")),
        (CHAT, Order("chat", "hello")),
        (PAIR, Order("pair", "both of you")),
        (PAIR, Order("pair", prompts={"writer": "write", "critic": "read"})),
        (PAIR, Order("pair", "the rest", prompts={"critic": "read"})),
        (DESK | {"pattern": "hybrid"}, Order("desk", "go", conversation="c0ffee")),
        (DESK, Order("desk", "go", env={"COLOUR": "blue"})),
    ],
)
def test_what_a_session_can_do_is_taken(declared: dict[str, Any], order: Order) -> None:
    check(order, asked(declared))


@pytest.mark.parametrize(
    ("declared", "order", "told"),
    [
        (DESK, Order("desk"), r"needs something to do.*--prompt"),
        (DESK, Order("desk", "  \n"), "--prompt is empty"),
        (DESK, Order("desk", input=("one", "")), "--input is empty"),
        (DESK, Order("desk", "go", ("one",)), "both given"),
        (DESK, Order("desk", input=("go",) * 1001), "1001 prompts"),
        (DESK, Order("desk", "go", prompts={"nobody": "go"}), r"no such agent.*agent"),
        (PAIR, Order("pair", input=("one", "two")), r"several agents.*\"writer\""),
        (PAIR, Order("pair", prompts={"writer": "write"}), "no prompt for agent 'critic'"),
        (CHAT, Order("chat", input=("one",)), "not --input"),
        (CHAT, Order("chat", env={"A": "b"}), "without --env"),
        (
            CHAT | {"agent": None, "token_sha256": None, "command": ["x"]},
            Order("chat", "hello"),
            "a command of its own",
        ),
        (DESK, Order("desk", "go", conversation="c0ffee"), "only hybrid sessions"),
        (DESK | {"pattern": "hybrid"}, Order("desk", "go", conversation="../x"), "no id of a conversation"),
        (DESK, Order("desk", "go", env={"LD_PRELOAD": "x"}), "set by the runtime"),
        (DESK, Order("desk", "go", env={"A-B": "x"}), "letters, digits and underscores"),
        (DESK, Order("desk", "go", env={"CRM": "x"}), "set by session 'desk' itself"),
        (DESK, Order("desk", "go", env={"A": "x" * 4097}), "4,096 characters"),
        (DESK, Order("desk", "go", env={f"A{number}": "" for number in range(101)}), "101 times"),
        (DESK, Order("desk", "go", env={"A": "x\0y"}), "a value is text"),
    ],
)
def test_what_it_cannot_is_refused_with_a_fix(declared: dict[str, Any], order: Order, told: str) -> None:
    with pytest.raises(Failure, match=told) as caught:
        check(order, asked(declared))
    assert caught.value.code is Exit.USAGE
    assert "Fix: " in str(caught.value)


@pytest.mark.parametrize("declared", [DESK, PAIR, OWN, NIGHTLY, CHAT])
def test_the_containers_own_declaration_says_the_same(declared: dict[str, Any]) -> None:
    session = validate(Session, declared)
    known = Asked.of(session)
    told = Asked.told(json.loads(declaration(session)), own_command=bool(session.command), variables=known.variables)
    assert told == known


def test_the_document_says_what_is_asked_and_nothing_else() -> None:
    assert task_document(Order("desk", "go"), "r1") == {"version": 1, "run": "r1", "prompt": "go"}
    order = Order("desk", input=("one", "two"), conversation="c1", resume=True)
    assert task_document(order, "r1", state={"load": None, "save": "https://x"}) == {
        "version": 1,
        "run": "r1",
        "input": ["one", "two"],
        "conversation": "c1",
        "resume": True,
        "state": {"load": None, "save": "https://x"},
    }
    pair = task_document(Order("pair", "go", prompts={"critic": "read"}), "r1", {"writer": "t1", "critic": "t2"})
    assert pair["prompts"] == {"critic": "read"}
    assert pair["agents"] == {"writer": "t1", "critic": "t2"}


def test_a_task_that_no_variable_carries_is_refused() -> None:
    fits = encoded({"prompt": "x" * (MOST_BYTES - 14)})
    assert len(fits) == MOST_BYTES - 1
    with pytest.raises(Failure, match="100,000"):
        encoded({"prompt": "x" * (MOST_BYTES - 13)})
    # Three bytes each.
    with pytest.raises(Failure, match="bytes"):
        encoded({"prompt": "€" * (MOST_BYTES // 3)})
    with pytest.raises(Failure, match="surrogate"):
        encoded({"prompt": "\ud800"})


def test_input_is_one_prompt_several_or_one_for_each_agent() -> None:
    assert parse_input("Fix the bug.\n", as_json=False) == ("Fix the bug.\n", (), {})
    assert parse_input('["one", "two"]', as_json=False) == (None, ("one", "two"), {})
    assert parse_input(' {"writer": "write"}', as_json=True) == (None, (), {"writer": "write"})
    assert parse_input('"one"', as_json=True) == ("one", (), {})


@pytest.mark.parametrize("text", ["[todo] fix it", "{", '[1, "two"]', "[]", '{"a": 1}', "[" * 100_000])
def test_text_that_only_looks_like_json_is_a_prompt_unless_its_name_says_json(text: str) -> None:
    assert parse_input(text, as_json=False) == (text, (), {})
    with pytest.raises(Failure, match="JSON"):
        parse_input(text, as_json=True)
