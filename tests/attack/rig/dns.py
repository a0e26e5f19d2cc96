"""The rig's DNS server: answers from a table, keeps a log of every query, over UDP and TCP."""

import socket
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.attack.rig.namespace import Namespace
from tests.attack.rig.settling import Inbox


@dataclass(frozen=True)
class Record:
    """What a name answers.

    Attributes:
        a: IPv4 addresses.
        aaaa: IPv6 addresses.
        cname: Another name of the table; its records follow in the same answer, as from a recursive resolver.
        rcode: Answered instead of records, for instance SERVFAIL.
        silent: True: no answer at all.
    """

    a: tuple[str, ...] = ()
    aaaa: tuple[str, ...] = ()
    cname: str | None = None
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    silent: bool = False


@dataclass(frozen=True)
class Query:
    """One query as it arrived: name without its last dot, type (`A`), transport (`udp` or `tcp`)."""

    name: str
    kind: str
    transport: str


class DnsServer:
    """Answers on port 53 of its address, and logs what is sent to port 53 of any other address of the namespace.

    Attributes:
        records: By name in lower case, or `*.x` for any name below x; `*` is everything else. May be changed.
        first: Answered once for each type of record, before `records`: a name that changes its address.
        queries: All queries so far.
    """

    def __init__(self, namespace: Namespace, records: Mapping[str, Record], *, address: str, ttl: int = 0) -> None:
        """Listen at once.

        Args:
            namespace: Where to listen.
            records: See the attribute.
            address: The server's own address. A client takes a datagram only from the address it asked, and the
                kernel picks that of an answer from a wildcard socket as it likes: so this one has sockets of its own.
            ttl: Seconds that a resolver may keep an answer; by default none, so that each case sees its own.
        """
        self._address, self._ttl = address, ttl
        self._inbox = Inbox()
        self.records = dict(records)
        self.first: dict[str, Record] = {}
        self._given: set[tuple[str, str]] = set()
        self.queries: list[Query] = []
        self._namespace = namespace
        self._sockets: list[socket.socket] = []
        self.resume()

    def resume(self) -> None:
        """Open the ports, as at the start."""
        for address in (self._address, "0.0.0.0", "::"):
            datagrams = self._namespace.listen(address, 53, socket.SOCK_DGRAM)
            self._sockets.append(datagrams)
            self._inbox.watch(datagrams)
            threading.Thread(target=self._serve_datagrams, args=(datagrams,), daemon=True).start()
        for address in ("0.0.0.0", "::"):
            streams = self._namespace.listen(address, 53)
            self._sockets.append(streams)
            self._inbox.watch(streams)
            threading.Thread(target=self._serve_streams, args=(streams,), daemon=True).start()

    def pause(self) -> None:
        """Close the ports: the server is down until `resume`."""
        for each in self._sockets:
            # Closing alone leaves a thread that waits in recv or accept, and with it the port.
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            self._inbox.close(each)
        self._sockets.clear()

    def settle(self) -> None:
        """Return when every query that has arrived is in the log."""
        self._inbox.settle()

    def names(self) -> list[str]:
        """The names asked for so far, in order."""
        return [query.name for query in self.queries]

    def _record(self, name: str, kind: str) -> Record:
        name = name.lower()
        if name in self.first and (name, kind) not in self._given:
            self._given.add((name, kind))
            return self.first[name]
        if name in self.records:
            return self.records[name]
        labels = name.split(".")
        for index in range(1, len(labels)):
            wildcard = ".".join(["*", *labels[index:]])
            if wildcard in self.records:
                return self.records[wildcard]
        return self.records.get("*", Record(rcode=dns.rcode.NXDOMAIN))

    def _answer(self, wire: bytes, transport: str) -> bytes | None:
        try:
            request = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            self.queries.append(Query("(unreadable)", "", transport))
            return None
        question = request.question[0]
        name = question.name.to_text(omit_final_dot=True)
        kind = dns.rdatatype.to_text(question.rdtype)
        self.queries.append(Query(name, kind, transport))
        record = self._record(name, kind)
        response = dns.message.make_response(request, recursion_available=True)
        owner = name
        for _ in range(16):
            if record.silent:
                return None
            if record.cname is None:
                break
            response.answer.append(dns.rrset.from_text(owner + ".", self._ttl, "IN", "CNAME", record.cname + "."))
            owner, record = record.cname, self._record(record.cname, kind)
        response.set_rcode(record.rcode)
        addresses = {dns.rdatatype.A: record.a, dns.rdatatype.AAAA: record.aaaa}.get(question.rdtype, ())
        if addresses and record.rcode == dns.rcode.NOERROR:
            response.answer.append(dns.rrset.from_text(owner + ".", self._ttl, "IN", kind, *addresses))
        return response.to_wire()

    def _serve_datagrams(self, listening: socket.socket) -> None:
        # A socket that is closed meanwhile ends the thread.
        with suppress(OSError, ValueError):
            while self._inbox.wait(listening):
                with self._inbox.lock:
                    wire, sender = listening.recvfrom(65535)
                    if not wire:
                        return
                    answer = self._answer(wire, "udp")
                if answer:
                    listening.sendto(answer, sender)

    def _serve_streams(self, listening: socket.socket) -> None:
        with suppress(OSError, ValueError):
            while self._inbox.wait(listening):
                with self._inbox.lock:
                    connection, _ = listening.accept()
                    connection.settimeout(1)
                    with connection, suppress(OSError, struct.error):
                        (length,) = struct.unpack("!H", connection.recv(2, socket.MSG_WAITALL))
                        answer = self._answer(connection.recv(length, socket.MSG_WAITALL), "tcp")
                        if answer:
                            connection.sendall(struct.pack("!H", len(answer)) + answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.pause()
