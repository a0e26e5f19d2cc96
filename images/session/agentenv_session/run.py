"""One run of one agent: its prompts one after another, its state kept after each, a result at the end."""

import asyncio
import signal
import uuid
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from claude_agent_sdk import ClaudeSDKError

from agentenv_session import policy, results
from agentenv_session.aside import aside, done_before
from agentenv_session.conversation import Conversation, TurnResult
from agentenv_session.environment import agent_variables
from agentenv_session.events import Emit, now
from agentenv_session.keeping import Keeper
from agentenv_session.layout import Layout, Place
from agentenv_session.mounts import MountError, mount_all
from agentenv_session.outcomes import Outcome, worst
from agentenv_session.policy import POLICY_FILE, GatewayAwayError, RefusedError, fetch, write
from agentenv_session.results import AgentResult
from agentenv_session.settings import AgentSettings, Declaration, InvalidTask, Task
from agentenv_session.state import BrokenStateError, Kept, State
from agentenv_session.stores import Addresses, Store, StoreError, Volume
from agentenv_session.transcript import Transcript

INTERRUPT_SECONDS = 20
"""For a turn to end once it has been interrupted; the engine waits for 120 s in all."""
SAVE_SECONDS = 60
"""For the last save of a run that is to stop."""


@dataclass(frozen=True)
class Job:
    """One agent's part of a run.

    Attributes:
        declaration: Of the session.
        task: Of the run.
        agent: Who works.
        variables: The container's.
        layout: The container's folders.
        workspace: The agent's work folder.
        home: Its home folder.
        scratch: For its temporary files.
        cli: The `claude` program; None for the SDK's own.
    """

    declaration: Declaration
    task: Task
    agent: AgentSettings
    variables: dict[str, str]
    layout: Layout
    workspace: Path
    home: Path
    scratch: Path
    cli: Path | None = None

    @property
    def identity(self) -> tuple[str, str] | None:
        """Name and token at the gateway, where several agents share the container."""
        token = self.task.tokens.get(self.agent.name)
        return (self.agent.name, token) if token else None


def place_of(job: Job, emit: Emit, *, patient: bool = False, seconds: float = policy.SECONDS) -> Place:
    """Prepare what the agent's program finds: its variables, and what its network lets through.

    Args:
        job: Whose.
        emit: Told of it.
        patient: Whether to do without the policy where the gateway is away: it may come back while an agent stays up.
        seconds: How long to ask a gateway that does not answer.

    Raises:
        GatewayAwayError: the gateway does not answer.
        RefusedError: it does not know this session.
    """
    file = job.scratch / POLICY_FILE
    variables = agent_variables(job.variables, job.home, job.scratch, file, job.identity)
    note = ""
    if gateway := job.variables.get("AGENTENV_GATEWAY"):
        try:
            told = fetch(gateway, seconds)
        except (GatewayAwayError, RefusedError) as error:
            if not patient:
                raise
            emit("error", {"problem": str(error)})
            return Place(job.workspace, variables, note, job.cli)
        note = write(told, file)
        hosts = told.get("hosts")
        emit(
            "policy",
            {
                "file": str(file),
                "networking": told.get("networking"),
                "hosts": len(hosts) if isinstance(hosts, list) else 0,
            },
        )
    return Place(job.workspace, variables, note, job.cli)


def store_of(job: Job) -> Store | None:
    """Where the state of this run is kept; None when it is not."""
    if job.variables.get("AGENTENV_STATE") == "volume":
        return Volume(job.layout.state)
    if job.task.save:
        return Addresses(job.task.load, job.task.save)
    return None


async def run(job: Job, emit: Emit) -> Outcome:
    """Do all of it; whatever happens, a result is told.

    Returns:
        How it ended.
    """
    started = now()
    result = AgentResult(job.agent.name)
    conversation = job.task.conversation or job.task.run or None
    emit("session_started", {"session": job.declaration.name, "run": job.task.run, "model": job.agent.model})
    try:
        await _Run(job, emit, result, conversation or str(uuid.uuid4())).work()
    except (InvalidTask, BrokenStateError) as error:
        _failed(result, Outcome.INVALID_TASK, error, emit)
    except RefusedError as error:
        _failed(result, Outcome.REFUSED_BY_POLICY, error, emit)
    except (GatewayAwayError, MountError, StoreError) as error:
        _failed(result, Outcome.AGENT_ERROR, error, emit)
    except Exception as error:  # noqa: BLE001 - a result is told whatever happened
        _failed(result, Outcome.CRASH, error, emit)
    told = results.document(
        run=job.task.run,
        session=job.declaration.name,
        environment=job.declaration.environment,
        conversation=conversation if job.declaration.pattern == "hybrid" else None,
        started=started,
        ended=now(),
        agents=[result.to_json()],
    )
    results.tell(told, emit)
    return result.outcome


def _failed(result: AgentResult, outcome: Outcome, error: BaseException, emit: Emit) -> None:
    result.outcome = outcome
    result.error = str(error) or repr(error)
    emit("error", {"problem": result.error})


