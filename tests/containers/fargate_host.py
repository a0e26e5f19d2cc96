"""Fargate on this machine: tasks of the emulated ECS are containers, and the state bucket is an https server.

`operate` starts and watches runs as it does on AWS. ECS, its logs and S3 are moto's; beneath them a Docker engine runs
the container of a task as its definition and its overrides say, with what Fargate does by itself: volumes that take
the owner of the image's folder, and no way to the bucket but its own name.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Any

import boto3
from docker import DockerClient
from docker.models.containers import Container
from docker.types import Mount
from egress_gateway.credentials import Agent
from egress_gateway.ecs import agents_of
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from components.plans.task import CONTAINER, SCRATCH
from offline.model_api.authority import Authority
from operate.fargate_client import Clients, clients

REGION = "eu-west-1"
CLUSTER, GROUP = "agents", "/t/environment"
_POLL_SECONDS = 0.2
_STOP_SECONDS = 120


@contextmanager
def bucket_server(address: str, bucket: str, authority: Authority, folder: Path) -> Iterator[str]:
    """The emulated S3 of this process, by the name and with the TLS that a presigned address has.

    Args:
        address: Of this machine, where containers reach it.
        bucket: Whose name it answers to.
        authority: Issues its certificate.
        folder: For files.

    Yields:
        The name.
    """
    host = f"{bucket}.s3.{REGION}.amazonaws.com"
    issued = authority.issue(host)
    (folder / "bucket.pem").write_bytes(issued.certificate)
    (folder / "bucket.key").write_bytes(issued.key)
    tls = SSLContext(PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "bucket.pem", folder / "bucket.key")
    server = make_server(address, 443, DomainDispatcherApplication(create_backend_app), threaded=True, ssl_context=tls)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class FargateHost:
    """The emulated ECS with a Docker engine beneath it; inside `mock_aws`.

    Attributes:
        engine: Runs the containers.
        network: Name of the network of sessions.
        subnet: Its addresses; the first is this machine's.
        addresses: Session -> the address of its tasks, one at a time.
        bucket_host: Name that the bucket answers to at this machine's address.
        labels: Of the containers.
        admit: Tells the gateway of a task whose agents are told apart: session, address, agents.
        asked: What `RunTask` was told.
    """

    engine: DockerClient
    network: str
    subnet: IPv4Network
    addresses: Mapping[str, IPv4Address]
    bucket_host: str
    labels: Mapping[str, str]
    admit: Callable[[str, IPv4Address, Sequence[Agent]], None]
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._clients = clients(REGION)
        self._ecs, self._logs = self._clients.ecs, self._clients.logs
        self._containers: dict[str, Container] = {}
        self._over: set[str] = set()
        ec2: Any = boto3.client("ec2", region_name=REGION)
        vpc = ec2.create_vpc(CidrBlock="10.64.0.0/20")["Vpc"]["VpcId"]
        # Without it the emulator's network interfaces have no name, and its tasks want one.
        ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
        self.vpc_subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.64.0.0/22")["Subnet"]["SubnetId"]
        self.group = ec2.create_security_group(GroupName="s", Description="s", VpcId=vpc)["GroupId"]
        self._ecs.create_cluster(clusterName=CLUSTER)
        self._logs.create_log_group(logGroupName=GROUP)
        self._run, self._describe, self._stop = self._ecs.run_task, self._ecs.describe_tasks, self._ecs.stop_task
        self._ecs.run_task, self._ecs.describe_tasks = self._run_task, self._describe_tasks
        self._ecs.stop_task = self._stop_task

    def clients(self) -> Clients:
        """How it is asked."""
        return replace(self._clients, pause=lambda seconds: time.sleep(min(seconds, _POLL_SECONDS)))

    def define(self, family: str, container: Mapping[str, Any]) -> str:
        """Register a task definition with this one container; its ARN."""
        answer = self._ecs.register_task_definition(
            family=family,
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="1024",
            memory="2048",
            volumes=[{"name": volume} for volume in SCRATCH],
            containerDefinitions=[dict(container)],
        )
        return str(answer["taskDefinition"]["taskDefinitionArn"])

    def container(self, task: str) -> Container:
        """The container of a task, by its id."""
        return next(one for arn, one in self._containers.items() if arn.endswith(f"/{task}"))

    def close(self) -> None:
        """Remove every container with its volumes."""
        for container in self._containers.values():
            container.remove(force=True, v=True)

    def _run_task(self, **arguments: Any) -> Any:
        self.asked.append(arguments)
        answer = self._run(**arguments)
        (task,) = answer["tasks"]
        told = self._ecs.describe_task_definition(taskDefinition=arguments["taskDefinition"])["taskDefinition"]
        tags = {pair["key"]: pair["value"] for pair in arguments["tags"]}
        session = tags["agentenv:session"]
        address = self.addresses[session]
        if agents := agents_of(tags):
            self.admit(session, address, agents)
        self._containers[task["taskArn"]] = self._started(
            told["containerDefinitions"][0], arguments["overrides"], address
        )
        return answer

    def _started(self, defined: Mapping[str, Any], overrides: Mapping[str, Any], address: IPv4Address) -> Container:
        (over,) = overrides["containerOverrides"]
        assert defined["name"] == over["name"] == CONTAINER
        linux = defined["linuxParameters"]
        container = self.engine.containers.create(
            # An image that was never pushed has no digest but its id.
            defined["image"].partition("@")[2],
            over.get("command") or defined.get("command"),
            user=defined["user"],
            environment=_variables(defined) | _variables(over),
            cap_drop=linux["capabilities"]["drop"],
            init=linux["initProcessEnabled"],
            privileged=defined["privileged"],
            read_only=defined["readonlyRootFilesystem"],
            mounts=[
                Mount(point["containerPath"], None, type="volume", read_only=point["readOnly"])
                for point in defined["mountPoints"]
            ],
            mem_limit=f"{over['memory']}m",
            network=self.network,
            extra_hosts={self.bucket_host: str(self.subnet[1])},
            labels=dict(self.labels),
        )
        network = self.engine.networks.get(self.network)
        network.disconnect(container)
        network.connect(container, ipv4_address=str(address))
        container.start()
        return container

    def _describe_tasks(self, **arguments: Any) -> Any:
        for arn in self._containers.keys() - self._over:
            container = self._containers[arn]
            container.reload()
            if container.status == "exited":
                self._over.add(arn)
                self._tell(arn, container)
                self._stop(cluster=CLUSTER, task=arn, reason="Essential container in task exited")
        found = self._describe(**arguments)
        for task in found["tasks"]:
            # The emulator has tasks end by themselves, a step at each look.
            over = task["taskArn"] in self._over
            code = {"exitCode": self._containers[task["taskArn"]].attrs["State"]["ExitCode"]} if over else {}
            task |= {"lastStatus": "STOPPED" if over else "RUNNING", "containers": [{"name": CONTAINER, **code}]}
        return found

    def _stop_task(self, *, cluster: str, task: str, reason: str) -> Any:
        arn = next(arn for arn in self._containers if arn.endswith(task))
        self._containers[arn].stop(timeout=_STOP_SECONDS)
        return self._describe_tasks(cluster=cluster, tasks=[arn])

    def _tell(self, arn: str, container: Container) -> None:
        stream = f"{CONTAINER}/{CONTAINER}/{arn.rpartition('/')[2]}"
        self._logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
        now = int(time.time() * 1000)
        lines = [{"timestamp": now, "message": line} for line in container.logs().decode().splitlines() if line]
        self._logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=lines)


def _variables(container: Mapping[str, Any]) -> dict[str, str]:
    return {pair["name"]: pair["value"] for pair in container.get("environment", ())}


def events(container: Container) -> list[dict[str, Any]]:
    """What a runner has written so far."""
    lines = container.logs(stderr=False).decode().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]
