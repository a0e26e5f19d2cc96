"""The log of a task: read to its last line, though it arrives late and in pages."""

from collections.abc import Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError

from operate.failures import Failure
from operate.fargate_client import Clients
from operate.fargate_logs import Log, is_last

LAST = '{"event":"session_ended","outcome":"success"}'


class MissingError(Exception):
    """There is no such stream."""


class Logs:
    """A stream that grows while somebody waits: what each pause brings; None for as long as there is no stream."""

    def __init__(self, *brought: Sequence[str] | None) -> None:
        self.exceptions = self
        self.brought = [*brought]
        self.pages: list[Sequence[str]] | None = None
        self.waits: list[float] = []
        self.busy = 0
        self.pause(0)

    ResourceNotFoundException = MissingError

    def pause(self, seconds: float) -> None:
        self.waits.append(seconds)
        page = self.brought.pop(0) if self.brought else []
        if page is not None:
            self.pages = [*(self.pages or []), page]

    def get_log_events(self, nextToken: str = "0", **_: Any) -> dict[str, Any]:  # noqa: N803 - AWS's name
        if self.busy:
            self.busy -= 1
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, "GetLogEvents")
        if self.pages is None:
            raise MissingError
        number = int(nextToken)
        page = self.pages[number] if number < len(self.pages) else []
        events = [{"timestamp": 0, "message": line} for line in page]
        return {"events": events, "nextForwardToken": str(min(number + 1, len(self.pages)))}

    def log(self) -> Log:
        clients = Clients(None, self, pause=self.pause, clock=lambda: sum(self.waits))
        return Log(clients, "/g", "s")


def test_all_pages_are_read_and_an_empty_one_is_not_the_end() -> None:
    logs = Logs(["a", "b\n"])
    logs.pages = [["a", "b\n"], [], ["c"]]
    log = logs.log()
    assert [line.text for line in log.fresh()] == ["a", "b", "c"]
    assert [*log.fresh()] == []
    logs.pause(0)
    logs.pages.append(["d"])
    assert [line.text for line in log.fresh()] == ["d"]


def test_lines_are_followed_to_the_last_one_however_late_it_comes() -> None:
    logs = Logs(None, ["a"], ["b"], [], [], ["c", LAST], ["never read"])
    assert [*logs.log().follow(lambda: sum(logs.waits) > 3)] == ["a", "b", "c", LAST]


def test_a_task_without_a_last_line_is_followed_until_it_is_quiet() -> None:
    logs = Logs(["a"], ["b"], [], [], ["c"])
    assert [*logs.log().follow(lambda: True)] == ["a", "b", "c"]
    assert sum(logs.waits) == 18


def test_whoever_follows_is_patient_with_aws() -> None:
    logs = Logs(["a", LAST])
    logs.busy = 5
    assert [*logs.log().follow(lambda: True)] == ["a", LAST]
    logs.busy = 5
    assert logs.log().lines(lambda lines: LAST in lines) == ["a", LAST]
    logs.busy = 1
    with pytest.raises(Failure, match="Rate exceeded"):
        [*logs.log().fresh()]


def test_a_task_that_said_nothing_is_not_followed_for_ever() -> None:
    logs = Logs(None, *[None] * 9)
    assert [*logs.log().follow(lambda: True)] == []


def test_what_is_complete_is_not_waited_for() -> None:
    logs = Logs(["a"], ["b"], ["c"])
    assert logs.log().lines(lambda lines: "b" in lines) == ["a", "b"]
    assert sum(logs.waits) == 2
    assert logs.log().lines(lambda _: False, seconds=0) == ["a", "b"]


@pytest.mark.parametrize(
    ("line", "last"),
    [
        (LAST, True),
        ('{"event":"assistant_text","text":"session_ended"}', False),
        ("session_ended", False),
        ("[", False),
    ],
)
def test_the_last_line_is_the_runners_own(line: str, last: bool) -> None:
    assert is_last(line) is last
