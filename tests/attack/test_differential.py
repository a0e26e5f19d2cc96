"""The same names through the gateway and through Debian's Squid: where they differ, the table says why ours is right.

Squid has the usual allow-list (`dstdomain -n` for CONNECT, `ssl::server_name` for the hello) with the same names.
Compared is what matters: which servers get bytes, and whether the client is told the reason.
"""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import pytest

from tests.attack.cases import Case, table
from tests.attack.rig.client import Client, Reply, get
from tests.attack.rig.dns import Record
from tests.attack.rig.gateway import Gateway
from tests.attack.rig.squid import Squid
from tests.attack.rig.world import ALLOWED, DESK, METADATA, RESOLVER, SQUID, World

SAME = ""


class Outcome(StrEnum):
    """What a client saw, and what the servers saw."""

    REACHED = "bytes reach ALLOWED"
    ELSEWHERE = "bytes reach another server"
    TOLD = "nothing gets out, and the answer to CONNECT refuses it"
    CUT = "nothing gets out, but the answer to CONNECT is 200 and the tunnel is cut"


@dataclass(frozen=True)
class Attempt(Case):
    """One name through both.

    Attributes:
        authority: Target of CONNECT.
        name: Server name of the hello; None: none at all.
        ours: What the gateway makes of it.
        squid: What Squid makes of it.
        why: Why ours is right, where they differ.
    """

    authority: str
    name: str | None
    ours: Outcome
    squid: Outcome
    why: str = SAME


def same(name: str, title: str, authority: str, sni: str | None, outcome: Outcome) -> Attempt:
    """Both do the same."""
    return Attempt(name, title, str(outcome), authority, sni, outcome, outcome)


def differs(name: str, title: str, authority: str, sni: str | None, ours: Outcome, squid: Outcome, why: str) -> Attempt:
    """They do not, and ours is right."""
    return Attempt(name, title, f"{ours}; Squid: {squid}. {why}", authority, sni, ours, squid, why)


REACHED, ELSEWHERE, TOLD, CUT = Outcome.REACHED, Outcome.ELSEWHERE, Outcome.TOLD, Outcome.CUT
REASON = (
    "A client that is told 200 sees a broken certificate, not the reason, and retries; ours answers 403 with the rule."
)
ATTEMPTS = [
    same("squid-allowed", "an allowed name", "allowed.test:443", "allowed.test", REACHED),
    same("squid-upper-case", "an allowed name in upper case", "ALLOWED.TEST:443", "allowed.test", REACHED),
    same("squid-wildcard", "a name below a wildcard", "a.wild.test:443", "a.wild.test", REACHED),
    same("squid-a-label", "an A-label", "xn--bcher-kva.test:443", "xn--bcher-kva.test", REACHED),
    same("squid-cname", "an alias", "alias.test:443", "alias.test", REACHED),
    same("squid-wrong-sni", "another name in the hello", "allowed.test:443", "evil.test", CUT),
    differs("squid-denied", "a name that is not allowed", "evil.test:443", "evil.test", TOLD, CUT, REASON),
    differs(
        "squid-suffix",
        "an allowed name as the end of a label",
        "notallowed.test:443",
        "notallowed.test",
        TOLD,
        CUT,
        REASON,
    ),
    differs(
        "squid-prefix",
        "an allowed name below another",
        "allowed.test.evil.test:443",
        "allowed.test.evil.test",
        TOLD,
        CUT,
        REASON,
    ),
    differs("squid-port", "another port", "allowed.test:853", "allowed.test", TOLD, CUT, REASON),
    differs("squid-address", "the allowed host's address", f"{ALLOWED}:443", "allowed.test", TOLD, CUT, REASON),
    differs(
        "squid-evil-address",
        "another address with an allowed name in the hello",
        "10.77.0.66:443",
        "allowed.test",
        TOLD,
        CUT,
        REASON,
    ),
    differs(
        "squid-apex",
        "the name of a wildcard itself",
        "wild.test:443",
        "wild.test",
        TOLD,
        ELSEWHERE,
        "Squid's `.wild.test` holds wild.test too. `*.wild.test` in the stack file does not: its owner may be another.",
    ),
    differs(
        "squid-other-allowed",
        "the name of another allowed host in the hello",
        "allowed.test:443",
        "a.wild.test",
        CUT,
        REACHED,
        "Squid asks only whether the name is in the list. One allowed host must be no front for another.",
    ),
    differs(
        "squid-no-sni",
        "no name in the hello",
        "allowed.test:443",
        None,
        CUT,
        REACHED,
        "Without a name nobody can say which of a shared address's hosts is meant; every client of today sends one.",
    ),
    differs(
        "squid-metadata",
        "an allowed name that resolves to the metadata address",
        "squid-metadata.wild.test:443",
        "squid-metadata.wild.test",
        TOLD,
        ELSEWHERE,
        "Whoever owns the DNS of an allowed name could reach inside otherwise.",
    ),
    differs(
        "squid-private",
        "an allowed name that resolves to another private address",
        "squid-private.wild.test:443",
        "squid-private.wild.test",
        TOLD,
        ELSEWHERE,
        "The policy names the private range in which the host may lie.",
    ),
]


@pytest.fixture(scope="module")
def squid(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    # Squid's way to wild.test must not look like the gateway's to EVIL.
    world.dns.records |= {
        "wild.test": Record(a=("10.77.0.67",)),
        "squid-metadata.wild.test": Record(a=(METADATA,)),
        "squid-private.wild.test": Record(a=("10.66.0.10",)),
    }
    folder = tmp_path_factory.mktemp("squid")
    hosts = ["allowed.test", ".wild.test", "xn--bcher-kva.test", "alias.test"]
    with Squid(world.namespace, folder, address=SQUID, hosts=hosts, certificate=world.server_file, resolver=RESOLVER):
        yield world.client(DESK, proxy=SQUID)


def outcome(world: World, client: Client, attempt: Attempt) -> Outcome:
    """Put an attempt to one of them."""
    context = ssl.create_default_context(cafile=str(world.ca_file))
    context.check_hostname = False
    answer: Reply | None = None
    with world.watch() as seen:
        reply, connection = client.open(attempt.authority)
        with connection:
            if reply.status == 200:
                try:
                    with context.wrap_socket(connection, server_hostname=attempt.name) as tls:
                        answer = get(tls, "x", "/")
                except OSError:
                    pass
    if answer and answer.status == 200:
        return REACHED if answer.json()["address"] == ALLOWED else ELSEWHERE
    assert seen.bytes == 0
    return CUT if reply.status == 200 else TOLD


@table("Squid and the gateway", ATTEMPTS)
def test_same_or_explained(case: Attempt, world: World, gateway: Gateway, squid: Client) -> None:
    assert (case.ours == case.squid) == (case.why == SAME), "a difference that the table does not explain"
    assert outcome(world, world.desk, case) == case.ours
    assert outcome(world, squid, case) == case.squid
