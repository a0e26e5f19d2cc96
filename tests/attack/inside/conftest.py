"""One stack on the Docker engine for the whole tier, sessions that run, and a container that nothing holds back."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import docker
import pytest
from docker import DockerClient
from docker.models.containers import Container
from docker.types import IPAMConfig, IPAMPool

from components.plans.docker import Attachment, ContainerPlan, SessionNetwork
from components.plans.docker.addresses import PREFIX
from components.plans.image import AGENT_UID, GATEWAY_UID
from operate.docker_runs import Launcher
from operate.outputs import DockerEnvironment, DockerSession
from tests.attack.inside.outside import ALLOWED_RANGE, CONTROL_NETWORK, HOST_PUBLIC, RANGE, RESOLVER, Outside
from tests.attack.inside.sessions import AGENT, Session
from tests.deployment import Deployment

SERVED_PORT, SERVICE_PORT = 9000, 18210
STACK = "attack-suite"
SMALL = {"cpu": 0.5, "memory_gib": 0.25, "disk_gib": 1}
CANARY = f"canary-{secrets.token_hex(16)}"
"""The secret that the gateway adds for the session `desk`; looked for everywhere else."""
BASE = os.environ.get("AGENT_ENVIRONMENTS_BASE_IMAGE", "debian:trixie-slim")


def declaration(secret: Path, *allowed: str) -> dict[str, Any]:
    """The stack file: two environments, and four sessions in them."""

    def session(name: str, environment: str, pattern: str = "ephemeral", **further: Any) -> dict[str, Any]:
        agent = {"model": "sonnet", "max_turns": 1}
        if environment == "limited":
            agent |= {"mcp_servers": [{"name": "own", "url": f"https://{name}-mcp.test/"}]}
        return {
            "name": name,
            "environment": environment,
            "pattern": pattern,
            "command": [*AGENT, str(SERVED_PORT)],
            "agent": agent,
            "resources": SMALL,
            **further,
        }

    inject = {"origin": "https://model.test", "header": "x-api-key"}
    return {
        "team": "attack",
        "runtime": "docker",
        "base_image": BASE,
        "docker": {"range": str(RANGE), "resolvers": [RESOLVER], "host_addresses": [HOST_PUBLIC]},
        "private_hosts": dict.fromkeys([*allowed, "model.test", "desk-mcp.test", "lab-mcp.test"], ALLOWED_RANGE),
        "environments": [
            {
                "name": "limited",
                "config": {
                    "type": "cloud",
                    "networking": {"type": "limited", "allowed_hosts": [*allowed], "allow_mcp_servers": True},
                },
            },
            {"name": "open", "config": {"type": "cloud", "networking": {"type": "unrestricted"}}},
        ],
        "sessions": [
            session("desk", "limited", secrets=[{"name": "MODEL", "source": f"file:{secret}", "inject": inject}]),
            session("lab", "limited"),
            session(
                "shop",
                "limited",
                "long_running",
                command=[*AGENT, str(SERVED_PORT), str(SERVICE_PORT)],
                ports=[SERVICE_PORT],
            ),
            session("free", "open", secrets=[{"name": "MODEL", "source": f"file:{secret}", "inject": inject}]),
        ],
    }


@dataclass
class Rig:
    """All of it.

    Attributes:
        client: The Docker engine.
        outside: What lies beyond the host.
        deployment: The stack.
        secret: File of the host with CANARY.
    """

    client: DockerClient
    outside: Outside
    deployment: Deployment
    secret: Path

    def environment(self, name: str) -> DockerEnvironment:
        """What the stack says of an environment."""
        found = self.deployment.outputs.environment(name)
        assert isinstance(found, DockerEnvironment)
        return found

    def session(self, name: str) -> DockerSession:
        """What the stack says of a session."""
        found = self.deployment.outputs.session(name)
        assert isinstance(found, DockerSession)
        return found

    def gateway(self, environment: str) -> Container:
        """Container of the gateway."""
        return self.client.containers.get(self.environment(environment).gateway.container)

    def anchor(self, environment: str) -> Container:
        """Container that owns the gateway's network namespace."""
        return self.client.containers.get(self.environment(environment).gateway.anchor)

    def trust_authority(self, environment: str) -> None:
        """Have a running gateway trust the rig's authority, as it would one that is in the stack's base image."""
        script = (
            "mount -t tmpfs -o mode=755 none /etc/ssl/certs && cat > /etc/ssl/certs/rig.pem "
            "&& openssl rehash /etc/ssl/certs"
        )
        pid = self.gateway(environment).attrs["State"]["Pid"]
        subprocess.run(
            ["nsenter", "--target", str(pid), "--mount", "--", "sh", "-c", script],
            input=self.outside.authority,
            text=True,
            check=True,
            capture_output=True,
            timeout=30,
        )


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The outside first, so that nothing of the stack is ever without it."""
    folder = tmp_path_factory.mktemp("inside")
    secret = folder / "model-key"
    secret.write_text(CANARY + "\n")
    os.chown(secret, GATEWAY_UID, GATEWAY_UID)
    secret.chmod(0o400)
    client = docker.from_env(timeout=120)
    with ExitStack() as opened:
        opened.callback(client.close)
        outside = opened.enter_context(Outside())
        deployment = opened.enter_context(Deployment(folder, STACK))
        deployment.up(declaration(secret, "allowed.test", "closing.test"))
        yield Rig(client, outside, deployment, secret)


def started(rig: Rig, opened: ExitStack, name: str) -> Session:
    """A run of a declared session, by the product's own launcher."""
    declared = rig.session(name)
    launcher = Launcher(rig.client, declared.environment, rig.environment(declared.environment))
    run = opened.enter_context(launcher.run(declared.session, declared.image))
    fence = rig.client.containers.get(str(run.container.name).removesuffix("-session") + "-fence")
    return Session(name, run.container, fence, run.network).wait()


