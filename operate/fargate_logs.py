"""What a task wrote: its stream in CloudWatch Logs, which arrives some seconds late."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from components.plans.task import CONTAINER
from operate.fargate_client import Clients, asking_aws, patiently
from operate.fargate_tasks import POLL_SECONDS, Fargate

LATE_SECONDS = 30
"""How long after the end of a task its last lines are waited for."""
QUIET_SECONDS = 10
"""Silence after the end of a task that does not say which line is its last."""
_LAST = "session_ended"
"""The event that the runner ends with."""


@dataclass(frozen=True)
class Line:
    """One line.

    Attributes:
        time: When it was written.
        text: Without its line end.
    """

    time: datetime
    text: str


@dataclass
class Log:
    """The stream of one task, read once from its beginning.

    Attributes:
        clients: AWS.
        group: Name of the log group.
        stream: Name of the stream.
    """

    clients: Clients
    group: str
    stream: str
    _token: str | None = field(default=None, init=False)

    @classmethod
    def of(cls, fargate: Fargate, task: str) -> "Log":
        """Of the session's container of a task (id or ARN)."""
        return cls(fargate.clients, fargate.environment.log_group, f"{CONTAINER}/{CONTAINER}/{task.rpartition('/')[2]}")

    def fresh(self, *, patient: bool = False) -> Iterator[Line]:
        """What has come since the last call, and has not been given yet; nothing while there is no such stream.

        Args:
            patient: Whether to ask again while AWS is away or has no time.
        """
        while True:
            with asking_aws():
                try:
                    page = patiently(self.clients, self._page) if patient else self._page()
                except self.clients.logs.exceptions.ResourceNotFoundException:
                    return
            before, self._token = self._token, page["nextForwardToken"]
            for event in page["events"]:
                yield Line(datetime.fromtimestamp(event["timestamp"] / 1000, UTC), str(event["message"]).rstrip("\r\n"))
            # CloudWatch says that there is no more by giving the same token again; an empty page does not.
            if self._token == before:
                return

    def _page(self) -> Mapping[str, Any]:
        wanted = {"nextToken": self._token} if self._token else {}
        found: Mapping[str, Any] = self.clients.logs.get_log_events(
            logGroupName=self.group, logStreamName=self.stream, startFromHead=True, **wanted
        )
        return found

    def lines(self, complete: Callable[[Sequence[str]], bool], seconds: float = LATE_SECONDS) -> list[str]:
        """All lines of a task that has ended.

        Args:
            complete: Whether that is all.
            seconds: How long to wait for the rest.
        """
        deadline = self.clients.clock() + seconds
        found: list[str] = []
        while True:
            found += (line.text for line in self.fresh(patient=True))
            if complete(found) or self.clients.clock() >= deadline:
                return found
            self.clients.pause(POLL_SECONDS)

    def follow(self, ended: Callable[[], bool]) -> Iterator[str]:
        """Lines as they come, until the task has ended and the last of them is there.

        Args:
            ended: Whether the task has ended; asked at each look.
        """
        over, last, since = False, False, self.clients.clock()
        while True:
            for line in self.fresh(patient=True):
                since = self.clients.clock()
                last = last or is_last(line.text)
                yield line.text
            if over and (last or self.clients.clock() - since >= QUIET_SECONDS):
                return
            if not over:
                over = ended()
                since = self.clients.clock()
                if over:
                    # What it wrote between the last look and its end.
                    continue
            self.clients.pause(POLL_SECONDS)


def is_last(line: str) -> bool:
    """Whether the runner writes nothing after this line."""
    if _LAST not in line:
        return False
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(event, dict) and event.get("event") == _LAST
