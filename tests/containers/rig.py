"""What tests with containers share: images that are built, and an environment that is made by hand, without Pulumi."""

import io
import os
import subprocess
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import docker

from components.base_image import pinned
from components.models.environment import DeclaredEnvironment, Packages
from components.models.errors import validate
from components.models.session import Session
from components.plans.docker import (
    Attachment,
    ContainerPlan,
    SessionNetwork,
    anchor_container,
    gateway_container,
    writer_container,
)
from components.plans.docker.containers import INCOMING
from components.plans.egress import canonical, egress_policy, policy_hash
from components.plans.image import ImagePlan, fence_image, gateway_image, session_image
from components.plans.network import GATEWAY_PORT
from tests.deployment import BASE

IMAGES = Path(__file__).resolve().parents[2] / "images"
PLATFORM = "linux/amd64"
ENVIRONMENT = "api-client"


def built(plan: ImagePlan) -> str:
    """Build an image, or find that it is there; its name."""
    name = f"agent-environments-test/{plan.labels['org.opencontainers.image.title'].split()[-1]}:{plan.tag}"
    labels = [f"--label={key}={value}" for key, value in plan.labels.items()]
    done = subprocess.run(
        ["docker", "build", "--quiet", "--tag", name, "--file", "-", *labels, str(IMAGES / plan.context)],
        input=plan.dockerfile,
        env={**os.environ, "DOCKER_BUILDKIT": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, f"docker build ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return name


def until(true: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def make(client: docker.DockerClient, made: ExitStack, plan: ContainerPlan, *, start: bool = True) -> Any:
    """The container of a plan, until `made` ends."""
    api: Any = client.api
    container = client.containers.get(api.create_container_from_config(plan.engine_config(), plan.name)["Id"])
    made.callback(container.remove, force=True, v=True)
    if start:
        container.start()
    return container


def network(client: docker.DockerClient, made: ExitStack, name: str, subnet: IPv4Network) -> Any:
    """A network of this range, until `made` ends."""
    pool = docker.types.IPAMPool(subnet=str(subnet))
    # Internal, all of them: nothing of a rig leaves the machine.
    created = client.networks.create(name, internal=True, ipam=docker.types.IPAMConfig(pool_configs=[pool]))
    made.callback(created.remove)
    return created


def environment(
    client: docker.DockerClient,
    made: ExitStack,
    *,
    name: str,
    range_: IPv4Network,
    sessions: Sequence[Mapping[str, Any]],
    labels: Mapping[str, str],
) -> dict[str, Any]:
    """A limited environment with a gateway, until `made` ends; its sessions are started by hand.

    Args:
        client: The engine.
        made: Whose end is the rig's.
        name: Of the stack, and what all names begin with.
        range_: Of its networks; the first /29 is the gateway's own, `NAME-egress`, where allowed.test may lie.
        sessions: Declared ones.
        labels: What the stack says of itself on all that runs in the environment.

    Returns:
        What a stack would say of it.
    """
    base = pinned(BASE)
    images = {
        "session": built(session_image(Packages(), base=base, platform=PLATFORM, context_hash="test")),
        "fence": built(fence_image(base=base, platform=PLATFORM, context_hash="test")),
        "gateway": built(gateway_image(base=base, platform=PLATFORM, context_hash="test")),
    }
    addresses = SessionNetwork(next(iter(range_.subnets(new_prefix=29))))
    egress = network(client, made, f"{name}-egress", addresses.subnet)
    networking = {"type": "limited", "allowed_hosts": ["allowed.test"]}
    wanted = {"name": ENVIRONMENT, "config": {"type": "cloud", "networking": networking}}
    declared = validate(DeclaredEnvironment, wanted)
    allowed = {"allowed.test": addresses.subnet}
    policy = egress_policy(declared, [validate(Session, dict(one)) for one in sessions], allowed).to_json()
    for kind in ("policy", "state"):
        made.callback(client.volumes.create(f"{name}-{kind}").remove)
    put_policy(client, images["gateway"], name, policy)
    anchor = anchor_container(
        name=f"{name}-anchor",
        image=images["fence"],
        range_=range_,
        egress=addresses,
        networks=[Attachment(egress.name, addresses.gateway)],
        resolvers=(),
        labels={},
    )
    make(client, made, anchor)
    plan = gateway_container(
        name=f"{name}-gateway",
        image=images["gateway"],
        anchor=anchor.name,
        policy_volume=f"{name}-policy",
        state_volume=f"{name}-state",
        secrets={},
        labels={},
    )
    gateway = make(client, made, plan)
    until(lambda: gateway.exec_run(["python3", "-m", "egress_gateway", "ready"]).exit_code == 0)
    return {
        "environments": {
            ENVIRONMENT: {
                "runtime": "docker",
                "networking": "limited",
                "environment": declared.to_wire(),
                "egress_policy": policy,
                "policy_hash": policy_hash(policy),
                "images": images,
                "gateway": {"container": plan.name, "anchor": anchor.name, "port": GATEWAY_PORT},
                "range": str(range_),
                "labels": dict(labels),
            }
        },
        "sessions": {
            one["name"]: {
                "runtime": "docker",
                "pattern": one["pattern"],
                "environment": ENVIRONMENT,
                "session": one,
                "image": images["session"],
            }
            for one in sessions
        },
    }


def put_policy(client: docker.DockerClient, image: str, name: str, document: Mapping[str, Any]) -> None:
    """Put a policy into the volume of the gateway of `name`, which takes it into force."""
    with ExitStack() as made:
        plan = writer_container(name=f"{name}-writer", image=image, policy_volume=f"{name}-policy", labels={})
        writer = make(client, made, plan, start=False)
        archive, content = io.BytesIO(), canonical(document).encode()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo(INCOMING.lstrip("/"))
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        writer.put_archive("/", archive.getvalue())
        writer.start()
        assert writer.wait()["StatusCode"] == 0, writer.logs()
