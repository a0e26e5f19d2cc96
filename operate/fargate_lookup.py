"""Runs of a stack on Fargate by their ids: as ECS knows them, or by what they have left in logs and state."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from components.models.session import Pattern
from components.models.tags import RunTag
from operate.failures import Failure, tell, usage
from operate.fargate_client import Refused
from operate.fargate_info import created, info_of, is_run, is_service, tags_of, task_id
from operate.fargate_launch import Note
from operate.fargate_logs import Line, Log
from operate.fargate_services import describe
from operate.fargate_stack import Stack
from operate.fargate_state import Bucket, Place
from operate.fargate_tasks import Cluster
from operate.results import Reader
from operate.runs import NOTHING, Kept, RunInfo

T = TypeVar("T")
_ID = re.compile(r"[0-9a-f-]{32,36}")
"""Of a task; accounts that are old have hyphens in it."""
FORGOTTEN = "ECS has forgotten this task; what is known of it is from its log"


@dataclass(frozen=True)
class Lookup:
    """Finds runs of one stack, as far as AWS lets these credentials see them.

    Attributes:
        stack: The stack.
        note: Told which environments are left out.
        left_out: Environments that it was told of.
    """

    stack: Stack
    note: Note = tell
    left_out: set[str] = field(default_factory=set)

    def all(self, environment: str | None = None) -> list[RunInfo]:
        """Every service, then every run that ECS knows, the newest first; with `environment` of that one alone."""
        services: list[RunInfo] = []
        tasks: list[dict[str, Any]] = []
        for of_services, own in self._each(self.stack.environments if environment is None else [environment], self._of):
            services += of_services
            tasks += own
        runs = (self.told(task) for task in sorted(tasks, key=created, reverse=True) if is_run(task))
        return [*sorted(services, key=lambda one: one.id), *runs]

    def _of(self, environment: str) -> tuple[list[RunInfo], list[dict[str, Any]]]:
        """Services and tasks of one environment."""
        tasks = sorted(self.tasks(environment), key=created, reverse=True)
        services = self.stack.services(environment)
        of_services: dict[str, list[Mapping[str, Any]]] = {}
        for task in filter(is_service, tasks):
            of_services.setdefault(str(task["group"]).partition(":")[2], []).append(task)
        found = []
        for service, described in zip(services, describe(services), strict=True):
            own = of_services.get(service.arn.rpartition("/")[2], [])
            found.append(service.told(described, own) if described is not None else service.gone())
        return found, tasks

    def _each(self, environments: Iterable[str], ask: Callable[[str], T]) -> Iterator[T]:
        """What is found in each environment; one that these credentials may not see is left out, and told once.

        Raises:
            Refused: they may see none of them.
        """
        seen, refused = 0, dict[str, Refused]()
        for name in environments:
            try:
                found = ask(name)
            except Refused as why:
                refused[name] = why
                continue
            seen += 1
            yield found
        if refused and not seen:
            raise next(iter(refused.values()))
        for name in sorted(refused.keys() - self.left_out):
            self.left_out.add(name)
            self.note(f"environment {name!r} is left out: {refused[name]}")

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
                for task in filter(is_run, _seen(cluster, identifier)):
                    return self.told(task)
        tags = (RunTag.RUN, RunTag.CONVERSATION)
        known = [task for tasks in self._each(self.stack.environments, self.tasks) for task in tasks]
        named = [one for one in known if is_run(one) and name in map(tags_of(one).get, tags)]
        if named:
            return self.told(max(named, key=created))
        info = self._forgotten(identifier) if _ID.fullmatch(identifier) else self._kept(name)
        if info is None:
            raise usage(
                f"There is no run, service or conversation {name!r} in this stack. Fix: agentenv list shows them."
            )
        return info

    def place(self, conversation: str) -> tuple[Bucket, Place] | None:
        """Where a conversation is kept; None when it is not."""

        def kept(environment: str) -> list[tuple[Bucket, Place]]:
            bucket = self.stack.bucket(environment)
            places = (Place(environment, name, conversation) for name in self._hybrid(environment))
            return [(bucket, place) for place in places if bucket.has(place)]

        return next((one for found in self._each(self.stack.environments, kept) for one in found), None)

    def conversations(self) -> list[Kept]:
        """Every conversation that is kept, with the run that goes on with it."""

        def kept(environment: str) -> list[Kept]:
            if not self._hybrid(environment):
                return []
            places = [*self.stack.bucket(environment).kept(environment)]
            runs = self._holders(environment) if places else {}
            return [Kept(p.conversation, p.session, environment, None, runs.get(p.conversation)) for p in places]

        return [one for found in self._each(sorted(self.stack.environments), kept) for one in found]

    def check_free(
        self,
        conversation: str,
        environment: str,
        besides: str | None = None,
        among: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Refuse a second run of a conversation; of several the one that ECS took first goes on.

        Args:
            conversation: Its id.
            environment: Name of the environment that it is kept in.
            besides: Id of the run that may go on with it.
            among: Tasks that ECS has listed; None to ask it.

        Raises:
            Failure: another one goes on with it.
        """
        holder = self._holders(environment, among).get(conversation)
        if holder not in (None, besides):
            raise usage(
                f"Run {holder} goes on with conversation {conversation} at this moment, and two would overwrite each "
                f"other. Fix: wait for it (agentenv logs {holder} --follow), or agentenv stop {holder}."
            )

    def _hybrid(self, environment: str) -> list[str]:
        """Names of an environment's sessions whose state is kept."""
        if not self.stack.bucket(environment).name:
            return []
        sessions = self.stack.sessions.items()
        return [name for name, one in sessions if one.environment == environment and one.pattern is Pattern.HYBRID]

    def _holders(self, environment: str, among: Sequence[Mapping[str, Any]] | None = None) -> dict[str, str]:
        """Conversation -> id of the run that goes on with it: what is about to end may still save its state."""
        found: dict[str, str] = {}
        for task in sorted(self.tasks(environment) if among is None else among, key=created):
            conversation = tags_of(task).get(RunTag.CONVERSATION)
            if conversation and task["lastStatus"] != "STOPPED":
                found.setdefault(conversation, task_id(task))
        return found

    def tasks(self, environment: str) -> list[dict[str, Any]]:
        """Every task of an environment that ECS lists."""
        return self.stack.environment(environment).cluster.all(self.stack.families(environment))

    def _forgotten(self, task: str) -> RunInfo | None:
        """A run that ECS has forgotten, about an hour after its end, by its log; None when there is none either."""

        def said(name: str) -> tuple[str, list[Line]]:
            return name, [*Log.of(self.stack.environment(name), task).fresh()]

        for name, lines in self._each(self.stack.environments, said):
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
            # What a run says of itself is no proof: it may have said it to be resumed as another session.
            claimed = str(result.get("session") or session)
            known = self.stack.sessions.get(claimed)
            return replace(
                NOTHING,
                id=task,
                session=claimed if known is not None and known.environment == name else "",
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


def _seen(cluster: Cluster, task: str) -> list[dict[str, Any]]:
    """A task, if ECS knows it, and these credentials may see it: to who may see some, it refuses what is not there."""
    try:
        return cluster.described([task])
    except Refused:
        return []


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
        if not text:
            return None
        time = datetime.fromisoformat(str(text))
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