def run_fixture(name: str) -> Any:
    """A fixture: a run of this session, for the whole tier."""

    @pytest.fixture(scope="session", name=name)
    def made(rig: Rig) -> Iterator[Session]:
        with ExitStack() as opened:
            yield started(rig, opened, name)

    return made


desk, lab, free = run_fixture("desk"), run_fixture("lab"), run_fixture("free")


@pytest.fixture(scope="session")
def shop(rig: Rig) -> Session:
    """The limited service."""
    declared = rig.session("shop")
    container, fence = (rig.client.containers.get(str(name)) for name in (declared.container, declared.fence))
    network = SessionNetwork(IPv4Network(f"{declared.address}/{PREFIX}", strict=False))
    return Session("shop", container, fence, network).wait()


@pytest.fixture(scope="session")
def control(rig: Rig) -> Iterator[Session]:
    """A container on an ordinary network with no fence: what it reaches, a session would too, were it not held back."""
    network = SessionNetwork(CONTROL_NETWORK)
    name = f"{STACK}-control"
    labels = {"agentenv.stack": STACK}
    pool = IPAMPool(subnet=str(network.subnet), gateway=str(network.bridge))
    with ExitStack() as opened:
        made = rig.client.networks.create(name, ipam=IPAMConfig(pool_configs=[pool]), labels=labels)
        opened.callback(made.remove)
        plan = ContainerPlan(
            name=name,
            image=rig.environment("limited").images.session,
            user=f"{AGENT_UID}:{AGENT_UID}",
            labels=labels,
            memory_bytes=256 * 2**20,
            cpus=0.5,
            command=(*AGENT, str(SERVED_PORT)),
            tmpfs={"/tmp": "mode=1777"},
            networks=(Attachment(name, network.session),),
            dns=(IPv4Address(RESOLVER),),
        )
        api: Any = rig.client.api
        container = rig.client.containers.get(api.create_container_from_config(plan.engine_config(), name)["Id"])
        opened.callback(container.remove, force=True, v=True)
        container.start()
        yield Session("control", container, container, network).wait()
