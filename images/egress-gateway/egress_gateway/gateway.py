"""The gateway as a whole: its parts, a new policy taking force in them, and their end."""

import asyncio
import resource
import time
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

from egress_gateway.admin import Admin
from egress_gateway.asking import Answer
from egress_gateway.control import Control
from egress_gateway.denial import Denied
from egress_gateway.document import BrokenPolicy
from egress_gateway.ecs import EcsTasks
from egress_gateway.flows import Flow, Flows
from egress_gateway.identity import Identities
from egress_gateway.inject import Injector
from egress_gateway.log import Log
from egress_gateway.metrics import Metrics
from egress_gateway.origins import Origins
from egress_gateway.policy import Policy, load_policy
from egress_gateway.policy_source import Watch, source_of
from egress_gateway.proxy import Proxy
from egress_gateway.resolve import Resolver
from egress_gateway.secret_store import SecretStore
from egress_gateway.settings import Settings
from egress_gateway.sockets import listening

BACKLOG = 1024
DRAIN_SECONDS = 5.0
_DECIDING_SECONDS = 2.0
# Two for the tunnel, and one for a client that waits to get one.
_FILES_PER_TUNNEL = 3
_OTHER_FILES = 128


class Gateway:
    """One environment's gateway.

    Args:
        settings: Where to listen, and where things are.
        log: Takes its lines.

    Attributes:
        failed: Set when a part has failed without which the gateway must not go on.
    """

    def __init__(self, settings: Settings, log: Log) -> None:
        self._settings, self._log = settings, log
        self._metrics = Metrics()
        self._tasks = EcsTasks(settings.cluster, self._environment) if settings.cluster else None
        self._identities = Identities(settings.state, self._tasks)
        self._resolver = Resolver(settings.nameservers)
        self._flows = Flows(log, self._metrics)
        self._origins = Origins(self._resolver, settings.ca_file)
        injector = Injector(self._origins, SecretStore(), self._flows)
        self._proxy = Proxy(self._identities, self._resolver, self._flows, injector, log, self._metrics)
        self._admin = Admin(self._metrics, lambda: self._why_not)
        self._control = Control(self._identities, self.describe, lambda: self._cut("session-dismissed"))
        self._watch = Watch(source_of(settings.policy), self._take)
        self._most_tunnels = (_raise_file_limit() - _OTHER_FILES) // _FILES_PER_TUNNEL
        self._background: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.failed = asyncio.Event()

    async def start(self) -> None:
        """Read the policy, listen, and say where."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self._fault(context))
        await self.look()
        await self._control.start(self._settings.control)
        self._server = await loop.create_server(
            self._proxy.connection, sock=listening(*self._settings.listen), backlog=BACKLOG
        )
        admin = await self._admin.start(*self._settings.admin)
        self._run(self._watch.run())
        self._run(self._flows.sweep(lambda: self._proxy.limits))
        if self._tasks is not None:
            self._run(self._tasks.refresh(lambda: self._cut("session-dismissed")))
        proxy = self._server.sockets[0].getsockname()
        self._log("listening", {"proxy": _place(*proxy[:2]), "admin": _place(*admin)})

    async def look(self) -> None:
        """Read the policy now, instead of within the next moment."""
        await self._watch.look()

    async def stop(self) -> None:
        """Take no more clients, let the open tunnels end for some seconds, cut the rest."""
        if self._server is not None:
            self._server.close()
        await self._proxy.finish(_DECIDING_SECONDS)
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._flows.wait_empty()
        except TimeoutError:
            self._flows.cut_unless(lambda _: False, "stopping")
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._origins.close()
        await self._control.stop()
        await self._admin.stop()
        await self._resolver.close()
        self._log("stopped", {})

    def describe(self) -> Answer:
        """The effective policy in force, for people and for `agentenv`."""
        policy = self._proxy.policy
        answer: Answer = {
            "in_force": policy is not None,
            "rule": self._why_not,
            "identities": [
                {
                    "session": one.session,
                    "source": str(one.source),
                    "token": one.token_sha256 is not None,
                    **({"agents": [agent.name for agent in one.agents]} if one.agents else {}),
                }
                for one in self._identities.all()
            ],
        }
        if policy is not None:
            shown = policy.document.model_dump(mode="json", exclude_none=True, exclude={"identities"})
            shown["hosts"] = [entry.model_dump(mode="json", exclude_none=True) for entry in policy.hosts]
            answer |= {"policy_hash": policy.digest, "policy": shown}
        return answer

    @property
    def _why_not(self) -> str | None:
        return None if self._proxy.policy else self._proxy.why_not

    def _environment(self) -> str | None:
        return self._proxy.policy.environment if self._proxy.policy else None

    def _take(self, text: bytes | None) -> None:
        """Put a new policy in force, or nothing in its place: what it does not allow is cut at once."""
        policy: Policy | None = None
        problem: str | None = None
        if text is None:
            self._proxy.why_not, problem = "no-policy", f"{self._settings.policy}: there is no policy"
        else:
            try:
                policy = load_policy(text, _registries(self._settings.registries))
            except BrokenPolicy as error:
                self._proxy.why_not, problem = "broken-policy", str(error)
        if policy is not None:
            policy.allow_at_most(self._most_tunnels)
        self._proxy.policy = policy
        self._identities.declare(policy.identities if policy else ())
        self._metrics.reloads.labels("good" if policy else self._proxy.why_not).inc()
        self._metrics.policy_ok.set(policy is not None)
        self._metrics.policy_time.set(time.time())
        self._log(
            "policy",
            {
                "verdict": "in-force" if policy else "refused",
                "rule": self._why_not,
                "problem": problem,
                "policy_hash": policy.digest if policy else None,
            },
        )
        self._cut("policy-changed")
        self._run(self._origins.keep_only(policy.all_routes if policy else ()))

    def _cut(self, rule: str) -> None:
        self._flows.cut_unless(self._still_allowed, rule)

    def _still_allowed(self, flow: Flow) -> bool:
        policy = self._proxy.policy
        if policy is None or not self._is_known(flow):
            return False
        try:
            return flow.allowed_by(policy)
        except Denied:
            return False

    def _is_known(self, flow: Flow) -> bool:
        subject = flow.subject
        return self._identities.still(subject.session or "", flow.source, subject.agent)

    def _run(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()):
            # Without one of them, an old policy or a dead tunnel would stay for ever.
            self._log.fault(error)
            self.failed.set()

    def _fault(self, context: Mapping[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException):
            self._log.fault(error)
        else:
            self._log("fault", {"error": str(context.get("message")), "where": []})


def _registries(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _raise_file_limit() -> int:
    """Raise the number of open files as far as it goes, which is often far above the usual one.

    Returns:
        The number.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
