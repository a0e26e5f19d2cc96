"""Who is asking: what the policy says, what was admitted, what a directory knows."""

import hashlib
import json
from ipaddress import ip_network
from pathlib import Path

import pytest
from egress_gateway.credentials import Agent, Shown
from egress_gateway.denial import Denied
from egress_gateway.identity import Identities, NotAdmitted
from egress_gateway.policy import Identity

from tests.unit.gateway.rig import run


class Tasks:
    """A directory with one session."""

    def __init__(self) -> None:
        agent = Agent("writer", hashlib.sha256(b"secret").hexdigest())
        self.sessions = {
            "10.9.0.1": Identity("task", ip_network("10.9.0.1")),
            "10.9.0.3": Identity("pair", ip_network("10.9.0.3"), agents=(agent,)),
        }

    async def session_at(self, source: str) -> Identity | None:
        return self.sessions.get(source)

    def known(self, source: str) -> Identity | None:
        return self.sessions.get(source)


def session(identities: Identities, source: str) -> str | None:
    async def work() -> str | None:
        try:
            return (await identities.identity(source, None)).session
        except Denied:
            return None

    return run(work())


def test_what_was_admitted_is_known_at_once_and_after_a_restart(tmp_path: Path) -> None:
    identities = Identities(tmp_path / "state")
    assert session(identities, "10.0.0.3") is None
    identities.admit("run-1", ip_network("10.0.0.0/29"))
    for found in (identities, Identities(tmp_path / "state")):
        assert session(found, "10.0.0.3") == "run-1"
        assert session(found, "10.0.0.8") is None
        assert found.still("run-1", "10.0.0.3")
        assert not found.still("run-2", "10.0.0.3")


def test_admitting_twice_is_admitting_once(tmp_path: Path) -> None:
    identities = Identities(tmp_path)
    for _ in range(2):
        identities.admit("run-1", ip_network("10.0.0.0/29"))
    assert len(identities.all()) == 1


def test_what_was_dismissed_is_unknown_at_once_and_after_a_restart(tmp_path: Path) -> None:
    identities = Identities(tmp_path)
    identities.admit("run-1", ip_network("10.0.0.0/29"))
    assert session(identities, "10.0.0.3") == "run-1"
    assert not identities.dismiss(ip_network("10.0.0.0/30"))
    assert identities.dismiss(ip_network("10.0.0.0/29"))
    for found in (identities, Identities(tmp_path)):
        assert session(found, "10.0.0.3") is None


@pytest.mark.parametrize("network", ["10.0.0.0/29", "10.0.0.0/8", "10.0.0.4/32"])
def test_a_network_that_is_anothers_is_not_admitted(tmp_path: Path, network: str) -> None:
    identities = Identities(tmp_path)
    identities.declare([Identity("service", ip_network("10.0.0.0/29"))])
    with pytest.raises(NotAdmitted, match="service"):
        identities.admit("run-1", ip_network(network))
    assert session(identities, "10.0.0.3") == "service"
    identities.admit("service", ip_network(network))


def test_the_policy_goes_before_what_was_admitted(tmp_path: Path) -> None:
    identities = Identities(tmp_path)
    identities.admit("run-1", ip_network("10.0.0.0/29"))
    identities.declare([Identity("service", ip_network("10.0.0.0/30"))])
    assert session(identities, "10.0.0.3") == "service"
    assert session(identities, "10.0.0.5") == "run-1"
    identities.declare([])
    assert session(identities, "10.0.0.3") == "run-1"


def test_a_directory_is_asked_about_the_others(tmp_path: Path) -> None:
    tasks = Tasks()
    identities = Identities(tmp_path, tasks)
    assert session(identities, "10.9.0.1") == "task"
    assert session(identities, "10.9.0.2") is None
    assert identities.still("task", "10.9.0.1")
    tasks.sessions.clear()
    assert not identities.still("task", "10.9.0.1")


def test_agents_that_share_a_task_each_show_a_token(tmp_path: Path) -> None:
    identities = Identities(tmp_path, Tasks())
    pair = run(identities.identity("10.9.0.3", None))
    assert pair.agent(Shown("writer", "secret")) == "writer"
    for shown in (Shown("writer", "guessed"), Shown("checker", "secret"), Shown()):
        with pytest.raises(Denied, match="unknown-agent"):
            pair.agent(shown)
    assert identities.still("pair", "10.9.0.3", "writer")
    assert not identities.still("pair", "10.9.0.3")
    assert not identities.still("pair", "10.9.0.3", "checker")


def test_the_file_holds_no_more_than_names_and_networks(tmp_path: Path) -> None:
    Identities(tmp_path).admit("run-1", ip_network("10.0.0.0/29"))
    assert json.loads((tmp_path / "identities.json").read_text()) == [{"session": "run-1", "source": "10.0.0.0/29"}]
