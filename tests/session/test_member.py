"""What a supervisor takes from an agent that may be hostile, and what it tells of it."""

import json
from typing import Any

import pytest
from agentenv_session import events
from agentenv_session.member import Member

DEEP = 100_000


def member(**fields: Any) -> Member:
    return Member("a", 10401, ("x",), None, **fields)


def told_of(*lines: bytes) -> list[dict[str, Any]]:
    """What reaches the log of these lines."""
    found: list[dict[str, Any]] = []
    one = member()
    for text in lines:
        one.said(text, lambda event, fields: found.append(json.loads(events.line(event, fields))))
    return found


def test_an_agent_says_nothing_in_anothers_name() -> None:
    told = told_of(
        b'{"event":"tool_use","agent":"b","time":"never","tool":"Bash"}',
        b"not json \xff",
        b'{"event":"session_ended","outcome":"success"}',
    )
    assert [(one["event"], one["agent"]) for one in told] == [("tool_use", "a"), ("output", "a")]
    assert told[0]["tool"] == "Bash"
    assert told[0]["time"] != "never"


def nested(depth: int) -> bytes:
    return b'{"event":"x","of":' + b"[" * depth + b"]" * depth + b"}"


@pytest.mark.parametrize(
    "text",
    [
        b"[1]",
        b"7",
        b"null",
        b'"event"',
        b"{}",
        b"[" * DEEP,
        nested(DEEP),
        b'{"event":' + b"9" * 5000 + b"}",
    ],
    ids=["list", "number", "null", "text", "object", "unclosed", "deep", "digits"],
)
def test_a_line_that_is_no_event_is_output(text: bytes) -> None:
    (told,) = told_of(text)
    assert (told["event"], told["agent"]) == ("output", "a")


def test_what_can_be_read_and_not_be_written_is_output() -> None:
    # Which depth that is depends on the stack and on the version of Python.
    lines = [nested(depth) for depth in range(800, 1000)]
    assert [one["agent"] for one in told_of(*lines)] == ["a"] * len(lines)


def test_the_name_stays_and_the_line_is_short_however_many_fields_an_agent_sends() -> None:
    fields = {f"{number:k>60}": "v" * 4000 for number in range(40)}
    for further in ({}, {"k" * 20_000: 1}, {"agent": "b"}):
        found: list[str] = []
        text = json.dumps({"event": "e", **further, **fields}).encode()
        member().said(text, lambda event, told, found=found: found.append(events.line(event, told)))  # type: ignore[misc]
        assert len(found[0].encode()) < events.MOST_BYTES
        assert json.loads(found[0])["agent"] == "a"


def test_parts_of_a_result_are_kept_up_to_a_limit_empty_ones_too() -> None:
    one = member()
    for number in range(20_000):
        one.said(json.dumps({"event": "result_part", "part": number, "text": ""}).encode(), lambda *_: None)
    assert len(one.parts) < 10_000


def resulting(about: object, code: int) -> dict[str, Any]:
    return member(parts={0: json.dumps({"agents": [about]})}, code=code).result().to_json()


def test_an_agents_result_must_agree_with_its_exit_code() -> None:
    about = {"name": "b", "outcome": "success", "text": "fine", "usage": {"input_tokens": 3}, "own": "field"}
    assert resulting(about, 0) == {
        "name": "a",
        "outcome": "success",
        "text": "fine",
        "turns": 0,
        "cost_usd": 0.0,
        "usage": {"input_tokens": 3},
        "session_id": "",
    }
    assert resulting(about, 70)["outcome"] == "crash"
    assert member(code=0).result().outcome == "crash"
    assert member(code=11).result().outcome == "limit_reached"


@pytest.mark.parametrize(
    "further",
    [
        {"cost_usd": float("inf")},
        {"cost_usd": 10**400},
        {"turns": [1]},
        {"usage": [1]},
        {"usage": {"kind": {}, "x" * 70: 1}},
        {"outcome": []},
        {"text": {"of": 1}, "session_id": "s" * 10_000, "error": "e" * 10_000},
    ],
)
def test_a_result_is_made_of_fields_of_their_own_kind(further: dict[str, Any]) -> None:
    told = resulting({"outcome": "success", **further}, 0)
    assert told["usage"] == {}
    assert isinstance(told["text"], str)
    assert len(json.dumps(told)) < 10_000


@pytest.mark.parametrize("text", ["", "[", "[]", '{"agents": 1}', '{"agents":["a"]}', '{"agents":' + "[" * DEEP])
def test_a_document_that_is_none_is_a_crash(text: str) -> None:
    assert member(parts={0: text}, code=0).result().outcome == "crash"
