"""Runs of a stack by their ids: on the engine, or on record."""

from dataclasses import dataclass
from typing import Any

import docker
from docker.models.containers import Container

from components.models.tags import RUN, Role, RunTag, Tag, label
from operate.docker_collect import info_of, is_run, lost
from operate.docker_conversations import Conversations
from operate.engine import asking_engine
from operate.failures import usage
from operate.records import Record, Records
from operate.runs import RunInfo


@dataclass(frozen=True)
class Lookup:
    """Finds runs of one stack.

    Attributes:
        client: The engine.
        stack: Value of the label of the stack.
        records: Of this machine's user.
    """

    client: docker.DockerClient
    stack: str
    records: Records

    def all(self) -> list[RunInfo]:
        """Every run that the engine has or that is on record, the newest first."""
        # Records before containers: whoever ends a run writes the one before removing the other.
        records = self.records.all(self.stack)
        runs = {one.labels[RUN]: info_of(one) for one in self._containers(RUN)}
        for record in records:
            if record.ended:
                runs[record.info.id] = record.info
            elif record.info.id not in runs:
                runs[record.info.id] = self._absent(record)
        return sorted(runs.values(), key=_began, reverse=True)

    def find(self, name: str) -> RunInfo:
        """The run of this id, or the newest run of this conversation.

        Raises:
            Failure: there is neither.
        """
        record = self.record(name)
        if record is not None and record.ended:
            return record.info
        for field in (RUN, label(RunTag.CONVERSATION)):
            found = [info_of(one) for one in self._containers(f"{field}={name}")]
            if found:
                return max(found, key=_began)
        # Its end may have been put on record in between.
        record = self.record(name)
        return self._of_conversation(name) if record is None else self._absent(record)

    def record(self, run: str) -> Record | None:
        """What is remembered of a run of this stack."""
        record = self.records.read(run)
        return record if record is not None and record.stack == self.stack else None

    def _absent(self, record: Record) -> RunInfo:
        """A run that the engine does not have: it has just ended, is just being made, or was removed."""
        now = self.records.read(record.info.id) or record
        return now.info if now.ended or self.records.is_held(record.info.id) else lost(now).info

    def _containers(self, wanted: str) -> list[Container]:
        session = f"{label(Tag.ROLE)}={Role.SESSION}"
        filters: Any = {"label": [wanted, f"{label(Tag.STACK)}={self.stack}", session]}
        with asking_engine("listing runs"):
            found = self.client.containers.list(all=True, filters=filters, ignore_removed=True)
        return [one for one in found if is_run(one)]

    def _of_conversation(self, name: str) -> RunInfo:
        infos = [record.info for record in self.records.all(self.stack) if record.info.conversation == name]
        if infos:
            return max(infos, key=_began)
        kept = Conversations(self.client, self.stack).find(name)
        if kept is None:
            raise usage(
                f"There is no run, service or conversation {name!r} in this stack. Fix: agentenv list shows them."
            )
        return RunInfo(
            id=name,
            session=kept.session,
            environment=kept.environment,
            status="ended",
            started=kept.created,
            ended=None,
            exit_code=None,
            outcome=None,
            image="",
            policy_hash="",
            conversation=name,
            reason=None,
            kind="run",
        )


def _began(info: RunInfo) -> float:
    return info.started.timestamp() if info.started else float("inf")
