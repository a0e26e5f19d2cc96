"""Credential routes: requests to one fixed https origin each, with a secret that the session never sees.

`http://gateway:PORT/<route>/rest` becomes `https://origin/rest`. Bodies stream in both directions as they come.
"""

import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Protocol, cast

import aiohttp
import h11
from multidict import CIMultiDict
from yarl import URL

from egress_gateway.asked import Asked
from egress_gateway.connection import Connection
from egress_gateway.denial import Denied, Subject
from egress_gateway.flows import Flow, Flows
from egress_gateway.head import Head
from egress_gateway.origins import Origins
from egress_gateway.paths import METHODS
from egress_gateway.policy import Policy, Route
from egress_gateway.secret_store import SecretStore, SecretUnavailable

_TARGET = re.compile(rb"/([^/?#]*)((?:[/?][^#]*)?)")
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# What a client may hold as a credential of its own, what says where a request came from, and what h11 has dealt with.
_NOT_SENT = frozenset(
    {
        b"api-key",
        b"apikey",
        b"authorization",
        b"cookie",
        b"dpop",
        b"expect",
        b"forwarded",
        b"host",
        b"job-token",
        b"private-token",
        b"via",
        b"x-access-token",
        b"x-amz-security-token",
        b"x-api-key",
        b"x-auth-token",
        b"x-goog-api-key",
        b"x-real-ip",
    }
)
_NOT_SENT_PREFIXES = (b"x-forwarded-", b"x-egress-")
# What some programs take for the method or the path in place of the request line's, by which a route's list judges.
_OVERRIDES = frozenset(
    {
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"x-original-uri",
        b"x-original-url",
        b"x-rewrite-url",
    }
)
# What would set state in the client, send it past the gateway, or pass for the gateway's own word.
_NOT_RETURNED = frozenset({b"alt-svc", b"set-cookie", b"set-cookie2", b"x-egress-rule"})
_SWITCHING_PROTOCOLS = 101
_UNAUTHORIZED = 401

_TLS_BUFFER_BYTES = 64 * 1024

RawHeaders = Iterable[tuple[bytes, bytes]]


class _Secure(Protocol):
    """What a TLS transport can do beyond a plain one, and its declared type leaves out."""

    def set_read_buffer_limits(self, high: int) -> None:
        """Read no more while so many bytes wait to be taken."""


class Exchange(Flow):
    """One request on a route and its answer.

    Attributes:
        route: The route.
        connection: The client's.
        up: Body bytes from the client until now.
        down: Body bytes to the client until now.
        fault: What is wrong with the client's body, if anything is.
    """

    def __init__(
        self, subject: Subject, source: str, route: Route, connection: Connection, request: tuple[str, str]
    ) -> None:
        super().__init__(subject, source, route.field)
        self.route, self.connection, self._request = route, connection, request
        self.up = self.down = 0
        self.opened = False
        self.fault: Denied | None = None

    def moved(self) -> tuple[int, int]:
        """Body bytes from the client and to the client until now."""
        return self.up, self.down

    def cut(self) -> None:
        """Break the client's connection off, which ends the request too."""
        self.connection.transport.abort()

    def allowed_by(self, policy: Policy) -> bool:
        """Whether the policy has the same route for the session, and lets the request through."""
        now = policy.route(self.subject.session or "", self.route.name)
        return now == self.route and now.takes(*self._request)


class Injector:
    """Serves the credential routes.

    Args:
        origins: The https client.
        secrets: Where the secrets are.
        flows: Watches over the requests.
    """

    def __init__(self, origins: Origins, secrets: SecretStore, flows: Flows) -> None:
        self._origins, self._secrets, self._flows = origins, secrets, flows

    async def serve(self, connection: Connection, head: Head, target: bytes, policy: Policy, asked: Asked) -> bool:
        """Answer one request.

        Args:
            connection: The client's.
            head: The request.
            target: Its path, without an agent's name and token.
            policy: The policy in force; the session is known.
            asked: Takes the decision.

        Returns:
            Whether the connection can carry another request.

        Raises:
            Denied: it is refused, and nothing of an answer has been sent.
        """
        session, agent = asked.subject.session or "", asked.subject.agent
        match = _TARGET.fullmatch(target)
        if match is None:
            raise Denied("malformed-request")
        name = match[1].decode("ascii")
        asked.subject = Subject(session, route=name, agent=agent)
        route = policy.route(session, name)
        asked.subject = Subject(session, route.host, route.port, name, agent)
        if head.method not in METHODS:
            raise Denied("method-refused", route.field)
        if b"upgrade" in head.fields:
            raise Denied("upgrade-refused", route.field)
        rest = _path(match[2])
        if not route.takes(head.method, rest):
            asked.subject = replace(asked.subject, request=f"{head.method} {rest.partition('?')[0]}")
            raise Denied("route-path-not-allowed", f"{route.field}.paths")
        leave = self._flows.take_place(session, policy.limits)
        exchange = Exchange(asked.subject, asked.source, route, connection, (head.method, rest))
        self._flows.begin(exchange)
        try:
            with connection.staying():
                await self._exchange(exchange, head, rest, policy, asked)
        except Denied as denied:
            denied.field = route.field
            raise
        finally:
            leave()
            self._flows.end(exchange, "closed")
        return head.wire.our_state is h11.DONE and head.wire.their_state is h11.DONE

    async def _exchange(self, exchange: Exchange, head: Head, rest: str, policy: Policy, asked: Asked) -> None:
        route = exchange.route
        try:
            secret = await self._secrets.value(route.secret)
        except SecretUnavailable:
            raise Denied("secret-unavailable") from None
        try:
            answer = await self._origins.session(route, policy.limits).request(
                head.method,
                URL(f"https://{route.host}:{route.port}{rest}", encoded=True),
                headers=_request_headers(head.request.headers, route, secret),
                data=_Body(exchange, head.wire) if head.has_body else None,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError) as error:
            raise exchange.fault or _denied(error) from None
        async with answer:
            if answer.status == _SWITCHING_PROTOCOLS:
                raise Denied("upstream-failed")
            if answer.status == _UNAUTHORIZED:
                self._secrets.drop(route.secret)
            _hold_little(answer)
            exchange.opened = True
            asked.allow("route", route.field)
            try:
                await _return(answer, head, exchange, secret)
            except (aiohttp.ClientError, OSError, h11.LocalProtocolError):
                # The status is sent: that the rest is missing is all that the client can still be told.
                exchange.ended_by = exchange.ended_by or "upstream-failed"
                exchange.cut()


