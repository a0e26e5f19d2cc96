"""The proxy port: who asks, for what, and the answer that the policy gives."""

import asyncio
from collections import Counter
from typing import Protocol

from egress_gateway import own_policy
from egress_gateway.asked import Asked
from egress_gateway.connect import InTunnel, join, open_tunnel
from egress_gateway.connection import Connection
from egress_gateway.credentials import Shown, from_header, from_target
from egress_gateway.denial import Denied, Subject, response
from egress_gateway.document import HostEntry, Limits
from egress_gateway.flows import Flows
from egress_gateway.head import Head, read_head
from egress_gateway.identity import Identities
from egress_gateway.log import Log
from egress_gateway.metrics import Metrics
from egress_gateway.names import authority
from egress_gateway.policy import Policy
from egress_gateway.resolve import Resolver
from egress_gateway.tunnel import Side

_NO_LIMITS_YET = Limits()
_LINGER_SECONDS = 5.0


class Routes(Protocol):
    """Serves requests on credential routes."""

    async def serve(self, connection: Connection, head: Head, target: bytes, policy: Policy, asked: Asked) -> bool:
        """Answer one request.

        Returns:
            Whether the connection can carry another request.

        Raises:
            Denied: it is refused, and nothing of an answer has been sent.
        """


class Proxy:
    """Decides on every request that reaches the gateway.

    Args:
        identities: Who may ask.
        resolver: Resolves allowed hosts.
        flows: Watches over what has been let through.
        routes: Serves credential routes.
        log: Takes one line for each decision.
        metrics: Counts decisions.

    Attributes:
        policy: The policy in force; None means that nothing is let through.
        why_not: Rule of the refusals while there is no policy.
    """

    def __init__(
        self,
        identities: Identities,
        resolver: Resolver,
        flows: Flows,
        routes: Routes,
        log: Log,
        metrics: Metrics,
    ) -> None:
        self._identities, self._resolver, self._flows, self._routes = identities, resolver, flows, routes
        self._log, self._metrics = log, metrics
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: Counter[str] = Counter()
        self.policy: Policy | None = None
        self.why_not = "no-policy"

    @property
    def limits(self) -> Limits:
        """The policy's limits, or the usual ones while there is none."""
        return self.policy.limits if self.policy else _NO_LIMITS_YET

    def connection(self) -> asyncio.Protocol:
        """The protocol of a new connection."""
        return Connection(self._serve, self._keep)

    async def finish(self, seconds: float) -> None:
        """Let what is being decided come to its end, but not longer than this."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: Connection) -> None:
        """One client from its first byte to the last answer, or until its tunnel is open."""
        source = connection.source
        handed_over = False
        try:
            if self._crowded(source):
                await _refuse(connection, Denied("too-many-tunnels"), Asked(source, self._log, self._metrics))
                return
            self._waiting[source] += 1
            try:
                handed_over = await self._requests(connection)
            finally:
                self._waiting[source] -= 1
                if not self._waiting[source]:
                    del self._waiting[source]
        finally:
            if not handed_over:
                connection.transport.close()
                # Closing waits for the client to take its answer, and some never do.
                asyncio.get_running_loop().call_later(_LINGER_SECONDS, connection.transport.abort)

    async def _requests(self, connection: Connection) -> bool:
        """Answer requests until one opens a tunnel.

        Returns:
            Whether one did, and the connection is the tunnel's.
        """
        wire = None
        while True:
            asked = Asked(connection.source, self._log, self._metrics)
            try:
                head = asked.head = await read_head(connection, self.limits, wire)
                if head is None:
                    return False
                if head.method == "CONNECT":
                    await self._connect(connection, head, asked)
                    return True
                if not await self._route(connection, head, asked):
                    return False
                head.wire.start_next_cycle()
                wire = head.wire
            except Denied as denied:
                await _refuse(connection, denied, asked)
                return False
            except (OSError, asyncio.CancelledError) as error:
                if asked.head is not None:
                    asked.deny(Denied("client-left"))
                if isinstance(error, asyncio.CancelledError):
                    raise
                return False
            except Exception as error:  # noqa: BLE001 - one request's fault must not be another's
                self._log.fault(error)
                fault = InTunnel("internal-error") if connection.established else Denied("internal-error")
                await _refuse(connection, fault, asked)
                return False

    def _crowded(self, source: str) -> bool:
        """Whether so many connections wait to become tunnels that one more would take another client's place."""
        limits = self.limits
        return self._waiting[source] >= limits.tunnels_per_session or self._waiting.total() >= limits.tunnels

    async def _session(self, head: Head, asked: Asked, shown: Shown) -> tuple[Policy, str]:
        """The policy and the session that it is asked for.

        Args:
            head: The request.
            asked: Gets to know who asks.
            shown: By what an agent says who it is.

        Raises:
            Denied: there is no policy, or nobody known asks.
        """
        if self.policy is None:
            raise Denied(self.why_not)
        identity = await self._identities.identity(asked.source, head.credentials)
        asked.subject = Subject(identity.session)
        asked.subject = Subject(identity.session, agent=identity.agent(shown))
        if self.policy is None:  # It may have gone while a directory was asked.
            raise Denied(self.why_not)
        return self.policy, identity.session

    async def _connect(self, connection: Connection, head: Head, asked: Asked) -> None:
        policy, session = await self._session(head, asked, from_header(head.credentials))
        host, port = authority(head.request.target)
        subject = asked.subject = Subject(session, host, port, agent=asked.subject.agent)
        entry = policy.host(session, host, port)
        leave = self._flows.take_place(session, policy.limits)
        upstream: Side | None = None
        try:
            early, _ = head.wire.trailing_data
            upstream, hello = await open_tunnel(connection, early, subject, entry, policy.limits, self._resolver)
            # The policy may have changed since.
            self._check_still(asked, session, entry)
            join(connection, upstream, hello, subject, entry, self._flows, leave)
        except BaseException as error:
            if isinstance(error, Denied):
                error.field = entry.field
            leave()
            if upstream is not None:
                upstream.abort()
            raise
        asked.allow("allowed-host", entry.field)

    async def _route(self, connection: Connection, head: Head, asked: Asked) -> bool:
        target = head.request.target
        if target == own_policy.PATH:
            await self._tell(connection, head, asked)
            return False
        shown, target = from_target(target) or (from_header(head.credentials), target)
        policy, _ = await self._session(head, asked, shown)
        if not target.startswith(b"/"):
            raise Denied("plain-http" if b"://" in target else "method-refused")
        return await self._routes.serve(connection, head, target, policy, asked)

    async def _tell(self, connection: Connection, head: Head, asked: Asked) -> None:
        """Answer a session that asks what it may reach, policy or not.

        Raises:
            Denied: nobody known asks, or by another method.
        """
        identity = await self._identities.identity(asked.source, head.credentials)
        asked.subject = Subject(identity.session)
        if head.method not in ("GET", "HEAD"):
            raise Denied("method-refused")
        asked.answer("own-policy")
        told = own_policy.response(self.policy, identity.session, head_only=head.method == "HEAD")
        await connection.finish(told)

    def _check_still(self, asked: Asked, session: str, entry: HostEntry) -> None:
        """Whether what an entry allowed is allowed by the policy in force now, at the same kind of address.

        Raises:
            InTunnel: it is not.
        """
        if self.policy is None or not self._identities.still(session, asked.source, asked.subject.agent):
            raise InTunnel("policy-changed")
        try:
            now = self.policy.host(session, asked.subject.host or "", asked.subject.port or 0)
        except Denied:
            raise InTunnel("policy-changed") from None
        if now.private_range != entry.private_range:
            raise InTunnel("policy-changed")


async def _refuse(connection: Connection, denied: Denied, asked: Asked) -> None:
    asked.deny(denied)
    if isinstance(denied, InTunnel):
        connection.transport.write(denied.alert)
        return
    head_only = asked.head is not None and asked.head.method == "HEAD"
    await connection.finish(response(denied, asked.subject, head_only=head_only))
