"""Names to addresses, through DNS alone: hosts files and search lists would let others decide what a name means."""

import asyncio
import ipaddress
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiodns
import pycares

from egress_gateway.addresses import Address, Network, may_connect
from egress_gateway.denial import Denied

MAX_KEPT_SECONDS = 10.0
_MAX_KEPT = 4096
_TRY_SECONDS = 1.5
_TRIES = 2


@dataclass(frozen=True)
class _Kept:
    addresses: list[Address]
    until: float


class Resolver:
    """Asks the system's name servers, or given ones, and checks what they say.

    Args:
        nameservers: `ip:port` each; none means those of the system.
    """

    def __init__(self, nameservers: Sequence[str] = ()) -> None:
        self._dns = aiodns.DNSResolver(
            list(nameservers) or None, timeout=_TRY_SECONDS, tries=_TRIES, flags=pycares.ARES_FLAG_NOSEARCH, lookups="b"
        )
        self._kept: dict[tuple[str, Network | None], _Kept] = {}

    async def addresses(self, host: str, private_range: Network | None) -> list[Address]:
        """The addresses to connect to, every one of which has been checked.

        An answer is kept for as long as its records say, but for some seconds at most.

        Args:
            host: A lower-case A-label without trailing dot.
            private_range: Where the host must lie; None for a host of the Internet.

        Raises:
            Denied: `dns-failed`, or `address-not-allowed` if only one of them must not be connected to.
        """
        kept = self._kept.get((host, private_range))
        if kept is None or kept.until < time.monotonic():
            kept = await self._resolve(host, private_range)
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            self._kept[host, private_range] = kept
        return kept.addresses

    async def _resolve(self, host: str, private_range: Network | None) -> _Kept:
        found: list[Address] = []
        seconds = MAX_KEPT_SECONDS
        for answer in await asyncio.gather(self._ask(host, "A"), self._ask(host, "AAAA"), return_exceptions=True):
            if isinstance(answer, aiodns.error.DNSError):
                continue  # A host has addresses of one kind only, or a server knows one kind only.
            if isinstance(answer, BaseException):
                raise answer
            for record in answer:
                seconds = min(seconds, record.ttl)
                if isinstance(record.data, pycares.ARecordData | pycares.AAAARecordData):
                    found.append(ipaddress.ip_address(record.data.addr))
        if not found:
            raise Denied("dns-failed")
        if not all(may_connect(address, private_range) for address in found):
            raise Denied("address-not-allowed")
        return _Kept(found, time.monotonic() + seconds)

    async def _ask(self, host: str, kind: str) -> list[pycares.DNSRecord]:
        # The dot at the end: a complete name.
        answer = await self._dns.query_dns(f"{host}.", kind)
        return [*answer.answer]

    async def close(self) -> None:
        """Ask no more."""
        await self._dns.close()
