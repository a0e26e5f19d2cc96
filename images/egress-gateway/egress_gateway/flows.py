"""What is open: tunnels and requests on routes, held against the limits, the clock and each new policy."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable

from egress_gateway.denial import Denied, Subject
from egress_gateway.document import Limits
from egress_gateway.log import Log
from egress_gateway.metrics import Metrics
from egress_gateway.policy import Policy

_SWEEP_SECONDS = 5.0
_SWEEPS_PER_LIMIT = 4


class Flow(ABC):
    """One tunnel, or one request on a route.

    Attributes:
        subject: Whose, and where to.
        source: Address of the client.
        field: Field of the stack file that allows it.
        opened: Whether it has been let through, and the log is to tell of its end.
        ended_by: Rule that ended it; None while it is open.
    """

    def __init__(self, subject: Subject, source: str, field: str) -> None:
        self.subject, self.source, self.field = subject, source, field
        self.started = self.last_active = time.monotonic()
        self.opened = True
        self.ended_by: str | None = None
        self._seen = (0, 0)

    @abstractmethod
    def moved(self) -> tuple[int, int]:
        """Bytes from the client and to the client until now."""

    @abstractmethod
    def cut(self) -> None:
        """Break it off at once, both sides."""

    @abstractmethod
    def allowed_by(self, policy: Policy) -> bool:
        """Whether it would be let through again.

        Raises:
            Denied: it would be refused, which means the same as False.
        """

    def advance(self) -> tuple[int, int]:
        """Bytes up and down since it was asked last; any mean that the flow is not idle."""
        up, down = self.moved()
        before_up, before_down = self._seen
        if (up, down) != self._seen:
            self._seen, self.last_active = (up, down), time.monotonic()
        return up - before_up, down - before_down


class Flows:
    """All flows of the gateway.

    Args:
        log: Takes a line at the end of each.
        metrics: Counts them and their bytes.
    """

    def __init__(self, log: Log, metrics: Metrics) -> None:
        self._log, self._metrics = log, metrics
        self._flows: set[Flow] = set()
        self._places: Counter[str] = Counter()
        self._total = 0
        self._empty = asyncio.Event()
        self._empty.set()

    def take_place(self, session: str, limits: Limits) -> Callable[[], None]:
        """A place for a flow of `session`, from before anything is resolved for it to its end.

        Returns:
            What gives the place back; a second call does nothing.

        Raises:
            Denied: `too-many-tunnels`.
        """
        if self._total >= limits.tunnels or self._places[session] >= limits.tunnels_per_session:
            raise Denied("too-many-tunnels")
        self._places[session] += 1
        self._total += 1
        held = True

        def give_back() -> None:
            nonlocal held
            if held:
                held = False
                self._total -= 1
                self._places[session] -= 1
                if not self._places[session]:
                    del self._places[session]

        return give_back

    def begin(self, flow: Flow) -> None:
        """Watch over a flow that has begun."""
        self._flows.add(flow)
        self._empty.clear()
        self._metrics.tunnels.inc()

    def end(self, flow: Flow, rule: str) -> None:
        """Take note that a flow is over, by the first rule that said so."""
        if flow not in self._flows:
            return
        self._flows.discard(flow)
        if not self._flows:
            self._empty.set()
        self._metrics.tunnels.dec()
        self._count(flow)
        flow.ended_by = flow.ended_by or rule
        if flow.opened:
            self._tell(flow)

    def _tell(self, flow: Flow) -> None:
        up, down = flow.moved()
        subject = flow.subject
        record: dict[str, object] = {
            "session": subject.session,
            "source": flow.source,
            "host": subject.host,
            "port": subject.port,
            "verdict": "ended",
            "rule": flow.ended_by,
            "field": flow.field,
            "bytes_up": up,
            "bytes_down": down,
            "seconds": round(time.monotonic() - flow.started, 3),
        }
        if subject.agent:
            record["agent"] = subject.agent
        if subject.route:
            record["route"] = subject.route
        self._log("end", record)

    def cut(self, flow: Flow, rule: str) -> None:
        """Break a flow off; the log says by which rule."""
        flow.ended_by = flow.ended_by or rule
        flow.cut()
        self.end(flow, rule)

    def cut_unless(self, allowed: Callable[[Flow], bool], rule: str) -> None:
        """Break off all flows that are not allowed any more."""
        for flow in [flow for flow in self._flows if not allowed(flow)]:
            self.cut(flow, rule)

    async def sweep(self, limits: Callable[[], Limits]) -> None:
        """Count bytes and break off what is idle or old, until cancelled.

        One look at all flows every few seconds: a timer for each would cost a system call for each read.
        """
        while True:
            current = limits()
            shortest = min(current.idle_seconds, current.total_seconds)
            await asyncio.sleep(min(_SWEEP_SECONDS, shortest / _SWEEPS_PER_LIMIT))
            now = time.monotonic()
            for flow in [*self._flows]:
                self._count(flow)
                if now - flow.started > current.total_seconds:
                    self.cut(flow, "total-timeout")
                elif now - flow.last_active > current.idle_seconds:
                    self.cut(flow, "idle-timeout")

    async def wait_empty(self) -> None:
        """Return when no flow is open."""
        await self._empty.wait()

    def _count(self, flow: Flow) -> None:
        up, down = flow.advance()
        if up:
            self._metrics.bytes_up.inc(up)
        if down:
            self._metrics.bytes_down.inc(down)
