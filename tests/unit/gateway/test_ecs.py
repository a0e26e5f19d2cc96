"""Sessions that are ECS tasks: told by address and tags."""

import asyncio
import hashlib
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from egress_gateway import ecs
from egress_gateway.credentials import Agent
from egress_gateway.ecs import EcsTasks
from egress_gateway.policy import Identity

from components.models.tags import agent_tags, tag_value
from tests.unit.gateway.rig import run


def task(address: str, session: str, environment: str = "e", status: str = "RUNNING") -> dict[str, Any]:
    return {
        "taskArn": f"arn:{address}",
        "lastStatus": status,
        "tags": [{"key": "agentenv:environment", "value": environment}, {"key": "agentenv:session", "value": session}],
        "attachments": [{"details": [{"name": "privateIPv4Address", "value": address}, {"name": "macAddress"}]}],
    }


def who(address: str, session: str, *agents: Agent) -> Identity:
    return Identity(session, ip_network(address), agents=agents)


class Cluster:
    """As much of ECS as the directory uses."""

    def __init__(self, *tasks: dict[str, Any]) -> None:
        self.tasks = [*tasks]
        self.looks = 0
        self.fails = False

    def get_paginator(self, operation: str) -> "Cluster":
        assert operation == "list_tasks"
        return self

    def paginate(self, *, cluster: str) -> Iterator[dict[str, Any]]:
        assert cluster == "cluster"
        self.looks += 1
        if self.fails:
            raise EndpointConnectionError(endpoint_url="x")
        arns = [one["taskArn"] for one in self.tasks]
        yield {"taskArns": arns[:70]}
        yield {"taskArns": arns[70:]}

    def describe_tasks(self, *, cluster: str, tasks: list[str], include: list[str]) -> dict[str, Any]:
        assert (cluster, include) == ("cluster", ["TAGS"])
        assert 1 <= len(tasks) <= 100
        return {"tasks": [one for one in self.tasks if one["taskArn"] in tasks]}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ecs, "LOOKUP_SECONDS", 0.1)
    monkeypatch.setattr(ecs, "REFRESH_SECONDS", 0.05)


def test_a_task_is_known_by_its_address_and_its_tags() -> None:
    cluster = Cluster(
        task("10.0.0.1", "desk"),
        task("10.0.0.2", "other", environment="another"),
        task("10.0.0.3", "gone", status="STOPPED"),
        {"taskArn": "arn:bare", "lastStatus": "RUNNING"},
        *(task(f"10.1.0.{number}", f"run-{number}") for number in range(150)),
    )
    tasks = EcsTasks("cluster", lambda: "e", cluster)

    async def work() -> None:
        assert tasks.known("10.0.0.1") is None
        assert await tasks.session_at("10.0.0.1") == who("10.0.0.1", "desk")
        assert tasks.known("10.0.0.1") == who("10.0.0.1", "desk")
        assert await tasks.session_at("10.1.0.149") == who("10.1.0.149", "run-149")
        assert cluster.looks == 1
        for address in ("10.0.0.2", "10.0.0.3"):
            assert await tasks.session_at(address) is None

    run(work())


def test_all_who_ask_at_a_time_share_one_look_and_looks_are_apart() -> None:
    cluster = Cluster()
    tasks = EcsTasks("cluster", lambda: "e", cluster)

    async def work() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(tasks.session_at(f"10.0.0.{number}") for number in range(50)))
        assert cluster.looks == 1
        before = loop.time()
        cluster.tasks.append(task("10.0.0.1", "desk"))
        assert await tasks.session_at("10.0.0.1") == who("10.0.0.1", "desk")
        assert loop.time() - before > 0.05
        assert cluster.looks == 2

    run(work())


def test_a_task_that_is_gone_is_said_to_be_gone() -> None:
    cluster = Cluster(task("10.0.0.1", "desk"))
    tasks = EcsTasks("cluster", lambda: "e", cluster)

    async def work() -> None:
        gone = asyncio.Event()
        watching = asyncio.get_running_loop().create_task(tasks.refresh(gone.set))
        await tasks.session_at("10.0.0.1")
        await asyncio.sleep(0.2)
        assert not gone.is_set()
        cluster.tasks = [task("10.0.0.1", "another")]
        await gone.wait()
        assert tasks.known("10.0.0.1") == who("10.0.0.1", "another")
        watching.cancel()

    run(work())


def test_while_ecs_does_not_answer_the_known_are_known_for_some_time(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(task("10.0.0.1", "desk"))
    tasks = EcsTasks("cluster", lambda: "e", cluster)

    async def work() -> None:
        await tasks.session_at("10.0.0.1")
        cluster.fails = True
        assert await tasks.session_at("10.0.0.2") is None
        assert tasks.known("10.0.0.1") == who("10.0.0.1", "desk")
        monkeypatch.setattr(ecs, "GRACE_SECONDS", 0.0)
        assert await tasks.session_at("10.0.0.2") is None
        assert tasks.known("10.0.0.1") is None

    run(work())


def test_without_a_policy_nobody_is_known() -> None:
    cluster = Cluster(task("10.0.0.1", "desk"))
    assert run(EcsTasks("cluster", lambda: None, cluster).session_at("10.0.0.1")) is None
    assert cluster.looks == 0


def test_an_environment_is_compared_as_its_name_stands_in_a_tag() -> None:
    name = "Data (EU)" + "x" * 300
    tasks = EcsTasks("cluster", lambda: name, Cluster(task("10.0.0.1", "desk", environment=tag_value(name))))
    assert run(tasks.session_at("10.0.0.1")) == who("10.0.0.1", "desk")


def test_the_agents_of_a_task_are_told_apart_by_what_its_tags_say() -> None:
    hashes = {f"agent-{number}": hashlib.sha256(bytes([number])).hexdigest() for number in range(20)}
    tags = agent_tags(hashes)
    assert all(len(value) <= 256 for value in tags.values())
    assert len(tags) <= 5
    shared = task("10.0.0.1", "pair")
    shared["tags"] += [{"key": key, "value": value} for key, value in tags.items()]
    agents = [Agent(name, digest) for name, digest in sorted(hashes.items())]
    tasks = EcsTasks("cluster", lambda: "e", Cluster(shared))
    assert run(tasks.session_at("10.0.0.1")) == who("10.0.0.1", "pair", *agents)


@pytest.mark.parametrize(
    "value", ["writer", "writer=", "writer=AAAA", "writer=" + "A" * 42, "=" + "A" * 43, "wri/ter=" + "A" * 43]
)
def test_a_task_whose_agents_cannot_be_told_is_nobodys(value: str) -> None:
    odd = task("10.0.0.1", "pair")
    odd["tags"].append({"key": "agentenv:agents:0", "value": value})
    cluster = Cluster(odd, task("10.0.0.2", "desk"))
    tasks = EcsTasks("cluster", lambda: "e", cluster)
    assert run(tasks.session_at("10.0.0.2")) == who("10.0.0.2", "desk")
    assert tasks.known("10.0.0.1") is None
