"""Several agents in one container, each as a user of its own.

The supervisor is root with the capabilities SETUID and SETGID alone: enough to start each agent's keeper as that
agent's user, and nothing else. It cannot read an agent's files nor signal its processes; both is left to the keepers.
What an agent writes to its output reaches the log with the agent's name on it, whatever the agent says of itself.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentenv_session import keeper, results
from agentenv_session.events import Emit, now
from agentenv_session.layout import Layout
from agentenv_session.outcomes import Outcome, worst
from agentenv_session.settings import TASK_VERSION, Declaration, Task, check_prompts

FIRST_UID, SHARED_GID = 10401, 10400
"""Users of the agents, in their order, and the group of those that share a folder; the image has them."""
SHARED_FOLDER = "shared"
PROGRAM = Path(__file__).resolve().parent.parent / "session.py"
_OPEN, _CLOSED = 0o1777, 0o755
_CHUNK = 64 * 1024
_MOST_RESULT = 2 * 1024 * 1024
_READY_SECONDS = 30
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0


@dataclass
class Member:
    """One agent.

    Attributes:
        name: The agent's.
        uid: Its user and group.
        prompts: What it is to do.
        token: Its token at the gateway; None where it has none.
        parts: Of its result document, by number.
        code: Its exit code; None while it runs.
        problem: Why it was not started; None where it was.
    """

    name: str
    uid: int
    prompts: tuple[str, ...]
    token: str | None
    parts: dict[int, str] = field(default_factory=dict)
    size: int = 0
    code: int | None = None
    problem: str | None = None


def main(declaration: Declaration, task: Task, variables: Mapping[str, str], layout: Layout, emit: Emit) -> int:
    """Run all agents of a session.

    Returns:
        The exit code of the worst of them.

    Raises:
        InvalidTask: an agent has nothing to do.
    """
    if not declaration.is_service:
        check_prompts(task, declaration)
    return asyncio.run(Supervisor(declaration, task, variables, layout, emit).run())


class Supervisor:
    """Runs them.

    Args:
        declaration: Of the session.
        task: Of the run.
        variables: The container's.
        layout: The container's folders.
        emit: Told what happens.
    """

    def __init__(
        self, declaration: Declaration, task: Task, variables: Mapping[str, str], layout: Layout, emit: Emit
    ) -> None:
        self._declaration, self._task, self._variables = declaration, task, variables
        self._layout, self._emit = layout, emit
        self._members = [
            Member(agent.name, FIRST_UID + index, task.prompts_of(agent.name), task.tokens.get(agent.name))
            for index, agent in enumerate(declaration.agents)
        ]
        self._stopping = asyncio.Event()
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    async def run(self) -> int:
        """Run them until all have ended.

        Returns:
            The exit code of the worst.
        """
        started = now()
        self._emit("session_started", {"session": self._declaration.name, "run": self._task.run})
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        parents = (self._layout.workspace, self._layout.home, self._layout.scratch)
        try:
            for parent in parents:
                set_mode(parent, _OPEN)
            outcomes = await asyncio.gather(*map(self._prepared, self._members), return_exceptions=True)
            # What is made is made: from here on nobody puts anything beside the agents' own folders.
            for parent in parents[:2]:
                set_mode(parent, _CLOSED)
        except OSError as error:
            outcomes = [error] * len(self._members)
            self._close_inputs()
        for member, outcome in zip(self._members, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                self._not_started(member, outcome)
        await asyncio.gather(*(self._kept(member) for member in self._members if member.code is None))
        return self._tell(started)

    def _stop(self, number: signal.Signals) -> None:
        if not self._stopping.is_set():
            self._emit("stopping", {"signal": number.name})
        self._stopping.set()
        self._close_inputs()

    def _close_inputs(self) -> None:
        """Have every keeper end its agent."""
        for process in self._processes.values():
            if process.stdin is not None:
                process.stdin.close()

    def _not_started(self, member: Member, error: BaseException) -> None:
        member.code, member.problem = Outcome.CRASH.exit_code, f"the agent cannot be started: {error}"
        self._emit("error", {"agent": member.name, "problem": member.problem})

    async def _prepared(self, member: Member) -> None:
        """Start a member's keeper, and wait until its folders are there."""
        shared = self._declaration.shared_folder
        first = member is self._members[0]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            str(PROGRAM),
            "keeper",
            member.name,
            *([str(SHARED_GID)] if shared and first else []),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self._environment(member),
            user=member.uid,
            group=member.uid,
            extra_groups=[SHARED_GID] if shared else [],
            # In the shared folder the group reads and writes; an agent's own folders let nobody else in.
            umask=0o007 if shared else 0o077,
            start_new_session=True,
        )
        self._processes[member.name] = process
        try:
            async with asyncio.timeout(_READY_SECONDS):
                said = await process.stdout.readexactly(len(keeper.READY)) if process.stdout else b""
        except (TimeoutError, asyncio.IncompleteReadError):
            said = b""
        if said != keeper.READY:
            if process.stdin is not None:
                process.stdin.close()
            raise OSError(f"its folders cannot be made, or a capability is left (exit code {await process.wait()})")

    async def _kept(self, member: Member) -> None:
        """From the start of an agent to its end; one of a service that fails is started again."""
        pause = _FIRST_PAUSE
        while True:
            process = self._processes[member.name]
            if process.stdin is not None:
                with suppress(OSError, RuntimeError):
                    process.stdin.write(keeper.GO)
            if self._stopping.is_set() and process.stdin is not None:
                process.stdin.close()
            if process.stdout is not None:
                await self._relay(member, process.stdout)
            code = await process.wait()
            if self._stopping.is_set() or not self._declaration.is_service or not code:
                member.code = code
                return
            self._emit("error", {"agent": member.name, "problem": f"it ended with exit code {code}; starting it again"})
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            pause = min(pause * 2, _LONGEST_PAUSE)
            try:
                await self._prepared(member)
            except OSError as error:
                self._not_started(member, error)
                return

    def _environment(self, member: Member) -> dict[str, str]:
        """The agent's variables: the container's, and of the task only what is its own."""
        task: dict[str, Any] = {"version": TASK_VERSION, "run": self._task.run, "input": list(member.prompts)}
        if member.token:
            task["agents"] = {member.name: member.token}
        private = {"AGENTENV_TASK", "AGENTENV_TASK_URL"}
        told = {name: value for name, value in self._variables.items() if name not in private}
        return told | {"AGENTENV_TASK": json.dumps(task)}

    async def _relay(self, member: Member, stream: asyncio.StreamReader) -> None:
        """Pass on what an agent says, line by line; a line that never ends is cut."""
        rest = b""
        while data := await stream.read(_CHUNK):
            *lines, rest = (rest + data).split(b"\n")
            for text in lines:
                self._line(member, text)
            if len(rest) > _CHUNK:
                self._line(member, rest)
                rest = b""
            # Others come to their turn, however much this one says.
            await asyncio.sleep(0)
        if rest:
            self._line(member, rest)

    def _line(self, member: Member, text: bytes) -> None:
        try:
            told = json.loads(text)
            event = str(told.pop("event"))
            told.pop("time", None)
        except (ValueError, KeyError, AttributeError, RecursionError):
            self._emit("output", {"agent": member.name, "text": text.decode(errors="replace")})
            return
        if event == "result_part":
            part, piece = told.get("part"), told.get("text")
            if isinstance(part, int) and isinstance(piece, str) and member.size + len(piece) <= _MOST_RESULT:
                member.parts[part] = piece
                member.size += len(piece)
        elif event not in ("session_started", "session_ended"):
            self._emit(event, {**told, "agent": member.name})

    def _tell(self, started: str) -> int:
        agents = [_result(member) for member in self._members]
        if self._declaration.is_service:
            codes = [member.code for member in self._members]
            outcome = Outcome.SUCCESS if not any(codes) else worst(map(_outcome, codes))
            self._emit("session_ended", {"outcome": outcome.value, "exit_code": outcome.exit_code})
            return outcome.exit_code
        told = results.document(
            run=self._task.run,
            session=self._declaration.name,
            environment=self._declaration.environment,
            conversation=None,
            started=started,
            ended=now(),
            agents=agents,
        )
        results.tell(told, self._emit)
        return int(told["exit_code"])


def set_mode(folder: Path, mode: int) -> None:
    """Change the mode of a folder as its owner: without FOWNER, root may not change what another user owns.

    Fargate gives a volume the owner of the image's folder; an engine on one host gives it the supervisor's.
    """
    before = os.geteuid()
    os.seteuid(folder.stat().st_uid)
    try:
        folder.chmod(mode)
    finally:
        os.seteuid(before)


def _outcome(code: int | None) -> Outcome:
    return next((outcome for outcome in Outcome if outcome.exit_code == code), Outcome.CRASH)


def _result(member: Member) -> dict[str, Any]:
    """What an agent's own document says of it; that it failed, where there is none or it says something else."""
    outcome = _outcome(member.code)
    problem = member.problem or f"it left no result (exit code {member.code})"
    # Whoever ends well without a result has not ended well.
    without = Outcome.CRASH if outcome is Outcome.SUCCESS else outcome
    crashed = results.AgentResult(member.name, without, error=problem).to_json()
    try:
        (about,) = json.loads("".join(text for _, text in sorted(member.parts.items())))["agents"]
        agrees = about["outcome"] == outcome.value
    except (ValueError, KeyError, TypeError):
        return crashed
    return {**about, "name": member.name} if agrees else crashed
