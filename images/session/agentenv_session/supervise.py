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
from pathlib import Path
from typing import Any

from agentenv_session import keeper, results
from agentenv_session.aside import done_before
from agentenv_session.child import Child
from agentenv_session.environment import without_private
from agentenv_session.events import Emit, now
from agentenv_session.layout import Layout
from agentenv_session.member import Member
from agentenv_session.outcomes import Outcome, worst
from agentenv_session.settings import TASK_VERSION, Declaration, Task, check_prompts

FIRST_UID, SHARED_GID = 10401, 10400
"""Users of the agents, in their order, and the group of those that share a folder; the image has them."""
SHARED_FOLDER = "shared"
PROGRAM = Path(__file__).resolve().parent.parent / "session.py"
_OPEN, _CLOSED = 0o1777, 0o755
_CHUNK = 64 * 1024
_READY_SECONDS = 30
_LAST_WORDS_SECONDS = 2
"""For the last lines of an agent that has ended: something that it has started may hold its output open for ever."""
STOP_SECONDS = keeper.STOP_SECONDS + 5
"""For all of them to end; the engine waits for 120 s in all."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0


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
        self._keepers: dict[str, Child] = {}

    async def run(self) -> int:
        """Run them until all have ended; whatever one of them does, a result is told.

        Returns:
            The exit code of the worst.
        """
        started = now()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        self._emit("session_started", {"session": self._declaration.name, "run": self._task.run})
        working = asyncio.create_task(self._work())
        if not await done_before(self._stopping, working):
            await asyncio.wait([working], timeout=STOP_SECONDS)
            working.cancel()
        for member in self._members:
            if member.code is None:
                self._failed(member, "it was to stop, and its end was not waited for any longer")
        return self._tell(started)

    async def _work(self) -> None:
        parents = (self._layout.workspace, self._layout.home, self._layout.scratch)
        try:
            for parent in parents:
                set_mode(parent, _OPEN)
            made = await asyncio.gather(*map(self._started, self._members), return_exceptions=True)
            # What is made is made: from here on nobody puts anything beside the agents' own folders.
            for parent in parents[:2]:
                set_mode(parent, _CLOSED)
        except OSError as error:
            made = [error] * len(self._members)
            self._close_inputs()
        for member, problem in zip(self._members, made, strict=True):
            if problem is not None:
                self._failed(member, f"the agent cannot be started: {problem}")
        kept = [member for member in self._members if member.code is None]
        ended = await asyncio.gather(*map(self._kept, kept), return_exceptions=True)
        for member, problem in zip(kept, ended, strict=True):
            if problem is not None:
                self._failed(member, f"the agent cannot be followed: {problem!r}")

    def _stop(self, number: signal.Signals) -> None:
        if not self._stopping.is_set():
            self._emit("stopping", {"signal": number.name})
        self._stopping.set()
        self._close_inputs()

    def _close_inputs(self) -> None:
        """Have every keeper end its agent."""
        for child in self._keepers.values():
            child.close_input()

    def _failed(self, member: Member, problem: str) -> None:
        member.code, member.problem = Outcome.CRASH.exit_code, problem
        self._emit("error", {"agent": member.name, "problem": problem})

    async def _started(self, member: Member) -> None:
        """Start a member's keeper, and wait until its folders are there."""
        shared = self._declaration.shared_folder
        first = member is self._members[0]
        child = await Child.start(
            [
                sys.executable,
                "-I",
                str(PROGRAM),
                "keeper",
                member.name,
                str(member.uid),
                *([str(SHARED_GID)] if shared and first else []),
            ],
            env=self._environment(member),
            user=member.uid,
            group=member.uid,
            extra_groups=[SHARED_GID] if shared else [],
            # In the shared folder the group reads and writes; an agent's own folders let nobody else in.
            umask=0o007 if shared else 0o077,
            start_new_session=True,
        )
        self._keepers[member.name] = child
        try:
            async with asyncio.timeout(_READY_SECONDS):
                said = await child.output.readexactly(len(keeper.READY))
        except (TimeoutError, asyncio.IncompleteReadError):
            said = b""
        if said != keeper.READY:
            child.close()
            raise OSError(f"its folders cannot be made, or a capability is left (exit code {await child.ended})")

    async def _kept(self, member: Member) -> None:
        """From the start of an agent to its end; one of a service that fails is started again."""
        pause = _FIRST_PAUSE
        while True:
            code = await self._followed(member, self._keepers[member.name])
            if self._stopping.is_set() or not self._declaration.is_service or not code:
                member.code = code
                return
            self._emit("error", {"agent": member.name, "problem": f"it ended with exit code {code}; starting it again"})
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            if self._stopping.is_set():
                member.code = Outcome.STOPPED.exit_code
                return
            pause = min(pause * 2, _LONGEST_PAUSE)
            try:
                await self._started(member)
            except OSError as error:
                self._failed(member, f"the agent cannot be started: {error}")
                return

    async def _followed(self, member: Member, child: Child) -> int:
        """Have an agent begin, and pass on what it says until it has ended."""
        if self._stopping.is_set():
            child.close_input()
        else:
            child.tell(keeper.GO)
        relaying = asyncio.create_task(self._relay(member, child.output))
        try:
            either: list[asyncio.Future[Any]] = [relaying, child.ended]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([relaying], timeout=_LAST_WORDS_SECONDS)
            if relaying.done():
                relaying.result()
            return await child.ended
        finally:
            relaying.cancel()
            child.close()

    async def _relay(self, member: Member, stream: asyncio.StreamReader) -> None:
        """Pass on what an agent says, line by line; a line that never ends is cut."""
        rest = b""
        while data := await stream.read(_CHUNK):
            *lines, rest = (rest + data).split(b"\n")
            for text in lines:
                member.said(text, self._emit)
            if len(rest) > _CHUNK:
                member.said(rest, self._emit)
                rest = b""
            # Others come to their turn, however much this one says.
            await asyncio.sleep(0)
        if rest:
            member.said(rest, self._emit)

    def _environment(self, member: Member) -> dict[str, str]:
        """The agent's variables: the container's, and of the task only what is its own."""
        task: dict[str, Any] = {"version": TASK_VERSION, "run": self._task.run, "input": list(member.prompts)}
        if member.token:
            task["agents"] = {member.name: member.token}
        told = dict(self._variables)
        without_private(told)
        return told | {"AGENTENV_TASK": json.dumps(task)}

    def _tell(self, started: str) -> int:
        if self._declaration.is_service:
            outcome = worst(member.outcome for member in self._members)
            self._emit("session_ended", {"outcome": outcome.value, "exit_code": outcome.exit_code})
            return outcome.exit_code
        told = results.document(
            run=self._task.run,
            session=self._declaration.name,
            environment=self._declaration.environment,
            conversation=None,
            started=started,
            ended=now(),
            agents=[member.result().to_json() for member in self._members],
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
