"""The log: one line of JSON for each thing, whatever is in it."""

import asyncio
import json
import traceback
from datetime import datetime, timedelta

from egress_gateway.log import MAX_SHOWN, Log, shown
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.gateway.rig import run


def lines_of(*records: tuple[str, dict[str, object]]) -> list[bytes]:
    written: list[bytes] = []

    async def work() -> None:
        log = Log(written.append)
        for event, record in records:
            log(event, record)
        await asyncio.sleep(0)

    run(work())
    return written


@given(st.dictionaries(st.text(max_size=5), st.text(st.characters(codec=None, categories=None))))
def test_any_text_stays_one_line_of_ascii(record: dict[str, str]) -> None:
    (written,) = lines_of(("decision", {**record}))
    assert written.endswith(b"\n")
    assert written.count(b"\n") == 1
    assert all(0x20 <= byte < 0x7F for byte in written[:-1])
    assert json.loads(written) == {"event": "decision", "time": json.loads(written)["time"], **record}


@given(st.binary(max_size=600))
def test_any_bytes_are_shown_in_ascii_and_cut(raw: bytes) -> None:
    text = shown(raw)
    assert text.isascii()
    assert (f"({len(raw)} bytes)" in text) == (len(raw) > MAX_SHOWN)


def test_what_happens_together_is_written_together() -> None:
    (written,) = lines_of(("one", {}), ("two", {}))
    assert [json.loads(line)["event"] for line in written.splitlines()] == ["one", "two"]


def test_the_time_is_utc_with_milliseconds() -> None:
    (written,) = lines_of(("one", {}))
    time = json.loads(written)["time"]
    assert len(time) == len("2027-01-31T03:00:00.000Z")
    assert datetime.fromisoformat(time).utcoffset() == timedelta(0)


def test_a_fault_tells_where_and_never_the_errors_text() -> None:
    written: list[bytes] = []

    async def work() -> None:
        log = Log(written.append)
        try:
            raise ValueError("canary-secret")
        except ValueError as error:
            log.fault(error)
            assert traceback.format_exc()
        log.flush()

    run(work())
    line = json.loads(written[0])
    assert (line["event"], line["error"]) == ("fault", "ValueError")
    assert any(place.startswith("test_log.py:") for place in line["where"])
    assert b"canary" not in written[0]
