"""Results: joined out of lines, or told what was there instead."""

import json
from datetime import UTC, datetime

import pytest

from operate.failures import Exit, Failure
from operate.results import OUTCOMES, joined, of_command, outcome
from operate.runs import RunInfo

DOCUMENT = {
    "version": 1,
    "run": "r1",
    "outcome": "success",
    "agents": [{"name": "agent", "text": "a \u2028 line\n" * 9}],
}


def parts(document: object, size: int = 40) -> list[str]:
    text = json.dumps(document)
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return [
        json.dumps({"event": "result_part", "part": number, "parts": len(pieces), "text": piece})
        for number, piece in enumerate(pieces)
    ]


def test_the_parts_are_joined_among_other_lines() -> None:
    lines = ['{"event": "session_started"}', "not json", '["event"]', *parts(DOCUMENT), '{"event": "session_ended"}']
    assert joined(lines, "r1") == DOCUMENT


def test_the_last_result_counts() -> None:
    assert joined([*parts({"version": 1, "outcome": "crash"}), *parts(DOCUMENT)], "r1") == DOCUMENT


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "none of its 0 lines"),
        (["Traceback", "MemoryError"], "none of its 2 lines .*MemoryError"),
        (['{"event": "error", "problem": "no CLI"}'], "no CLI"),
        (parts(DOCUMENT)[:-1], r"\d+ of \d+ parts"),
        (parts(DOCUMENT)[1:], "part 1 came after 0"),
        ([*parts(DOCUMENT)[:1], *parts(DOCUMENT)[2:]], "part 2 came after 1"),
        (['{"event": "result_part", "part": "1", "parts": 1, "text": "{}"}'], "no number"),
        (['{"event": "result_part", "part": 0, "parts": 1, "text": "{"}'], "not JSON"),
        (parts({"version": 2}), "version 1"),
        (parts([1]), "version 1"),
        (parts({"version": 1, "agents": 5}), "its agents is wrong"),
        (parts({"version": 1, "agents": [5]}), r"its agents\.0 is wrong"),
        (parts({"version": 1, "agents": [{"cost_usd": 10**400}]}), r"its agents\.0\.cost_usd is wrong"),
        (parts({"version": 1, "exit_code": "0"}), "its exit_code is wrong"),
        (parts({"version": 1, "x": float("nan")}), "not JSON"),
        (parts({"version": 1, "x": json.loads("[" * 200 + "]" * 200)}), "32 levels deep"),
        (["y" * 10_000], "none of its 1 lines is a part of one; y{500}\\. Fix"),
        (parts({"version": 1, "text": "x" * 17_000_000}, 8_000_000), "longer than"),
    ],
)
def test_a_result_that_is_cut_or_missing_is_told(lines: list[str], told: str) -> None:
    with pytest.raises(Failure, match=told) as caught:
        joined(lines, "r1")
    assert caught.value.code is Exit.UNREACHABLE
    assert "agentenv logs r1" in str(caught.value)


def test_every_code_has_its_outcome() -> None:
    assert {code: outcome(code) for code in OUTCOMES} == dict(OUTCOMES)
    assert outcome(None) is None
    assert outcome(137) == "crash"
    assert [outcome(code, own_command=True) for code in (0, 11, 143)] == ["success", "agent_error", "stopped"]


def test_a_command_of_the_teams_own_has_its_exit_code_as_result() -> None:
    now = datetime(2027, 1, 31, tzinfo=UTC)
    info = RunInfo("r1", "own", "e", "ended", now, now, 7, "agent_error", "i", "p", None, None, "run")
    told = of_command(info)
    assert (told["outcome"], told["exit_code"], told["agents"]) == ("agent_error", 7, [])
    assert RunInfo.from_json(json.loads(json.dumps(info.to_json()))) == info


def test_a_result_that_says_more_than_this_version_knows_is_as_it_was() -> None:
    told = DOCUMENT | {
        "new": {"a": [1]},
        "agents": [{"name": "a", "usage": {"input_tokens": 1}, "cost_usd": 1, "x": 2}],
    }
    assert joined(parts(told), "r1") == told
