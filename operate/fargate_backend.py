"""Runs and services of a stack on Fargate."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from components.models.session import Pattern
from operate import fargate_client, results
from operate.evidence import Progress
from operate.failures import Failure, tell, unreachable, usage
from operate.fargate_client import AGENT, Clients
from operate.fargate_info import task_id
from operate.fargate_launch import Launch, Note, asked_of, check_bucket
from operate.fargate_logs import LATE_SECONDS, Log
from operate.fargate_lookup import Lookup
from operate.fargate_services import Service
from operate.fargate_stack import Stack
from operate.fargate_state import Place
from operate.fargate_tasks import NEW_SECONDS, POLL_SECONDS, START_SECONDS, Fargate, Watch
from operate.messages import no_way_in
from operate.orders import check, check_conversation
from operate.outputs import FargateSession, Outputs
from operate.runs import Kept, Order, RunInfo


class FargateRuns:
    """Implements `operate.runs.Runs`.

    Args:
        outputs: Of the stack.
        clients: AWS; None for what the environment variables or the profile name, asked when it is needed.
        note: Told what the user should know besides.
    """

    def __init__(self, outputs: Outputs, clients: Clients | None = None, note: Note = tell) -> None:
        self._outputs = outputs
        self._known_clients = clients
        self._note = note
        self._left_out: set[str] = set()

    @property
    def _stack(self) -> Stack:
        if self._known_clients is None:
            sessions = (one for one in self._outputs.sessions.values() if isinstance(one, FargateSession))
            self._known_clients = fargate_client.clients(next((one.region for one in sessions), None))
        return Stack(self._outputs, self._known_clients)

    @property
    def _lookup(self) -> Lookup:
        return Lookup(self._stack, self._note, self._left_out)

    def start(self, order: Order, progress: Progress) -> RunInfo:
        """See `operate.runs.Runs`."""
        session, fargate = self._stack.session(order.session)
        if fargate.environment.archived:
            raise usage(
                f"Environment {session.environment!r} is archived, and an archived environment takes no sessions. "
                "Fix: name another, or remove its archived_at and run pulumi up."
            )
        asked = asked_of(session)
        if asked.service and order.asks:
            raise no_way_in(order.session)
        check(order, asked)
        if asked.service:
            return self._start_service(order, progress)
        progress("starting")
        place, kept = self._place(order, session)
        if place is not None:
            order = replace(order, conversation=place.conversation)
        launch = Launch(fargate, session, self._stack.bucket(session.environment), self._note)
        task = launch.run(order, place, progress, kept=kept)
        try:
            if place is not None and kept:
                self._check_alone(task, fargate, place)
            return self._lookup.told(task)
        except (KeyboardInterrupt, SystemExit):
            fargate.cluster.abandon(task_id(task))
            raise

    def _start_service(self, order: Order, progress: Progress) -> RunInfo:
        service = self._stack.service(order.session)
        if service is None:
            raise unreachable(f"Session {order.session!r} has no ECS service. Fix: run pulumi up.")
        progress("starting")
        return service.start()

    def _place(self, order: Order, session: FargateSession) -> tuple[Place | None, bool]:
        """Where the state of a run is kept, and whether there is any."""
        if session.pattern is not Pattern.HYBRID:
            return None, False
        bucket = self._stack.bucket(session.environment)
        check_bucket(bucket)
        if order.conversation is None:
            return Place(session.environment, order.session, f"c{secrets.token_hex(7)}"), False
        place = Place(session.environment, order.session, order.conversation)
        self._lookup.check_free(order.conversation, session.environment)
        if not bucket.has(place):
            raise usage(
                f"Session {order.session!r} has kept no conversation {order.conversation!r}. "
                "Fix: agentenv list --json shows those that are kept."
            )
        return place, True

    def _check_alone(self, task: Mapping[str, Any], fargate: Fargate, place: Place) -> None:
        """Of two that were started at once, the one that ECS took first goes on."""
        clients, own = self._stack.clients, task_id(task)
        deadline = clients.clock() + NEW_SECONDS
        try:
            listed = self._lookup.tasks(place.environment)
            # ECS lists what it took some seconds late: where this one is missing, so may be another.
            while own not in map(task_id, listed) and clients.clock() < deadline:
                clients.pause(POLL_SECONDS)
                listed = self._lookup.tasks(place.environment)
            self._lookup.check_free(place.conversation, place.environment, own, listed)
        except Failure:
            fargate.cluster.stop(own, f"another run may go on with conversation {place.conversation}")
            raise

    def detach(self, info: RunInfo) -> None:
        """See `operate.runs.Runs`: ECS looks after tasks, and ends those that do not end in time."""

    def list(self, session: str | None) -> "list[RunInfo]":
        """See `operate.runs.Runs`."""
        if session is None:
            return self._lookup.all()
        return [one for one in self._lookup.all(self._outputs.session(session).environment) if one.session == session]

    def find(self, name: str) -> RunInfo:
        """See `operate.runs.Runs`."""
        service = self._stack.service(name)
        return service.info() if service is not None else self._lookup.find(name)

    def lines(self, info: RunInfo, follow: bool) -> Iterator[str]:  # noqa: FBT001 - as the protocol has it
        """See `operate.runs.Runs`."""
        fargate = self._stack.environment(info.environment)
        service = self._stack.service(info.id) if info.kind == "service" else None
        task = info.id if service is None else self._task_of(service, patient=follow)
        log = Log.of(fargate, task)
        if follow:
            watch = Watch(fargate.cluster, task)
            return log.follow(lambda: info.status == "ended" or watch.ended())
        return (line.text for line in log.fresh())

    def _task_of(self, service: Service, *, patient: bool) -> str:
        """Id of the newest task of a service; with `patient` waits for the first one of what has just been started."""
        clients = self._stack.clients
        deadline = clients.clock() + START_SECONDS
        while not (tasks := service.tasks()):
            if not patient or service.info().status == "ended" or clients.clock() > deadline:
                raise unreachable(
                    f"ECS knows no task of service {service.name}. Fix: agentenv resume {service.name}, or wait."
                )
            clients.pause(POLL_SECONDS)
        return task_id(tasks[0])

    def wait(self, info: RunInfo, progress: Progress) -> RunInfo:
        """See `operate.runs.Runs`."""
        if info.kind == "service":
            raise usage(f"Service {info.id!r} does not end by itself. Fix: agentenv logs {info.id} --follow.")
        if info.status == "ended":
            return info
        return self._lookup.told(self._stack.environment(info.environment).cluster.wait(info.id, progress))

    def result(self, info: RunInfo) -> dict[str, object]:
        """See `operate.runs.Runs`."""
        if info.kind == "service":
            raise usage(f"Service {info.id!r} stays up and has no result. Fix: agentenv logs {info.id}.")
        if info.status != "ended":
            raise usage(f"Run {info.id} is {info.status}. Fix: agentenv logs {info.id} --follow waits for its end.")
        session = self._stack.sessions.get(info.session)
        if session is not None and session.own_command:
            return results.of_command(info)
        reader, read = results.Reader(), 0

        def complete(lines: Sequence[str]) -> bool:
            nonlocal read
            for line in lines[read:]:
                reader.read(line)
            read = len(lines)
            try:
                reader.result(info.id)
            except Failure:
                return False
            return True

        Log.of(self._stack.environment(info.environment), info.id).lines(complete, _late(info))
        # The runner knows the run by the name that it had before ECS gave it one.
        return reader.result(info.id) | {"run": info.id}

    def stop(self, info: RunInfo, progress: Progress) -> RunInfo:
        """See `operate.runs.Runs`."""
        service = self._stack.service(info.id) if info.kind == "service" else None
        if service is not None:
            return service.stop(progress)
        if info.status == "ended":
            return info
        progress("saving and ending")
        self._stack.environment(info.environment).cluster.stop(info.id, f"{AGENT} stop")
        return self.wait(info, progress)

    def resume(self, info: RunInfo, order: Order, progress: Progress) -> RunInfo:
        """See `operate.runs.Runs`."""
        if info.kind == "service":
            return self.start(replace(order, session=info.session), progress)
        if info.conversation is None:
            raise usage(
                f"Run {info.id} keeps no conversation: session {info.session!r} is not hybrid. "
                f"Fix: agentenv start {info.session}."
            )
        return self.start(replace(order, session=info.session, conversation=info.conversation, resume=True), progress)

    def conversations(self) -> Sequence[Kept]:
        """See `operate.runs.Runs`."""
        return self._lookup.conversations()

    def forget(self, conversation: str) -> None:
        """See `operate.runs.Runs`."""
        found = self._lookup.place(check_conversation(conversation))
        if found is None:
            raise usage(f"There is no conversation {conversation!r}. Fix: agentenv list --json shows them.")
        bucket, place = found
        self._lookup.check_free(conversation, place.environment)
        bucket.forget(place)


def _late(info: RunInfo) -> float:
    """How long the last lines of a run may still be on their way."""
    if info.ended is None:
        return LATE_SECONDS
    # The clocks may differ.
    return min(LATE_SECONDS, max(0.0, LATE_SECONDS - (datetime.now(UTC) - info.ended).total_seconds()))
