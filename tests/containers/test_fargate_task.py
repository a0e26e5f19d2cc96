"""What Fargate is told of a session, run by a Docker engine: the same image, task definition, overrides and documents.

`operate` starts the runs, as `agentenv start` does: what is emulated is ECS and S3, see `fargate_host`. The gateway is
the real one, and a stand-in plays the Messages API behind it.
"""

import io
import json
import secrets
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import boto3
import docker
import pytest
from docker import DockerClient
from docker.models.containers import Container
from egress_gateway.credentials import Agent
from moto import mock_aws

from components.base_image import pinned
from components.models.environment import DeclaredEnvironment, Packages
from components.models.errors import validate
from components.models.session import Session
from components.plans import task
from components.plans.egress import Identity, canonical, egress_policy, policy_hash
from components.plans.image import GATEWAY_POLICY, GATEWAY_UID, gateway_image, session_image
from components.plans.network import GATEWAY_PORT
from offline.model_api.authority import Authority
from offline.model_api.container import model_api
from operate.fargate_backend import FargateRuns
from operate.outputs import Outputs
from operate.runs import Order, RunInfo
from tests.containers.fargate_host import CLUSTER, GROUP, REGION, FargateHost, bucket_server, events
from tests.containers.rig import PLATFORM, built, network, until
from tests.containers.sessions.stage import KEYS, NO_KEY
from tests.deployment import BASE

pytestmark = pytest.mark.containers

NAME = "agentenv-test-fargate"
LABELS = {"agentenv.stack": NAME}
VPC, EGRESS = IPv4Network("10.235.0.0/24"), IPv4Network("10.235.1.0/24")
GATEWAY, BUCKET = "gw.t.internal", "agentenv-t-state"
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:model"
KEY_FILE = "/etc/model-key"
NOT_ITS_OWN = ("/workspace/planted", "/workspace/writer/planted", "/home/agent/writer/planted")
# What a program of a team's own finds, by the names of its variables.
OWN = """
import json, os
print(json.dumps({"event": "own", "variables": sorted(os.environ), "task": os.environ.get("AGENTENV_TASK")}))
"""


def session(name: str, pattern: str, **further: Any) -> Session:
    declared = {
        "name": name,
        "environment": "desk",
        "pattern": pattern,
        "secrets": [
            {
                "name": "ANTHROPIC_API_KEY",
                "source": SECRET,
                "inject": {"origin": "https://api.anthropic.com", "header": "x-api-key"},
            }
        ],
    }
    return validate(Session, declared | further)


def agent(name: str) -> dict[str, Any]:
    return {"name": name, "model": "sonnet", "max_turns": 10}


SESSIONS = [
    session("worker", "ephemeral", agent=agent("agent"), variables={"TONE": "kind"}),
    session("notebook", "hybrid", agent=agent("agent")),
    session("pair", "single_container", agents=[agent("writer"), agent("checker")], shared_folder=True),
    session("own", "ephemeral", command=["/usr/bin/python3", "-c", OWN]),
]


