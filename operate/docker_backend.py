"""Runs and services of a stack on a Docker host."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import docker
from docker.errors import NotFound

from components.models.session import Pattern
from components.models.tags import RunTag, Tag, label
from operate import engine, keeper
from operate.docker_collect import info_of
from operate.docker_conversations import Conversations, volume
from operate.docker_logs import container_lines
from operate.docker_lookup import Lookup
from operate.docker_runs import Launcher, Particulars
from operate.docker_services import Service
from operate.engine import asking_engine
from operate.evidence import Progress
from operate.failures import Failure, tell, unreachable, usage
from operate.orders import Asked, check, encoded, task_document
from operate.outputs import DockerEnvironment, DockerSession, Outputs
from operate.records import Hold, Record, Records
from operate.runs import Kept, Order, RunInfo
from operate.tokens import new_token, token_hash


class DockerRuns:
    """Implements `operate.runs.Runs`.

    Args:
        outputs: Of the stack.
        client: The engine; None for the one that the environment names, asked when it is needed.
        records: Of this machine's user.
    """

    def __init__(
        self, outputs: Outputs, client: docker.DockerClient | None = None, records: Records | None = None
    ) -> None:
        self._outputs = outputs
        self._known_client = client
        self._records = records or Records.default()
        self._held: dict[str, Hold] = {}

    @property
    def _client(self) -> docker.DockerClient:
        if self._known_client is None:
            self._known_client = engine.connect()
        return self._known_client

    @property
    def _environments(self) -> dict[str, DockerEnvironment]:
        return {name: one for name, one in self._outputs.environments.items() if isinstance(one, DockerEnvironment)}

    @property
    def _stack(self) -> str:
        return next((one.labels[label(Tag.STACK)] for one in self._environments.values()), "")

    @property
    def _conversations(self) -> Conversations:
        return Conversations(self._client, self._stack)

    @property
    def _lookup(self) -> Lookup:
        return Lookup(self._client, self._stack, self._records)

    def _session(self, name: str) -> tuple[DockerSession, DockerEnvironment]:
        session = self._outputs.session(name)
        environment = self._outputs.environment(session.environment)
        if isinstance(session, DockerSession) and isinstance(environment, DockerEnvironment):
            return session, environment
        raise usage(f"Session {name!r} is not on a Docker host. Fix: run pulumi up.")

    def _service(self, name: str) -> Service | None:
        session = self._outputs.sessions.get(name)
        if not isinstance(session, DockerSession) or session.container is None:
            return None
        return Service(self._client, name, session, self._outputs.environment(session.environment).policy_hash)

    def start(self, order: Order, progress: Progress) -> RunInfo:
        """See `operate.runs.Runs`."""
        session, environment = self._session(order.session)
        launcher = Launcher(self._client, session.environment, environment, self._records)
        launcher.check_archived()
        check(order, Asked.of(session.session))
        service = self._service(order.session)
        if service is not None:
            return service.start(progress)
        if session.session.is_service:
            raise unreachable(f"Service {order.session!r} has no container. Fix: run pulumi up.")
        progress("starting")
        conversation, begun = self._conversation(order, session, environment)
        try:
            return self._launch(launcher, replace(order, conversation=conversation), session, environment)
        except BaseException:
            if begun:
                self._conversations.forget(conversation or "")
            raise

    def _conversation(
        self, order: Order, session: DockerSession, environment: DockerEnvironment
    ) -> tuple[str | None, bool]:
        """The conversation that a run goes on with, and whether it has been made for it."""
        if session.session.pattern is not Pattern.HYBRID:
            return None, False
        if order.conversation is None:
            return self._conversations.begin(order.session, environment), True
        kept = self._conversations.find(order.conversation)
        if kept is None or kept.session != order.session:
            raise usage(
                f"Session {order.session!r} has kept no conversation {order.conversation!r}. "
                "Fix: agentenv list --json shows those that are kept."
            )
        self._conversations.check_free(order.conversation)
        return order.conversation, False

    def _launch(
        self, launcher: Launcher, order: Order, session: DockerSession, environment: DockerEnvironment
    ) -> RunInfo:
        number = secrets.token_hex(6)
        agents = session.session.all_agents if session.session.is_supervised else ()
        tokens = {agent.name: new_token() for agent in agents}
        task = encoded(task_document(order, number, tokens))
        with asking_engine(f"image {session.image}"):
            image = str(self._client.images.get(session.image).id)
        labels = {label(RunTag.IMAGE): image, label(RunTag.POLICY): environment.policy_hash}
        if order.conversation is not None:
            labels[label(RunTag.CONVERSATION)] = order.conversation
        particulars = Particulars(
            id=number,
            labels=labels,
            variables={**order.env, "AGENTENV_RUN": number, "AGENTENV_TASK": task},
            state_volume=volume(order.conversation) if order.conversation else None,
            agents={name: token_hash(token) for name, token in tokens.items()},
        )
        conversation = order.conversation
        info = RunInfo(
            id=number,
            session=order.session,
            environment=session.environment,
            status="starting",
            started=None,
            ended=None,
            exit_code=None,
            outcome=None,
            image=image,
            policy_hash=environment.policy_hash,
            conversation=conversation,
            reason=None,
            kind="run",
        )
        hold = self._records.hold(number)
        if hold is not None:
            self._held[number] = hold
        # On record first: whatever happens from here on, somebody knows of it.
        self._records.write(Record(info, self._stack, environment.gateway.model_dump(mode="json")))
        ready = (lambda: self._conversations.check_free(conversation, besides=number)) if conversation else None
        try:
            run = launcher.launch(session.session, session.image, particulars, ready)
        except BaseException:
            self._release(number)
            self._records.forget(number)
            raise
        return info_of(run.container)

    def _release(self, run: str) -> None:
        hold = self._held.pop(run, None)
        if hold is not None:
            hold.release()

    def detach(self, info: RunInfo) -> None:
        """See `operate.runs.Runs`."""
        if info.kind == "run":
            self._release(info.id)
            keeper.leave(info.id, self._records, stop=info.status == "stopping")

    def list(self, session: str | None) -> "list[RunInfo]":
        """See `operate.runs.Runs`."""
        if session is not None:
            self._outputs.session(session)
        client = self._client
        for name, environment in self._environments.items():
            try:
                Launcher(client, name, environment, self._records).sweep()
            except Failure as failure:
                # What is there can be listed all the same.
                tell(f"what earlier runs in environment {name} left stays for now: {failure}")
        services = [service.listed() for name in sorted(self._outputs.sessions) if (service := self._service(name))]
        runs = self._lookup.all()
        for run in runs:
            if run.status == "running" and self._records.read(run.id) and not self._records.is_held(run.id):
                self._left(run.id)
        return [one for one in (*services, *runs) if session in (None, one.session)]

    def _left(self, run: str) -> None:
        try:
            keeper.leave(run, self._records)
        except Failure as failure:
            tell(f"nobody waits for the end of run {run}: {failure}")

    def find(self, name: str) -> RunInfo:
        """See `operate.runs.Runs`."""
        service = self._service(name)
        return service.info() if service is not None else self._lookup.find(name)

    def lines(self, info: RunInfo, follow: bool) -> Iterator[str]:  # noqa: FBT001 - as the protocol has it
        """See `operate.runs.Runs`."""
        name = f"agentenv-run-{info.id}-session"
        service = self._service(info.id) if info.kind == "service" else None
        if service is not None:
            name = service.session.container or ""
        seen = 0
        with asking_engine(f"log of {info.id}"):
            try:
                for line in container_lines(self._client.containers.get(name), follow=follow):
                    seen += 1
                    yield line
            except NotFound:
                if service is not None:
                    raise
            else:
                return
        # What is on record has the same order.
        yield from islice(self._records.log(info.id), seen, None)

    def wait(self, info: RunInfo, progress: Progress) -> RunInfo:
        """See `operate.runs.Runs`."""
        if info.kind == "service":
            raise usage(f"Service {info.id!r} does not end by itself. Fix: wait for a message, with --prompt.")
        progress("running")
        return self._kept(info, progress, stop=False)

    def _kept(self, info: RunInfo, progress: Progress, *, stop: bool) -> RunInfo:
        self._hold(info, progress, stop=stop)
        ended = keeper.keep(self._client, info.id, self._records, stop=stop).info
        self._release(info.id)
        return ended

    def _hold(self, info: RunInfo, progress: Progress, *, stop: bool) -> None:
        """Be the one that looks after a run, as soon as nobody else does; whoever does ends with the run."""
        if info.id in self._held:
            return
        if self._lookup.record(info.id) is None:
            # Started from elsewhere: it is looked after from here too, for its result.
            environment = self._outputs.environment(info.environment)
            if isinstance(environment, DockerEnvironment):
                gateway = environment.gateway.model_dump(mode="json")
                self._records.write(Record(info, self._stack, gateway, owned=False))
        hold = self._records.hold(info.id)
        if hold is None:
            if stop:
                keeper.end(self._client, info.id)
            keeper.wait(self._client, info.id)
            progress("collecting the result")
            hold = self._records.hold(info.id, wait=True)
        if hold is not None:
            self._held[info.id] = hold

    def result(self, info: RunInfo) -> dict[str, object]:
        """See `operate.runs.Runs`."""
        if info.kind == "service":
            raise usage(f"Service {info.id!r} stays up and has no result. Fix: agentenv logs {info.id}.")
        record = self._lookup.record(info.id)
        if info.status == "ended" and record is not None and not record.ended:
            # Whoever should have collected it is gone.
            self.wait(info, lambda _: None)
            record = self._lookup.record(info.id)
        if record is not None and record.result is not None:
            return dict(record.result)
        if record is not None and record.problem is not None:
            raise unreachable(record.problem)
        if info.status != "ended":
            raise usage(f"Run {info.id} is {info.status}. Fix: agentenv logs {info.id} --follow waits for its end.")
        raise unreachable(f"The result of run {info.id} is not on this machine. Fix: ask where it was started.")

    def stop(self, info: RunInfo, progress: Progress) -> RunInfo:
        """See `operate.runs.Runs`."""
        service = self._service(info.id) if info.kind == "service" else None
        if service is not None:
            return service.stop(progress)
        if info.status == "ended":
            return info
        progress("saving and ending")
        return self._kept(info, progress, stop=True)

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
        return [replace(one, run=self._conversations.holder(one.id)) for one in self._conversations.all()]

    def forget(self, conversation: str) -> None:
        """See `operate.runs.Runs`."""
        self._conversations.forget(conversation)
