"""The runner's lines for people."""

import json

import pytest

from operate.events import clean, readable


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ({"event": "assistant_text", "text": "Done.\nAll of it."}, "10:11:12 Done.\nAll of it."),
        ({"event": "assistant_text", "agent": "critic", "text": "No."}, "10:11:12 [critic] No."),
        (
            {"event": "tool_use", "tool": "Bash", "id": "t", "input": {"command": "ls"}},
            '10:11:12 > Bash {"command": "ls"}',
        ),
        ({"event": "tool_result", "id": "t", "is_error": True, "text": "gone\n"}, "10:11:12 < error: gone"),
        ({"event": "turn_started", "turn": 2}, "10:11:12 turn 2 started"),
        (
            {"event": "turn_ended", "turn": 2, "outcome": "success", "cost_usd": 0.5},
            "10:11:12 turn 2 ended: success, $0.5000",
        ),
        ({"event": "session_ended", "outcome": "stopped", "exit_code": 143}, "10:11:12 session ended: stopped"),
        ({"event": "state_saved", "bytes": 7, "seconds": 0.1}, "10:11:12 state saved bytes=7 seconds=0.1"),
        ({"event": "error", "problem": "no CLI"}, "10:11:12 error: no CLI"),
        ({"event": "result_part", "part": 0, "parts": 1, "text": "{}"}, None),
    ],
)
def test_events_are_told_in_a_line(event: dict[str, object], told: str | None) -> None:
    assert readable(json.dumps(event | {"time": "2027-01-31T10:11:12.123Z"})) == told


@pytest.mark.parametrize("line", ["plain text", "{not json", '{"no": "event"}', "[" * 99_999, '{"event": 1}', ""])
def test_what_is_no_event_is_shown_as_it_is(line: str) -> None:
    assert readable(line) == line


def test_long_results_are_cut() -> None:
    told = readable(json.dumps({"event": "tool_result", "text": "x" * 5000}))
    assert told is not None
    assert told.endswith("... (5000 characters)")
    assert len(told) < 500


def test_nothing_reaches_the_terminal_as_a_command() -> None:
    nasty = "\x1b]0;title\x07 \x9b31m \u202egnp.exe \r over"
    for shown in (clean(nasty), readable(nasty), readable(json.dumps({"event": "assistant_text", "text": nasty}))):
        assert shown is not None
        assert not any(ord(one) < 32 or 0x7F <= ord(one) < 0xA0 or one == "\u202e" for one in shown)
    assert clean("a\tb\r\nc") == "a\tb\nc"


def test_what_no_agent_would_say_is_shown_as_it_is() -> None:
    for line in (
        '{"event": "turn_ended", "cost_usd": 1' + "0" * 400 + "}",
        '{"event": "tool_use", "tool": "x", "input": ' + "[" * 900 + "]" * 900 + "}",
    ):
        assert readable(line)
