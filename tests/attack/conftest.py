"""One small world and one gateway for the whole suite; a gateway of one's own for tests that change or break it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.attack.checks import assert_open
from tests.attack.rig.gateway import Gateway, wait_for
from tests.attack.rig.world import (
    BROKEN_GATEWAY,
    DESK,
    EVIL,
    GATEWAY,
    LAB_SECRET,
    RESOLVER,
    SECOND_GATEWAY,
    SECRET,
    World,
    policy,
)

StartGateway = Callable[..., Gateway]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Namespaces, DNS, certificates and upstreams."""
    with World(tmp_path_factory.mktemp("world")) as made:
        yield made


def environment(world: World) -> dict[str, str]:
    """What every gateway of the suite is told of the world."""
    return {"EGRESS_NAMESERVERS": f"{RESOLVER}:53", "EGRESS_CA_FILE": str(world.ca_file)}


@pytest.fixture(scope="session")
def gateway(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway that most cases share, with the policy of `world.policy`."""
    folder = tmp_path_factory.mktemp("gateway")
    made = Gateway(world.namespace, folder, address=GATEWAY, environment=environment(world))
    made.write_policy(policy(folder))
    with made.start():
        yield made
    # Whatever the cases sent: no session's probe may have left a trace of a secret, nor reached EVIL.
    text = made.raw_log()
    assert SECRET.encode() not in text
    assert LAB_SECRET.encode() not in text
    assert EVIL not in {address for address, _ in world.upstreams.touched()}


@pytest.fixture
def start_gateway(world: World, tmp_path: Path) -> Iterator[StartGateway]:
    """Starts a second gateway for one test: `start_gateway(policy document or None, ready=...)`."""
    started: list[Gateway] = []

    def start(document: dict[str, Any] | bytes | None, *, ready: bool = True) -> Gateway:
        folder = tmp_path / f"gateway-{len(started)}"
        made = Gateway(world.namespace, folder, address=SECOND_GATEWAY, admin_port=9902, environment=environment(world))
        if document is not None:
            made.write_policy(document)
        started.append(made)
        return made.start(ready=ready)

    yield start
    for made in started:
        made.stop()


@pytest.fixture(scope="module")
def broken_gateway(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of one module, whose policy each test breaks; before and after, a good one opens it."""
    folder = tmp_path_factory.mktemp("broken")
    made = Gateway(world.namespace, folder, address=BROKEN_GATEWAY, admin_port=9903, environment=environment(world))
    client = world.client(DESK, proxy=BROKEN_GATEWAY)
    with made.start(ready=False):
        for good in (policy(folder), policy(folder, environment="rig-again")):
            made.write_policy(good)
            wait_for("a good policy is in force", lambda: made.admin("/readyz")[0] == 200, seconds=3)
            assert_open(world, client)
            if good["environment"] == "rig":
                yield made