@dataclass
class Desk:
    """A stack on Fargate.

    Attributes:
        host: Where its tasks run.
        runs: As `agentenv` has them.
        s3: The emulated S3.
        key: The model's, which the gateway holds.
        notes: What whoever starts runs was told.
    """

    host: FargateHost
    runs: FargateRuns
    s3: Any
    key: str
    notes: list[str]

    def ended(self, order: Order) -> tuple[RunInfo, dict[str, Any]]:
        """A run from its start to its end, and its result."""
        return self.finished(self.runs.start(order, quiet))

    def resumed(self, info: RunInfo, order: Order) -> tuple[RunInfo, dict[str, Any]]:
        """The same of a run that goes on with another's conversation."""
        return self.finished(self.runs.resume(info, order, quiet))

    def finished(self, started: RunInfo) -> tuple[RunInfo, dict[str, Any]]:
        """A run that has ended, and its result."""
        info = self.runs.wait(started, quiet)
        return info, dict(self.runs.result(info))

    def said(self, info: RunInfo, event: str) -> list[dict[str, Any]]:
        """Events of this name of a run, as its log has them."""
        lines = [json.loads(line) for line in self.runs.lines(info, follow=False) if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def results(self, info: RunInfo) -> list[str]:
        """What the agents' tools answered."""
        return [event["text"] for event in self.said(info, "tool_result")]

    def told(self) -> dict[str, str]:
        """Variables of the run that was started last, as its overrides have them."""
        (container,) = self.host.asked[-1]["overrides"]["containerOverrides"]
        return {pair["name"]: pair["value"] for pair in container["environment"]}


def quiet(_: str) -> None:
    """Nobody watches."""


def gateway(client: DockerClient, made: ExitStack, image: str, policy: dict[str, Any], key: str) -> Container:
    """The environment's gateway: it knows sessions by address, and has the model's key from a file, not from AWS."""
    document = canonical(policy).replace(SECRET, f"file:{KEY_FILE}")
    container: Container = client.containers.create(
        image, name=f"{NAME}-gateway", network=f"{NAME}-egress", cap_drop=["ALL"], labels=LABELS
    )
    made.callback(container.remove, force=True, v=True)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in ((f"{GATEWAY_POLICY}/policy.json", document), (KEY_FILE, key)):
            entry = tarfile.TarInfo(name.lstrip("/"))
            entry.size, entry.mode, entry.uid, entry.gid = len(content), 0o400, GATEWAY_UID, GATEWAY_UID
            tar.addfile(entry, io.BytesIO(content.encode()))
    container.put_archive("/", packed.getvalue())
    client.networks.get(f"{NAME}-vpc").connect(container, aliases=[GATEWAY])
    container.start()
    until(lambda: container.exec_run(["python3", "-m", "egress_gateway", "ready"]).exit_code == 0)
    return container


def admit(container: Container, session_name: str, address: IPv4Address, agents: Sequence[Agent]) -> None:
    """Tell the gateway of a task whose agents are told apart, as it would hear of it from ECS."""
    told = [part for one in agents for part in ("--agent", f"{one.name}={one.token_sha256}")]
    asked = ["python3", "-m", "egress_gateway", "admit", "--session", session_name, "--source", f"{address}/32", *told]
    assert container.exec_run(asked).exit_code == 0


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    base, authority, key = pinned(BASE), Authority.shared(), f"key-{secrets.token_hex(16)}"
    trusted = (authority.certificate.decode(),)
    images = {
        "session": built(
            session_image(Packages(), base=base, platform=PLATFORM, context_hash="test", authorities=trusted)
        ),
        "gateway": built(gateway_image(base=base, platform=PLATFORM, context_hash="test", authorities=trusted)),
    }
    environment = validate(
        DeclaredEnvironment, {"name": "desk", "config": {"type": "cloud", "networking": {"type": "limited"}}}
    )
    addresses = {one.name: VPC[16 + index] for index, one in enumerate(SESSIONS)}
    policy = egress_policy(environment, SESSIONS, {"api.anthropic.com": EGRESS})
    with ExitStack() as made:
        patch = made.enter_context(pytest.MonkeyPatch.context())
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        client = made.enter_context(closing(docker.from_env(timeout=120)))
        network(client, made, f"{NAME}-vpc", VPC)
        network(client, made, f"{NAME}-egress", EGRESS)
        # Sessions of several agents are known once their task is.
        identities = [Identity(one.name, (str(addresses[one.name]),)) for one in SESSIONS if not one.is_supervised]
        door = gateway(client, made, images["gateway"], policy.to_json(identities), key)
        made.enter_context(
            model_api(
                client,
                images["gateway"],
                [f"{NAME}-egress"],
                authority,
                name=f"{NAME}-model-api",
                labels=LABELS,
                expected_key=key,
            )
        )
        made.enter_context(mock_aws())
        bucket = made.enter_context(bucket_server(str(VPC[1]), BUCKET, authority, tmp_path_factory.mktemp("bucket")))
        s3: Any = boto3.client("s3", region_name=REGION)
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        host = FargateHost(client, f"{NAME}-vpc", VPC, addresses, bucket, LABELS, partial(admit, door))
        made.callback(host.close)
        # An image that was never pushed has no digest but its id.
        image = f"session@{client.images.get(images['session']).id}"
        outputs = Outputs.parse(
            {
                "environments": {
                    "desk": {
                        "runtime": "fargate",
                        "networking": "limited",
                        "environment": environment.to_wire(),
                        "egress_policy": policy.to_json(),
                        "policy_hash": policy_hash(policy.to_json()),
                        "cluster": CLUSTER,
                        "images": {"x86_64": image},
                        "subnets": [host.vpc_subnet],
                        "security_group": host.group,
                        "log_group": GROUP,
                        "gateway": f"{GATEWAY}:{GATEWAY_PORT}",
                        "state_bucket": BUCKET,
                    }
                },
                "sessions": {one.name: entry(host, environment, one, image) for one in SESSIONS},
            }
        )
        notes: list[str] = []
        yield Desk(host, FargateRuns(outputs, host.clients(), notes.append), s3, key, notes)


def entry(host: FargateHost, environment: DeclaredEnvironment, one: Session, image: str) -> dict[str, Any]:
    """What the outputs say of a session; its task definition is registered."""
    shape = task.shape(one)
    log = task.log_configuration(GROUP, REGION, "session")
    container = task.session_container(image, task.variables(environment, GATEWAY), shape, None, log, GATEWAY)
    return {
        "runtime": "fargate",
        "pattern": one.pattern,
        "environment": one.environment,
        "task_definition": host.define(f"t_{shape.key}", container),
        "overrides": task.overrides(one, GATEWAY),
    }


def test_an_agent_works_in_a_task_as_fargate_has_it(desk: Desk) -> None:
    steps = [
        "write greeting.txt 'Hello'",
        "bash 'id -u; pwd; cat greeting.txt; echo; echo $TONE $COLOUR; touch /usr/local/x; true'",
        "bash 'grep -E \"^Cap(Prm|Bnd)\" /proc/self/status'",
        f"bash '{KEYS}'",
        "say 'all done'",
    ]
    info, result = desk.ended(Order("worker", f"fake: {'; '.join(steps)}", env={"COLOUR": "blue"}))
    assert (info.exit_code, info.outcome, result["outcome"]) == (0, "success", "success"), result
    assert [one["text"] for one in result["agents"]] == ["all done"]
    assert result["run"] == info.id
    _, looked, capabilities, keys = desk.results(info)
    assert looked.split("\n")[:4] == ["10001", "/workspace", "Hello", "kind blue"]
    assert "Read-only file system" in looked
    assert set(capabilities.split()[1::2]) == {"0" * 16}
    # The stand-in takes one key alone, so the gateway has put it in; here nobody has it.
    assert keys == NO_KEY


def test_a_conversation_goes_on_in_a_fresh_task_with_history_and_files(desk: Desk) -> None:
    first, result = desk.ended(Order("notebook", "fake: write note.txt 'kept in the bucket'; say 'first answer'"))
    assert result["outcome"] == "success", result
    assert first.conversation == result["conversation"]
    (kept,) = desk.s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    assert kept["Key"] == f"state/desk/notebook/{first.conversation}/state.tar"
    assert [one.id for one in desk.runs.conversations()] == [first.conversation]

    second, resumed = desk.resumed(first, Order("notebook", "fake: bash 'pwd; cat note.txt'; echo"))
    assert (resumed["outcome"], resumed["conversation"]) == ("success", first.conversation), resumed
    assert desk.host.container(first.id).id != desk.host.container(second.id).id
    (agent,) = resumed["agents"]
    echoed = json.loads(agent["text"])
    assert echoed["answers"] == ["first answer"]
    assert echoed["tool_result"] == "/workspace\nkept in the bucket"
    assert len(desk.said(second, "state_loaded")) == 1
    desk.runs.forget(str(first.conversation))
    assert "Contents" not in desk.s3.list_objects_v2(Bucket=BUCKET)


def test_a_task_that_is_stopped_in_a_turn_has_saved_it(desk: Desk) -> None:
    started = desk.runs.start(Order("notebook", "fake: write half.txt 'half'; slow 600; say never"), quiet)
    container = desk.host.container(started.id)
    until(lambda: "tool_result" in [event["event"] for event in events(container)], 60)
    stopped = desk.runs.stop(started, quiet)
    assert (stopped.outcome, stopped.exit_code) == ("stopped", 143)
    again, _ = desk.resumed(stopped, Order("notebook", "fake: bash 'cat half.txt'; echo"))
    assert desk.results(again) == ["half"]
    desk.runs.forget(str(started.conversation))


def test_several_agents_each_have_a_user_and_an_answer_of_their_own(desk: Desk) -> None:
    prompts = {
        "writer": "fake: bash 'id -u; pwd; echo mine > mine.txt; umask'; say 'written'",
        "checker": f"fake: bash 'id -u; pwd; touch {' '.join(NOT_ITS_OWN)}; true'; say 'checked'",
    }
    info, result = desk.ended(Order("pair", prompts=prompts))
    assert (info.exit_code, result["outcome"]) == (0, "success"), result
    assert {one["name"]: one["text"] for one in result["agents"]} == {"writer": "written", "checker": "checked"}
    answered = {event["agent"]: event["text"] for event in desk.said(info, "tool_result")}
    assert answered["writer"].split()[:2] == ["10401", "/workspace/writer"]
    assert answered["checker"].split()[:2] == ["10402", "/workspace/checker"]
    assert answered["checker"].count("Permission denied") == len(NOT_ITS_OWN)


def test_a_task_that_is_too_long_for_ecs_is_read_from_the_bucket(desk: Desk) -> None:
    long = "x" * task.OVERRIDE_LIMIT
    info, result = desk.ended(Order("worker", f"fake: bash 'env | grep -c AGENTENV_TASK'; say 'read'\n{long}"))
    assert (result["outcome"], result["agents"][0]["text"]) == ("success", "read"), result
    told = desk.told()
    assert "AGENTENV_TASK" not in told
    assert told["AGENTENV_TASK_URL"].startswith(f"https://{desk.host.bucket_host}/tasks/")
    assert desk.results(info)[0].split()[-1] == "0"


def test_a_command_of_its_own_gets_a_long_task_by_its_address_alone(desk: Desk) -> None:
    short, _ = desk.ended(Order("own", "short"))
    (found,) = desk.said(short, "own")
    assert json.loads(found["task"])["prompt"] == "short"
    assert "AGENTENV_TASK_URL" not in found["variables"]
    long, _ = desk.ended(Order("own", "x" * task.OVERRIDE_LIMIT))
    (found,) = desk.said(long, "own")
    assert found["task"] is None
    assert "AGENTENV_TASK_URL" in found["variables"]