class _Body:
    """A request's body as it arrives, which can be sent once."""

    def __init__(self, exchange: Exchange, wire: h11.Connection) -> None:
        self._exchange, self._wire, self._begun = exchange, wire, False

    def __aiter__(self) -> AsyncIterator[bytes]:
        if self._begun:
            raise aiohttp.ClientConnectionError("the body has been sent already")
        self._begun = True
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        exchange, wire = self._exchange, self._wire
        while True:
            if wire.they_are_waiting_for_100_continue:
                await exchange.connection.write(
                    wire.send(h11.InformationalResponse(status_code=100, headers=[])) or b""
                )
            try:
                event = wire.next_event()
            except h11.RemoteProtocolError:
                exchange.fault = Denied("malformed-request")
                raise
            if event is h11.NEED_DATA:
                wire.receive_data(await exchange.connection.read())
            elif isinstance(event, h11.Data):
                exchange.up += len(event.data)
                yield bytes(event.data)
            else:
                return


def _hold_little(answer: aiohttp.ClientResponse) -> None:
    """Keep what a client does not take out of the TLS connection's buffer, which takes eight times as much unasked."""
    if answer.connection is not None and (transport := answer.connection.transport) is not None:
        cast("_Secure", transport).set_read_buffer_limits(high=_TLS_BUFFER_BYTES)


async def _return(answer: aiohttp.ClientResponse, head: Head, exchange: Exchange, secret: str) -> None:
    """Send an answer on as it comes."""
    wire, connection = head.wire, exchange.connection
    if not head.has_body:
        wire.next_event()  # The end of the request, which h11 wants to have told.
    response = h11.Response(
        status_code=answer.status,
        reason=(answer.reason or "").encode("latin-1", "replace"),
        headers=_response_headers(answer.raw_headers, secret.encode()),
    )
    await connection.write(wire.send(response) or b"")
    async for piece in answer.content.iter_any():
        exchange.down += len(piece)
        await connection.write(wire.send(h11.Data(data=piece)) or b"")
    await connection.write(wire.send(h11.EndOfMessage()) or b"")


def _path(rest: bytes) -> str:
    """Path and query at the origin: what follows the route's name, as it was written."""
    path = rest.decode("ascii")
    return path if path.startswith("/") else f"/{path}"


def _named_by_connection(headers: RawHeaders) -> frozenset[bytes]:
    """Headers that the other end means for its neighbour alone."""
    return frozenset(
        name.strip().lower() for key, value in headers if key.lower() == b"connection" for name in value.split(b",")
    )


def _request_headers(headers: RawHeaders, route: Route, secret: str) -> CIMultiDict[str]:
    pairs = [*headers]
    dropped = _HOP_BY_HOP | _NOT_SENT | _named_by_connection(pairs) - {b"content-length"}
    if route.paths is not None:
        dropped |= _OVERRIDES
    sent: CIMultiDict[str] = CIMultiDict()
    for key, value in pairs:
        # Some programs read an underscore as a hyphen.
        plain = key.replace(b"_", b"-")
        if key in dropped or plain in dropped or plain.startswith(_NOT_SENT_PREFIXES):
            continue
        try:
            sent.add(key.decode("ascii"), value.decode())
        except UnicodeDecodeError:
            raise Denied("malformed-request") from None
    # In place of any that the client sent.
    sent[route.header] = secret
    return sent


def _response_headers(headers: RawHeaders, secret: bytes) -> list[tuple[bytes, bytes]]:
    pairs = [*headers]
    dropped = _HOP_BY_HOP | _NOT_RETURNED | _named_by_connection(pairs) - {b"content-length"}
    return [(key, value) for key, value in pairs if key.lower() not in dropped and secret not in value]


def _denied(error: Exception) -> Denied:
    """The refusal for a request that failed. The error's own text may hold anything, and goes nowhere."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Denied("certificate-refused")
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Denied("connect-timeout")
    if isinstance(error, TimeoutError):
        return Denied("upstream-timeout")
    return Denied("connect-failed" if isinstance(error, aiohttp.ClientConnectorError) else "upstream-failed")
