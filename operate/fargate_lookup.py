"""Runs of a stack on Fargate by their ids: as ECS knows them, or by what they have left in logs and state."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from components.models.session import Pattern
from components.models.tags import RunTag
from operate.failures import Failure, usage
from operate.fargate_info import NOTHING, created, info_of, is_run, is_service, tags_of, task_id
from operate.fargate_logs import Log
from operate.fargate_services import describe
from operate.fargate_stack import Stack
from operate.fargate_state import Bucket, Place
from operate.results import Reader
from operate.runs import Kept, RunInfo

_ID = re.compile(r"[0-9a-f-]{32,36}")
"""Of a task; accounts that are old have hyphens in it."""
FORGOTTEN = "ECS has forgotten this task; what is known of it is from its log"


@dataclass(frozen=True)
class Lookup:
    """Finds runs of one stack.

    Attributes:
        stack: The stack.
    """

    stack: Stack

    def all(self) -> list[RunInfo]:
        """Every service, then every run that ECS knows, the newest first."""
        tasks = sorted(self._tasks(), key=created, reverse=True)
        services = self.stack.services()
        of_services: dict[str, list[Mapping[str, Any]]] = {}
        for task in filter(is_service, tasks):
            of_services.setdefault(str(task["group"]).partition(":")[2], []).append(task)
        found = []
        for service, described in zip(services, describe(services), strict=True):
            own = of_services.get(service.arn.rpartition("/")[2], [])
            found.append(service.told(described, own) if described is not None else service.gone())
        return [*found, *(self.told(task) for task in tasks if is_run(task))]

    def told(self, task: Mapping[str, Any]) -> RunInfo:
        """The run that a task is."""
        info = info_of(task)
        return replace(info, environment=self.stack.environment_tagged(info.environment))

    def find(self, name: str) -> RunInfo:
        """The run of this id (or ARN, or name of its own), or the newest run of this conversation.

        Raises:
            Failure: there is neither.
        """
        identifier = name.rpartition("/")[2]
        if _ID.fullmatch(identifier):
            for cluster in self.stack.clusters:
                for task in filter(is_run, cluster.described([identifier])):
                    return self.told(task)
        tags = (RunTag.RUN, RunTag.CONVERSATION)
        named = [one for one in self._tasks() if is_run(one) and name in map(tags_of(one).get, tags)]
        if named:
            return self.told(max(named, key=created))
        info = self._forgotten(identifier) if _ID.fullmatch(identifier) else self._kept(name)
        if info is None:
            raise usage(
                f"There is no run, service or conversation {name!r} in this stack. Fix: agentenv list shows them."
            )
        return info

    def places(self) -> Iterator[tuple[Bucket, Place]]:
        """Every conversation that is kept."""
        hybrid = {one.environment for one in self.stack.sessions.values() if one.pattern is Pattern.HYBRID}
        for environment in sorted(hybrid):
            bucket = self.stack.bucket(environment)
            if bucket.name:
                yield from ((bucket, place) for place in bucket.kept(environment))

    def place(self, conversation: str) -> tuple[Bucket, Place] | None:
        """Where a conversation is kept; None when it is not."""
        for name, session in self.stack.sessions.items():
            bucket = self.stack.bucket(session.environment)
            if session.pattern is Pattern.HYBRID and bucket.name:
                place = Place(session.environment, name, conversation)
                if bucket.has(place):
                    return bucket, place
        return None

    def conversations(self) -> list[Kept]:
        """Every conversation that is kept, with the run that goes on with it."""
        found = [place for _, place in self.places()]
        holders = self._holders() if found else {}
        runs = {name: task_id(tasks[0]) for name, tasks in holders.items()}
        return [Kept(one.conversation, one.session, one.environment, None, runs.get(one.conversation)) for one in found]

    def holder(self, conversation: str) -> str | None:
        """Id of the run that goes on with a conversation: of several the one that ECS took first."""
        tasks = self._holders().get(conversation)
        return task_id(tasks[0]) if tasks else None

    def check_free(self, conversation: str, besides: str | None = None) -> None:
        """Refuse a second run of a conversation.

        Args:
            conversation: Its id.
            besides: Id of the run that may go on with it.

        Raises:
            Failure: another one goes on with it.
        """
        holder = self.holder(conversation)
        if holder not in (None, besides):
            raise usage(
                f"Run {holder} goes on with conversation {conversation} at this moment, and two would overwrite each "
                f"other. Fix: wait for it (agentenv logs {holder} --follow), or agentenv stop {holder}."
            )

    def _holders(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        live = (task for cluster in self.stack.clusters for task in cluster.live())
        for task in sorted(live, key=created):
            conversation = tags_of(task).get(RunTag.CONVERSATION)
            if conversation:
                found.setdefault(conversation, []).append(task)
        return found

    def _tasks(self) -> list[dict[str, Any]]:
        return [task for cluster in self.stack.clusters for task in cluster.all()]

    def _forgotten(self, task: str) -> RunInfo | None:
        """A run that ECS has forgotten, about an hour after its end, by its log; None when there is none either."""
        for name in self.stack.environments:
            lines = [*Log.of(self.stack.environment(name), task).fresh()]
            if not lines:
                continue
            reader, session = Reader(), ""
            for line in lines:
                reader.read(line.text)
                session = session or _session(line.text)
            try:
                result = reader.result(task)
            except Failure:
                result = {}
            code = result.get("exit_code")
            return replace(
                NOTHING,
                id=task,
                session=str(result.get("session") or session),
                environment=name,
                started=_time(result.get("started")) or lines[0].time,
                ended=_time(result.get("ended")) or lines[-1].time,
                exit_code=code if isinstance(code, int) else None,
                outcome=str(result["outcome"]) if "outcome" in result else None,
                conversation=str(result["conversation"]) if "conversation" in result else None,
                reason=FORGOTTEN,
            )
        return None

    def _kept(self, conversation: str) -> RunInfo | None:
        found = self.place(conversation)
        if found is None:
            return None
        _, place = found
        return replace(
            NOTHING,
            id=conversation,
            session=place.session,
            environment=place.environment,
            conversation=conversation,
        )


def _session(line: str) -> str:
    if '"session_started"' not in line:
        return ""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return ""
    return str(event.get("session", "")) if isinstance(event, dict) else ""


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC) if text else None
    except ValueError:
        return None
