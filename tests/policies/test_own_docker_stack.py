"""The project's own stack on a Docker host passes its own pack; less a part of its fence, it does not."""

import asyncio
from dataclasses import replace
from typing import Any

import pulumi
import pytest

from components.docker import Docker, runtime
from components.docker.engine import Engine
from components.environment import Environment
from components.models.session import Architecture
from components.models.stack import Stack
from components.session import Session
from policies.docker_host import CONTAINER, NETWORK, OBJECTS, VOLUME
from tests.policies.judging import Node
from tests.policies.own_stack import idle, recorded, unknowns, violations

DESK_NETWORK = "flow-data-d125db60_desk"
DIGEST = "sha256:" + "0d" * 32
AGENT = {"model": "sonnet", "max_turns": 9}
ENGINE = Engine(
    major=29, runtimes={"runc": ()}, cpus=4, memory_bytes=2**34, architecture=Architecture.X86_64, local=True
)


def _service(name: str, environment: str, port: int, **fields: Any) -> dict[str, Any]:
    base = {"name": name, "environment": environment, "pattern": "long_running", "agent": AGENT, "ports": [port]}
    return {key: value for key, value in (base | {"token_sha256": "5e" * 32} | fields).items() if value is not None}


FULL = Stack.parse(
    {
        "team": "t",
        "runtime": "docker",
        "environments": [
            {
                "name": "Flow data",
                "config": {"type": "cloud", "networking": {"type": "limited", "allowed_hosts": ["api.example.com"]}},
            },
            {"name": "open", "config": {"type": "cloud", "networking": {"type": "unrestricted"}}},
        ],
        "sessions": [
            _service(
                "desk",
                "Flow data",
                8080,
                secrets=[
                    {"name": "CRM", "source": "file:/etc/agentenv/crm"},
                    {
                        "name": "ANTHROPIC_API_KEY",
                        "source": "file:/etc/agentenv/anthropic",
                        "inject": {"origin": "https://api.anthropic.com", "header": "x-api-key"},
                    },
                ],
            ),
            _service("second", "Flow data", 8081, idle_timeout="10m"),
            _service(
                "pair",
                "Flow data",
                8083,
                agent=None,
                agents=[AGENT | {"name": "reader"}, AGENT | {"name": "writer"}],
                ports=[8083, 8084],
            ),
            _service("wide", "open", 8082),
            {"name": "run", "environment": "open", "pattern": "ephemeral", "agent": AGENT},
        ],
        "docker": {"resolvers": ["9.9.9.9"]},
    }
)


class _Engine(pulumi.runtime.Mocks):
    """Answers as the engine would."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        return f"{args.name}-id", {**args.inputs, "imageId": DIGEST, "exitCode": 0, "containerLogs": ""}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:  # type: ignore[override]
        raise AssertionError(f"{args.token} is not asked")


def _declare(preview: bool) -> None:
    pulumi.runtime.set_mocks(_Engine(), stack="test", project="p", preview=preview)

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def program() -> None:
        host = Docker("agents", {"stack": FULL})
        for model in FULL.environments:
            sessions = FULL.sessions_of(model.name)
            environment = Environment(model.name, {"runtime": host, "environment": model, "sessions": sessions})
            for session in sessions:
                if session.is_service:
                    Session(session.name, {"environment": environment, "session": session})

    program()


def _recorded(preview: bool) -> list[Node]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "engine", lambda: ENGINE)
        patch.setattr(runtime, "pinned", lambda reference: f"{reference}@{DIGEST}")
        return recorded(patch, lambda: _declare(preview))


@pytest.fixture(scope="module")
def created() -> list[Node]:
    """The stack as `up` knows it."""
    # Made before the loop that each test is given, and after that of the one before was taken away.
    with asyncio.Runner() as runner:
        asyncio.set_event_loop(runner.get_loop())
        return _recorded(preview=False)


def _changed(
    nodes: list[Node], kind: str, name: str, relabel: dict[str, str] | None = None, **props: Any
) -> list[Node]:
    """The same, with other inputs or labels of one object."""
    (found,) = [node for node in nodes if node.type == kind and node.name.endswith(f"::{name}")]
    given = {pair["label"]: pair["value"] for pair in found.props["labels"]} | (relabel or {})
    labels = [{"label": key, "value": value} for key, value in given.items()]
    changed = replace(found, props=found.props | {"labels": labels} | props)
    return [changed if node is found else node for node in nodes]


@pytest.mark.parametrize("preview", [True, False], ids=["preview", "up"])
def test_violates_no_mandatory_rule(created: list[Node], preview: bool) -> None:
    nodes = _recorded(preview=True) if preview else created
    assert violations(nodes) == {}
    # That says something only where there was something to judge.
    assert {kind: sum(node.type == kind for node in nodes) for kind in OBJECTS} == {
        CONTAINER: 17,
        NETWORK: 9,
        VOLUME: 5,
    }
    assert idle(nodes, "aws:") <= {"required-tags", "docker-no-service-no-plugin"}
    assert preview or not unknowns(nodes)


def test_is_stopped_without_a_fence(created: list[Node]) -> None:
    without = [node for node in created if not node.name.endswith("::desk-fence")]
    assert len(without) == len(created) - 1
    assert set(violations(without)) == {"docker-namespace-is-own-fence"}


CHANGES: dict[str, tuple[str, str, dict[str, Any], set[str]]] = {
    "a fence without rules": (CONTAINER, "desk-fence", {"envs": []}, {"docker-fence-refuses-by-default"}),
    "a network with a way out": (NETWORK, DESK_NETWORK, {"internal": False}, {"docker-limited-network-internal"}),
    "a network that lies": (
        NETWORK,
        DESK_NETWORK,
        {"internal": False, "relabel": {"agentenv.networking": "unrestricted"}},
        {"docker-networking-agrees", "docker-namespace-is-own-fence"},
    ),
    "a session called a fence": (
        CONTAINER,
        "desk",
        {
            "user": "0:0",
            "capabilities": {"drops": ["ALL"], "adds": ["NET_ADMIN"]},
            "relabel": {"agentenv.role": "fence"},
        },
        {"docker-no-capabilities", "docker-not-root"},
    ),
    "a session that another's limit is spent on": (
        CONTAINER,
        "desk",
        {"user": "65534:10001"},
        {"docker-user-of-its-own"},
    ),
    "a gateway without a role": (
        CONTAINER,
        "open_gateway",
        {"relabel": {"agentenv.role": ""}},
        {
            "docker-labels",
            "docker-limits",
            "docker-namespace-is-own-fence",
            "docker-session-waits-for-fence",
            "docker-user-of-its-own",
            "docker-volume-is-own",
        },
    ),
    "several agents that gain more": (
        CONTAINER,
        "pair",
        {"capabilities": {"drops": ["ALL"], "adds": ["CAP_SETGID", "CAP_SETUID", "CAP_KILL"]}},
        {"docker-no-capabilities"},
    ),
    "several agents that run something else": (
        CONTAINER,
        "pair",
        {"command": ["sh", "-c", "id"]},
        {"docker-no-capabilities", "docker-not-root", "docker-user-of-its-own"},
    ),
    "a volume of somebody else": (
        VOLUME,
        "second-state",
        {"relabel": {"agentenv.session": "desk"}},
        {"docker-volume-is-own"},
    ),
    "a port on every address": (CONTAINER, "wide-fence", {"ports": [{"internal": 8082}]}, {"docker-ports-on-loopback"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_is_stopped_by_a_change(created: list[Node], change: str) -> None:
    kind, name, changes, rules = CHANGES[change]
    assert set(violations(_changed(created, kind, name, **changes))) == rules