@dataclass
class _Run:
    job: Job
    emit: Emit
    result: AgentResult
    conversation: str
    kept: Kept = field(init=False)
    state: State = field(init=False)
    keeper: Keeper | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    late: bool = False

    async def work(self) -> None:
        job = self.job
        _on_signal(self.stopping, self.emit)
        prompts = job.task.prompts_of(job.agent.name)
        if not prompts:
            raise InvalidTask(f"task.prompt: agent {job.agent.name!r} has nothing to do. Fix: give it a prompt.")
        preparing = aside(self._prepare)
        if not await done_before(self.stopping, preparing):
            self.result.outcome = Outcome.STOPPED
            return
        talk = Conversation(
            job.agent, preparing.result(), self.emit, transcript=self.kept.transcript, conversation=self.conversation
        )
        try:
            await self._talk(talk, prompts)
        finally:
            await talk.close()
            # The program writes its last lines as it ends.
            if not await self._save():
                self.result.outcome = worst((self.result.outcome, Outcome.SAVE_FAILED))

    def _prepare(self) -> Place:
        job = self.job
        place = place_of(job, self.emit)
        self._load()
        mount_all(job.declaration.mounts, job.workspace, {**job.variables, **place.variables}, self.emit)
        return place

    async def _talk(self, talk: Conversation, prompts: Sequence[str]) -> None:
        for number, prompt in enumerate(prompts):
            if number and not await self._save():
                self.result.outcome = Outcome.SAVE_FAILED
                return
            if self.stopping.is_set():
                self.result.outcome = Outcome.STOPPED
                return
            if not await self._ready(talk, number):
                return
            self._count(await _or_stopped(talk, talk.turn(prompt), self.stopping))
            if self.result.outcome is not Outcome.SUCCESS:
                return

    def _load(self) -> None:
        job = self.job
        store = store_of(job)
        self.keeper = Keeper(store, job.workspace, job.scratch, self.emit) if store is not None else None
        found = self.keeper.load() if self.keeper is not None else None
        if job.task.resume and (found is None or self.conversation not in found.conversations):
            raise InvalidTask(
                f"task.conversation = {self.conversation!r}: nothing is kept of it. Fix: start a new run."
            )
        self.state = found or State(job.declaration.name)
        self.kept = self.state.conversations.setdefault(self.conversation, Kept(Transcript(str(uuid.uuid4()))))

    async def _ready(self, talk: Conversation, number: int) -> bool:
        """Start the program with what is left of the limits; False when nothing is."""
        agent = self.job.agent
        turns = None if agent.max_turns is None else agent.max_turns - self.result.turns
        budget = None if agent.max_budget_usd is None else agent.max_budget_usd - self.result.cost_usd
        if (turns is not None and turns <= 0) or (budget is not None and budget <= 0):
            self.result.outcome = Outcome.LIMIT_REACHED
            self.result.error = "max_turns is reached" if turns is not None and turns <= 0 else "the budget is spent"
            return False
        if number and turns is None and budget is None:
            return True
        await talk.close()
        opening = asyncio.ensure_future(talk.open(turns=turns, budget_usd=budget))
        if not await done_before(self.stopping, opening):
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            self.result.outcome = Outcome.STOPPED
            return False
        try:
            opening.result()
        except (ClaudeSDKError, OSError) as error:
            _failed(self.result, Outcome.CRASH, error, self.emit)
            return False
        return True

    def _count(self, ended: TurnResult | None) -> None:
        result = self.result
        if ended is None:
            result.outcome = Outcome.STOPPED
            return
        result.outcome, result.error = ended.outcome, ended.error
        result.text = ended.text or result.text
        result.turns += ended.turns
        result.cost_usd += ended.cost_usd
        result.session_id = ended.session_id
        result.add_usage(ended.usage)
        self.kept.turns += ended.turns
        self.kept.cost_usd += ended.cost_usd

    async def _save(self) -> bool:
        if self.keeper is None:
            return True
        if self.late:
            return False
        saving = aside(self.keeper.save, self.state.copy())
        if await done_before(self.stopping, saving):
            return saving.result()
        try:
            async with asyncio.timeout(SAVE_SECONDS):
                return await saving
        except TimeoutError:
            # The thread is still at it: a second one would meet it at the same file.
            self.late = True
            self.emit("state_save_failed", {"problem": f"it is to stop, and the save takes over {SAVE_SECONDS} s"})
            return False


def _on_signal(stopping: asyncio.Event, emit: Emit) -> None:
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        if not stopping.is_set():
            emit("stopping", {"signal": number.name})
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)


async def _or_stopped(
    talk: Conversation, turn: Coroutine[None, None, TurnResult], stopping: asyncio.Event
) -> TurnResult | None:
    """The end of a turn; None where it was to be stopped, and did not end by itself then."""
    working = asyncio.create_task(turn)
    try:
        if not await done_before(stopping, working):
            with suppress(TimeoutError):
                async with asyncio.timeout(INTERRUPT_SECONDS):
                    await talk.interrupt()
                    await asyncio.shield(working)
        return working.result() if working.done() else None
    finally:
        if not working.done():
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working
