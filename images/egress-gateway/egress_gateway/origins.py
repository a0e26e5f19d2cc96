"""The https client of the credential routes: one pool of verified connections for each origin, to checked addresses."""

import ssl
from collections.abc import Iterable
from pathlib import Path
from socket import AF_INET, AF_INET6, IPPROTO_TCP, AddressFamily

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from egress_gateway.addresses import Network
from egress_gateway.document import Limits
from egress_gateway.policy import Route
from egress_gateway.resolve import Resolver
from egress_gateway.sockets import outgoing

_MAX_HEAD_LINE = 64 * 1024
_NOT_ADDED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class _CheckedResolver(AbstractResolver):
    """Gives aiohttp only addresses that the gateway may connect to."""

    def __init__(self, resolver: Resolver, private_range: Network | None) -> None:
        self._resolver, self._private_range = resolver, private_range

    async def resolve(self, host: str, port: int = 0, family: AddressFamily = AF_INET) -> list[ResolveResult]:  # noqa: ARG002
        """All checked addresses, of both families."""
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=AF_INET if address.version == 4 else AF_INET6,
                proto=IPPROTO_TCP,
                flags=0,
            )
            for address in await self._resolver.addresses(host, self._private_range)
        ]

    async def close(self) -> None:
        """The resolver is everybody's, and stays."""


class Origins:
    """Sessions of aiohttp by route; a route that changes gets a new one.

    Args:
        resolver: Resolves and checks.
        ca_file: Certificates to trust besides the system's.
    """

    def __init__(self, resolver: Resolver, ca_file: Path | None = None) -> None:
        self._resolver = resolver
        self._tls = ssl.create_default_context()
        if ca_file is not None:
            self._tls.load_verify_locations(ca_file)
        self._sessions: dict[Route, aiohttp.ClientSession] = {}

    def session(self, route: Route, limits: Limits) -> aiohttp.ClientSession:
        """The session whose connections lead to the route's origin and nowhere else."""
        session = self._sessions.get(route)
        if session is None:
            connector = aiohttp.TCPConnector(
                resolver=_CheckedResolver(self._resolver, route.private_range),
                use_dns_cache=False,
                ssl=self._tls,
                limit=0,
                socket_factory=outgoing,
            )
            session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=_NOT_ADDED,
                trust_env=False,
                max_line_size=_MAX_HEAD_LINE,
                max_field_size=_MAX_HEAD_LINE,
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=limits.connect_seconds, sock_read=limits.idle_seconds
                ),
            )
            self._sessions[route] = session
        return session

    async def keep_only(self, routes: Iterable[Route]) -> None:
        """Close the connections of all other routes."""
        kept = {*routes}
        for route in [route for route in self._sessions if route not in kept]:
            await self._sessions.pop(route).close()

    async def close(self) -> None:
        """Close all."""
        await self.keep_only(())
