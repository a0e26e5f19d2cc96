"""Whatever one session uses up is its own: another keeps answering meanwhile."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from components.plans.docker.containers import PROCESSES
from tests.attack.cases import Case
from tests.attack.inside.cases import single
from tests.attack.inside.conftest import Rig, started
from tests.attack.inside.programs import container, proxied
from tests.attack.inside.sessions import Session

pytestmark = pytest.mark.containers

TOPIC = "Exhaustion"
ANSWERS_WITHIN = 10.0
MIB = 1024 * 1024
KILLED = 9


@pytest.fixture(scope="module")
def hungry(rig: Rig) -> Iterator[Session]:
    """Another run of `lab`, for this module alone."""
    with ExitStack() as opened:
        yield started(rig, opened, "lab")


def meanwhile(hungry: Callable[[], Any], other: Session) -> Any:
    """What `hungry` returns; as long as it goes on, the other session answers and gets out by the gateway."""
    answered = 0
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(hungry)
        while not going.done() or not answered:
            begun = time.monotonic()
            assert other.run(container, "echo", answered) == answered
            assert other.run(proxied, "connect", "allowed.test:443") == [200, ""]
            assert time.monotonic() - begun < ANSWERS_WITHIN
            answered += 1
            time.sleep(0.2)
        return going.result()


@single(
    TOPIC,
    "fork-bomb",
    "as many processes as there can be",
    "EAGAIN at the session's limit; another session keeps answering",
)
def test_forks(case: Case, hungry: Session, desk: Session) -> None:
    count, reason = meanwhile(lambda: hungry.run(container, "forks", PROCESSES + 500), desk)
    assert reason == "EAGAIN"
    assert PROCESSES - 50 < count < PROCESSES
    assert hungry.run(container, "echo", 1) == 1


@single(
    TOPIC,
    "fork-bomb-service",
    "the same in a long-running service, whose limit is its user's",
    "EAGAIN at the session's limit; another session keeps answering",
)
def test_service_forks(case: Case, shop: Session, desk: Session) -> None:
    count, reason = meanwhile(lambda: shop.run(container, "forks", PROCESSES + 500), desk)
    assert reason == "EAGAIN"
    assert PROCESSES - 50 < count < PROCESSES


@single(
    TOPIC,
    "disk-fill",
    "a file that grows until there is no more room, in each folder that can be written",
    "ENOSPC at the session's share; another session writes and answers",
)
def test_disk(case: Case, hungry: Session, desk: Session) -> None:
    for folder, most in (("/tmp", 256), ("/home/agent", 256), ("/workspace", 512), ("/dev/shm", 64)):
        written, reason = meanwhile(lambda folder=folder: hungry.run(container, "fill", folder, 1024 * MIB), desk)  # type: ignore[misc]
        assert (folder, reason) == (folder, "ENOSPC")
        assert written <= most * MIB
        assert desk.run(container, "fill", folder, 8 * MIB) == [8 * MIB, "no limit"]


@single(
    TOPIC,
    "memory",
    "more memory than the session has",
    "its own process is killed; another session keeps answering",
)
def test_memory(case: Case, hungry: Session, desk: Session) -> None:
    limit = hungry.container.attrs["HostConfig"]["Memory"]
    assert limit == 1280 * MIB
    assert meanwhile(lambda: hungry.run(container, "memory", 2 * limit), desk)[0] == KILLED
    assert hungry.run(container, "echo", 1) == 1
