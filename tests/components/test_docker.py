"""What a stack on a Docker host registers."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pulumi
import pytest
from requests.exceptions import ReadTimeout

from components import base_image, docker
from components.docker.engine import Engine, beyond_blocklist, host_addresses, host_resolvers
from components.docker.engine import engine as ask_engine
from components.docker.gateway import in_force
from components.environment import Environment
from components.models.errors import InvalidInput
from components.models.session import Architecture
from components.models.stack import Network, Stack
from components.plans.egress import policy_hash
from components.session import Session
from tests.components.conftest import DIGEST, TOKEN_SHA256, Recorder, Registered
from tests.components.test_every_field import EVERYTHING, leaves
from tests.unit.certificates import authority

HERE = Engine(
    major=28,
    runtimes={"runc": (), "runsc": ("--network=host",)},
    cpus=8,
    memory_bytes=32 * 2**30,
    architecture=Architecture.X86_64,
    local=True,
)
OPEN = {"name": "open", "config": {"type": "cloud", "networking": {"type": "unrestricted"}}}
SHUT = {
    "name": "shut",
    "config": {
        "type": "cloud",
        "networking": {"type": "limited", "allowed_hosts": ["api.example.com"], "allow_mcp_servers": True},
    },
}


def session(name: str, environment: str, **fields: Any) -> dict[str, Any]:
    base = {
        "name": name,
        "environment": environment,
        "pattern": "ephemeral",
        "agent": {"model": "sonnet", "max_turns": 9},
    }
    return base | fields


def service(name: str, environment: str, port: int, **fields: Any) -> dict[str, Any]:
    return session(
        name, environment, **{"pattern": "long_running", "ports": [port], "token_sha256": TOKEN_SHA256} | fields
    )


def supervised(name: str, environment: str, port: int, **fields: Any) -> dict[str, Any]:
    """Two agents that stay up in one container."""
    agents = [{"name": one, "model": "sonnet", "max_turns": 9} for one in ("reader", "writer")]
    made = service(name, environment, port, **{"ports": [port, port + 1], "agents": agents} | fields)
    return {key: value for key, value in made.items() if key != "agent"}


def stack(*environments: dict[str, Any], sessions: tuple[dict[str, Any], ...] = (), **fields: Any) -> Stack:
    return Stack.parse({"team": "t", "environments": environments, "sessions": sessions} | fields)


FULL_SESSIONS = (session("a", "open"), session("b", "shut"), service("c", "shut", 8080), service("d", "open", 8081))
FULL = stack(OPEN, SHUT, sessions=FULL_SESSIONS)


@dataclass
class DockerRecorder(Recorder):
    """Answers as the Docker provider would."""

    writer_ends_with: int = 0

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        identity, outputs = super().new_resource(args)
        computed = {"imageId": DIGEST, "exitCode": self.writer_ends_with, "containerLogs": "hosts[0]: no such host\n"}
        return identity, {**outputs, **computed}

    def container(self, name: str) -> dict[str, Any]:
        return next(one.inputs for one in self.of("container:Container") if one.name == name)

    def keys(self) -> list[tuple[str, str]]:
        return sorted((one.type, one.name) for one in self.seen)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> DockerRecorder:
    on_this_host(monkeypatch, HERE)
    return DockerRecorder()


def on_this_host(monkeypatch: pytest.MonkeyPatch, engine: Engine) -> None:
    monkeypatch.setattr(base_image, "pinned", lambda reference: f"{reference}@{DIGEST}")
    monkeypatch.setattr(docker.runtime, "pinned", base_image.pinned)
    monkeypatch.setattr(docker.runtime, "engine", lambda: engine)
    monkeypatch.setattr(docker.runtime, "host_resolvers", lambda: (IPv4Address("198.51.100.53"),))
    addresses = ("127.0.0.1", "10.1.2.3", "198.51.100.7", "::1", "2001:db8::7")
    monkeypatch.setattr(docker.runtime, "host_addresses", lambda: tuple(map(ip_address, addresses)))


def run(recorder: DockerRecorder, declared: Stack, *, preview: bool = False) -> DockerRecorder:
    """Register everything of `declared`, as the stack program does; outputs are resolved."""
    program(recorder, declared, preview=preview)
    return recorder


def program(recorder: DockerRecorder, declared: Stack, *, preview: bool = False) -> dict[str, Any]:
    """The same; returns the details and catalogues by environment, and the details of services."""
    pulumi.runtime.set_mocks(recorder, stack="test", project="p", preview=preview)
    found: dict[str, Any] = {}

    def keep(name: str, output: pulumi.Output[Any]) -> pulumi.Output[None]:
        return output.apply(lambda known: found.update({name: known}))

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def declare() -> pulumi.Output[Any]:
        runtime = docker.Docker("agents", {"stack": declared})
        waiting = []
        for model in declared.environments:
            sessions = declared.sessions_of(model.name)
            environment = Environment(model.name, {"runtime": runtime, "environment": model, "sessions": sessions})
            waiting += [keep(model.name, environment.details), keep(f"{model.name}/all", environment.catalogue)]
            for one in sessions:
                if one.is_service:
                    made = Session(one.name, {"environment": environment, "session": one})
                    waiting.append(keep(f"/{one.name}", made.details))
        return pulumi.Output.all(*waiting)

    declare()
    return found


@pytest.mark.parametrize("preview", [True, False])
def test_names_are_unique(recorder: DockerRecorder, preview: bool) -> None:
    keys = run(recorder, FULL, preview=preview).keys()
    assert len(keys) == len(set(keys))
    assert len(keys) > 30


def test_similar_names_of_two_environments_do_not_meet(recorder: DockerRecorder) -> None:
    declared = stack(
        SHUT | {"name": "a"},
        SHUT | {"name": "a-b"},
        sessions=(service("b-c", "a", 8080), service("c", "a-b", 8081)),
    )
    seen = run(recorder, declared)
    assert len(seen.keys()) == len(set(seen.keys()))
    physical = [one.inputs["name"] for one in seen.seen if "name" in one.inputs and "labels" in one.inputs]
    assert len(physical) == len(set(physical))


def test_an_ephemeral_session_adds_no_resource(recorder: DockerRecorder) -> None:
    before = run(recorder, stack(SHUT, sessions=(session("b", "shut"),))).keys()
    more = tuple(session(f"s{index}", "shut") for index in range(20))
    assert run(DockerRecorder(), stack(SHUT, sessions=(session("b", "shut"), *more))).keys() == before


def test_a_policy_change_changes_the_writer_alone(recorder: DockerRecorder) -> None:
    mcp = {"name": "m", "url": "https://mcp.example.com/sse"}
    agent = {"model": "sonnet", "max_turns": 9, "mcp_servers": [mcp]}
    before = run(recorder, stack(SHUT, sessions=(session("b", "shut"),)))
    after = run(DockerRecorder(), stack(SHUT, sessions=(session("b", "shut", agent=agent),)))
    assert before.keys() == after.keys()
    assert changed(before, after) == ["shut_gateway-policy"]
    uploaded = after.container("shut_gateway-policy")["uploads"][0]
    assert "mcp.example.com" in uploaded["content"]
    assert uploaded["file"] == "/policy/incoming.json"


def test_a_service_more_changes_the_namespace_of_the_gateway_and_the_policy_alone(recorder: DockerRecorder) -> None:
    before = run(recorder, stack(SHUT, sessions=(service("c", "shut", 8080),)))
    after = run(DockerRecorder(), stack(SHUT, sessions=(service("c", "shut", 8080), service("d", "shut", 8081))))
    assert changed(before, after) == ["shut_gateway-anchor", "shut_gateway-policy"]


def changed(before: DockerRecorder, after: DockerRecorder) -> list[str]:
    """Objects on the engine that stood before and are other ones now."""
    was = {(one.type, one.name): one.inputs for one in objects(before)}
    return sorted(one.name for one in objects(after) if was.get((one.type, one.name), one.inputs) != one.inputs)


def objects(seen: DockerRecorder) -> Iterator[Registered]:
    for kind in ("container:Container", "network:Network", "volume:Volume"):
        yield from seen.of(kind)


def test_limited_networks_lead_nowhere_and_only_they(recorder: DockerRecorder) -> None:
    seen = run(recorder, FULL)
    networks = {one.name: one.inputs for one in seen.of("network:Network")}
    assert {name for name, inputs in networks.items() if inputs["internal"]} == {"shut_c"}
    assert networks["shut_c"]["options"] == {"com.docker.network.bridge.gateway_mode_ipv4": "isolated"}
    assert "gateway" not in networks["shut_c"]["ipamConfigs"][0]
    assert networks["open_d"]["ipamConfigs"][0]["gateway"] == str(subnet(networks["open_d"])[1])
    assert not any(inputs["ipv6"] for inputs in networks.values())
    subnets = [subnet(inputs) for inputs in networks.values()]
    assert len(set(subnets)) == len(subnets)
    assert all(one.subnet_of(IPv4Network("10.200.0.0/14")) and one.prefixlen == 29 for one in subnets)


def test_an_older_engine_is_given_no_option_that_it_does_not_know(
    recorder: DockerRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_this_host(monkeypatch, replace(HERE, major=20))
    (network,) = [one.inputs for one in run(recorder, FULL).of("network:Network") if one.name == "shut_c"]
    assert network["options"] == {}
    assert network["ipamConfigs"][0]["gateway"] == str(subnet(network)[1])


def subnet(network: dict[str, Any]) -> IPv4Network:
    return IPv4Network(network["ipamConfigs"][0]["subnet"])


def test_a_limited_service_is_reached_by_a_relay_and_an_open_one_through_its_fence(recorder: DockerRecorder) -> None:
    seen = run(recorder, FULL)
    published = {
        one.name: [(port["ip"], port["external"]) for port in one.inputs["ports"]]
        for one in seen.of("container:Container")
        if one.inputs.get("ports")
    }
    assert published == {"c-forwarder": [("127.0.0.1", 8080)], "d-fence": [("127.0.0.1", 8081)]}
    relay = seen.container("c-forwarder")
    assert relay["user"] == "65534:65534"
    assert relay["capabilities"] == {"adds": [], "drops": ["ALL"]}
    assert [attached["name"] for attached in relay["networksAdvanced"]] == ["c-ingress-id", "shut_c-id"]


def test_who_joins_whom(recorder: DockerRecorder) -> None:
    seen = run(recorder, FULL)
    modes = {
        one.name: one.inputs["networkMode"] for one in seen.of("container:Container") if "networkMode" in one.inputs
    }
    assert modes == {
        "c": "container:c-fence-id",
        "d": "container:d-fence-id",
        "shut_gateway": "container:shut_gateway-anchor-id",
        "open_gateway": "container:open_gateway-anchor-id",
        "shut_gateway-policy": "none",
        "open_gateway-policy": "none",
    }
    attached = seen.container("shut_gateway-anchor")["networksAdvanced"]
    assert [one["name"] for one in attached] == ["shut_gateway-egress-id", "shut_c-id"]


def test_only_what_sets_rules_has_a_capability_and_is_root(recorder: DockerRecorder) -> None:
    containers = {one.name: one.inputs for one in run(recorder, FULL).of("container:Container")}
    holders = {"c-fence", "d-fence", "shut_gateway-anchor", "open_gateway-anchor"}
    assert {name for name, one in containers.items() if one["capabilities"]["adds"]} == holders
    assert {name for name, one in containers.items() if one["user"].startswith("0:")} == holders
    assert all(one["capabilities"]["drops"] == ["ALL"] for one in containers.values())
    assert all(one["securityOpts"] == ["no-new-privileges"] for one in containers.values())
    assert not any(one["privileged"] for one in containers.values())
    assert all(one["memory"] == one["memorySwap"] > 0 and float(one["cpus"]) > 0 for one in containers.values())
    writable = {name for name, one in containers.items() if not one["readOnly"]}
    assert writable == {"shut_gateway-policy", "open_gateway-policy"}


def test_services_have_users_of_their_own_and_a_limit_of_processes(recorder: DockerRecorder) -> None:
    seen = run(recorder, FULL)
    users = [seen.container(name)["user"] for name in "cd"]
    assert len(set(users)) == 2
    assert all(10100 <= int(user.partition(":")[0]) <= 10355 and user.endswith(":10001") for user in users)
    assert seen.container("c")["ulimits"] == [{"name": "nproc", "soft": 1024, "hard": 1024}]


def test_a_service_waits_for_its_fence_and_for_the_gateway(recorder: DockerRecorder) -> None:
    seen = run(recorder, FULL)
    one = seen.container("c")
    assert one["entrypoints"] == ["/usr/bin/python3", "-I", "/usr/local/lib/agentenv/behind_fence.py"]
    assert one["command"] == ["/opt/agentenv/bin/python", "-I", "/usr/local/lib/agentenv/session.py"]
    gateway = seen.container("shut_gateway")
    assert gateway["wait"] is True
    assert gateway["healthcheck"]["tests"] == ["CMD", "python3", "-m", "egress_gateway", "check"]
    stays = {one.name for one in seen.of("container:Container") if one.inputs["restart"] == "unless-stopped"}
    assert stays == {one.name for one in seen.of("container:Container")} - {
        "shut_gateway-policy",
        "open_gateway-policy",
    }


def test_a_session_is_told_its_gateway_by_address(recorder: DockerRecorder) -> None:
    seen = run(recorder, FULL)
    shut, opened = (dict(text.split("=", 1) for text in seen.container(name)["envs"]) for name in "cd")
    (network,) = [one.inputs for one in seen.of("network:Network") if one.name == "shut_c"]
    assert shut["HTTPS_PROXY"] == shut["AGENTENV_GATEWAY"] == f"http://{subnet(network)[2]}:3128"
    assert "HTTPS_PROXY" not in opened
    assert json.loads(shut["AGENTENV_SESSION"])["name"] == "c"


def test_secrets_are_files_of_the_host_and_injected_ones_are_the_gateways(recorder: DockerRecorder) -> None:
    injected = {"origin": "https://crm.example.com", "header": "authorization"}
    secrets = [
        {"name": "TOKEN", "source": "file:/etc/agentenv/token"},
        {"name": "crm", "source": "file:/etc/agentenv/crm", "inject": injected},
    ]
    declared = stack(SHUT, sessions=(service("c", "shut", 8080, secrets=secrets),))
    found = program(recorder, declared)
    held = [(one["source"], one["target"], one["readOnly"]) for one in recorder.container("c")["mounts"]]
    assert held == [("/etc/agentenv/token", "/run/secrets/TOKEN", True)]
    mounts = recorder.container("shut_gateway")["mounts"]
    binds = [(one["source"], one["target"], one["readOnly"]) for one in mounts if one["type"] == "bind"]
    assert binds == [("/etc/agentenv/crm", "/run/secrets/crm", True)]
    (route,) = found["shut"]["egress_policy"]["routes"]
    assert route["secret"] == "file:/run/secrets/crm"


def test_the_policy_in_the_output_is_the_one_that_was_written(recorder: DockerRecorder) -> None:
    found = program(recorder, FULL)
    for name in ("open", "shut"):
        uploaded = recorder.container(f"{name}_gateway-policy")["uploads"][0]["content"]
        assert json.loads(uploaded) == found[name]["egress_policy"]
        assert found[name]["policy_hash"] == policy_hash(found[name]["egress_policy"])
    (identity,) = found["shut"]["egress_policy"]["identities"]
    assert identity == {"session": "c", "sources": [f"{found['/c']['address']}/32"]}


@pytest.mark.parametrize("preview", [True, False])
def test_several_agents_in_one_container_start_as_root_with_two_capabilities(
    recorder: DockerRecorder, preview: bool
) -> None:
    seen = run(recorder, stack(SHUT, sessions=(supervised("pair", "shut", 8080),)), preview=preview)
    pair = seen.container("pair")
    assert pair["user"] == "0:10001"
    assert pair["capabilities"] == {"adds": ["CAP_SETGID", "CAP_SETUID"], "drops": ["ALL"]}
    assert pair["securityOpts"] == ["no-new-privileges"]
    assert (pair["readOnly"], pair["privileged"]) == (True, False)
    assert {options.rpartition("uid=")[2] for options in pair["tmpfs"].values()} == {
        "0,gid=0,mode=1777",
        "0,gid=0,mode=0755",
    }
    ports = [port["external"] for port in seen.container("pair-forwarder")["ports"]]
    assert ports == [8080, 8081]


@pytest.mark.parametrize("preview", [True, False])
def test_a_service_that_idles_keeps_its_conversations_and_may_have_ended(
    recorder: DockerRecorder, preview: bool
) -> None:
    sessions = (service("idle", "shut", 8080, idle_timeout="10m"), service("always", "shut", 8082))
    found = program(recorder, stack(SHUT, sessions=sessions), preview=preview)
    (volume,) = [one for one in recorder.of("volume:Volume") if one.name == "idle-state"]
    assert volume.inputs["name"] == "agentenv_test_shut_idle_state"
    labels = {pair["label"]: pair["value"] for pair in volume.inputs["labels"]}
    wanted = {"agentenv.role": "session", "agentenv.environment": "shut", "agentenv.session": "idle"}
    assert labels.items() >= wanted.items()
    idle, always = recorder.container("idle"), recorder.container("always")
    assert [(m["type"], m["source"], m["target"], m["readOnly"]) for m in idle["mounts"]] == [
        ("volume", volume.inputs["name"], "/var/lib/agentenv/state", False)
    ]
    assert "AGENTENV_STATE=volume" in idle["envs"]
    disk = 5 * 2**30
    assert {"name": "fsize", "soft": disk, "hard": disk} in idle["ulimits"]
    assert [limit["name"] for limit in always["ulimits"]] == ["nproc"]
    assert (idle["restart"], idle["mustRun"]) == ("on-failure", False)
    assert (always["restart"], always["mustRun"]) == ("unless-stopped", True)
    assert not always.get("mounts")
    assert found["/idle"]["state_volume"] == volume.inputs["name"]
    assert "state_volume" not in found["/always"]


def test_a_credential_of_the_model_stays_with_the_gateway(recorder: DockerRecorder) -> None:
    key = {
        "name": "ANTHROPIC_API_KEY",
        "source": "file:/etc/agentenv/anthropic",
        "inject": {"origin": "https://api.anthropic.com", "header": "x-api-key"},
    }
    seen = run(recorder, stack(SHUT, sessions=(service("c", "shut", 8080, secrets=[key]),)))
    told = dict(text.split("=", 1) for text in seen.container("c")["envs"])
    network = subnet(next(one.inputs for one in seen.of("network:Network") if one.name == "shut_c"))
    assert told["AGENTENV_MODEL_ROUTE"] == f"http://{network[2]}:3128/ANTHROPIC_API_KEY"
    assert "/etc/agentenv/anthropic" not in str(seen.container("c"))
    assert "/etc/agentenv/anthropic" in str(seen.container("shut_gateway")["mounts"])


def test_a_certificate_authority_is_trusted_in_every_image_that_talks_tls(
    recorder: DockerRecorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, second = authority("first"), authority("second")
    (tmp_path / "own.pem").write_text(second)
    monkeypatch.setattr(pulumi, "get_root_directory", lambda: str(tmp_path))
    builds = run(recorder, stack(SHUT, certificate_authorities=[first, "own.pem"])).of("docker-build:index:Image")
    for build in builds:
        lines = build.inputs["dockerfile"]["inline"].replace("\\n", "\n")
        kind = build.inputs["tags"][0].removeprefix("agentenv.invalid/").partition(":")[0]
        assert [pem.strip() in lines for pem in (first, second)] == [kind != "fence"] * 2, kind
    with pytest.raises(pulumi.InputPropertiesError, match=r"certificate_authorities\[0\].*none\.pem"):
        program(DockerRecorder(), stack(SHUT, certificate_authorities=["none.pem"]))


def test_a_policy_that_the_gateway_refuses_fails_the_update() -> None:
    assert in_force("shut", "abc", 0, "") == "abc"
    with pytest.raises(pulumi.RunError, match=r"'shut' did not take its policy.*: hosts\[0\]: no such host$"):
        in_force("shut", "abc", 1, "hosts[0]: no\n such host\n")


def test_a_refused_policy_reaches_the_program(recorder: DockerRecorder) -> None:
    recorder.writer_ends_with = 1
    with pytest.raises(pulumi.RunError, match="did not take its policy"):
        program(recorder, FULL)


def test_outputs_are_those_that_agentenv_reads(recorder: DockerRecorder) -> None:
    found = program(recorder, FULL)
    shut = found["shut"]
    assert shut["runtime"] == "docker"
    assert shut["images"].keys() == {"session", "fence", "gateway"}
    assert all(ref.startswith(f"agentenv.invalid/{kind}:") for kind, ref in shut["images"].items())
    assert shut["gateway"] == {
        "container": "agentenv_test_shut_gateway",
        "anchor": "agentenv_test_shut_anchor",
        "port": 3128,
    }
    assert (shut["range"], shut["isolation"]) == ("10.200.0.0/13", "runc")
    assert shut["resolvers"] == ["198.51.100.53"]
    assert found["shut/all"]["b"] == {
        "runtime": "docker",
        "pattern": "ephemeral",
        "environment": "shut",
        "session": FULL.sessions[1].to_wire(),
        "image": shut["images"]["session"],
    }
    assert found["/c"] == {
        "container": "agentenv_test_shut_c_session",
        "fence": "agentenv_test_shut_c_fence",
        "network": "agentenv_test_shut_c",
        "address": found["/c"]["address"],
        "ports": {"8080": "127.0.0.1:8080"},
    }


def test_everything_is_labelled(recorder: DockerRecorder) -> None:
    labelled = {
        one.name: {pair["label"]: pair["value"] for pair in one.inputs["labels"]}
        for one in objects(run(recorder, stack(OPEN, SHUT, sessions=(service("c", "shut", 8080),), tags={"x": "y"})))
    }
    always = {"agentenv.stack": "test", "agentenv.team": "t", "agentenv.cost-centre": "t", "x": "y"}
    assert all(always.items() <= labels.items() for labels in labelled.values())
    assert labelled["c"]["agentenv.session"] == "c"
    assert labelled["shut_gateway"]["agentenv.role"] == "gateway"
    assert "agentenv.session" not in labelled["shut_gateway-anchor"]
    assert {labels["agentenv.role"] for name, labels in labelled.items() if name in ("c-fence", "c-forwarder")} == {
        "fence"
    }


def test_equal_images_are_built_once(recorder: DockerRecorder) -> None:
    builds = run(recorder, stack(OPEN, SHUT)).of("docker-build:index:Image")
    assert sorted(one.inputs["tags"][0].partition(":")[0] for one in builds) == [
        "agentenv.invalid/fence",
        "agentenv.invalid/gateway",
        "agentenv.invalid/session",
    ]
    assert all(one.inputs["load"] is True and one.inputs["push"] is False for one in builds)
    assert not any("registries" in one.inputs for one in builds)


def test_an_environment_with_package_managers_has_a_gateway_that_knows_their_registries(
    recorder: DockerRecorder,
) -> None:
    networking = {"type": "limited", "allow_package_managers": True}
    shut = {"name": "shut", "config": {"type": "cloud", "packages": {"pip": ["six"]}, "networking": networking}}
    builds = run(recorder, stack(shut)).of("docker-build:index:Image")
    (gateway,) = [one.inputs for one in builds if one.inputs["tags"][0].startswith("agentenv.invalid/gateway")]
    assert "find_registries.py" in gateway["dockerfile"]["inline"]


def test_what_no_docker_host_runs_is_named_at_once() -> None:
    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:crm-AbCdEf"
    declared = stack(
        OPEN,
        sessions=(
            session("a", "open", schedule={"expression": "rate(1 day)", "prompt": "Report."}),
            session("b", "open", secrets=[{"name": "CRM", "source": arn}]),
            session("c", "open", resources={"spot": True, "cpu": 0.001, "memory_gib": 0.01}),
        ),
    )
    with pytest.raises(InvalidInput) as caught:
        docker.Docker.check_stack(declared)
    assert [problem.path for problem in caught.value.problems] == [
        "sessions[0].schedule",
        "sessions[1].secrets[0].source",
        "sessions[2].resources.spot",
        "sessions[2].resources.cpu",
        "sessions[2].resources.memory_gib",
    ]
    assert "crm-AbCdEf" not in str(caught.value)


def test_two_services_cannot_publish_one_port() -> None:
    with pytest.raises(InvalidInput, match=r"sessions\[1\]\.ports\[0\] = 8080: session 'c' of this stack publishes"):
        docker.Docker.check_stack(stack(SHUT, OPEN, sessions=(service("c", "shut", 8080), service("d", "open", 8080))))


@pytest.mark.parametrize(
    ("engine", "fields", "sessions", "said"),
    [
        ({"runtimes": {"runc": ()}}, {"docker": {"runtime": "runsc"}}, (), "docker.runtime = 'runsc': .*no runtime of"),
        (
            {"runtimes": {"runsc": ()}},
            {"docker": {"runtime": "runsc"}},
            (),
            "docker.runtime = 'runsc': .*past the rules",
        ),
        ({"cpus": 2}, {}, (session("a", "open", resources={"cpu": 4}),), r"sessions\[0\]\.resources\.cpu = 4"),
        (
            {},
            {},
            (session("a", "open", resources={"memory_gib": 16, "disk_gib": 17}),),
            r"sessions\[0\]\.resources\.memory_gib = 16.*disk_gib = 17 this is 33\.0 GiB, and the host has 32\.0",
        ),
        (
            {"architecture": Architecture.ARM64},
            {},
            (session("a", "open"),),
            r"sessions\[0\]\.resources\.architecture = 'x86_64'.*exec format error.*write architecture: arm64",
        ),
        ({"local": False}, {}, (), "docker.resolvers.*the engine is on another host"),
        (
            {"local": False},
            {"docker": {"resolvers": ["198.51.100.53"]}},
            (),
            "docker.host_addresses.*public addresses, and the engine is on another host. Fix: list them",
        ),
        (
            {},
            {"docker": {"range": "10.200.0.0/24"}},
            tuple(service(f"s{index}", "open", 8000 + index) for index in range(16)),
            "docker.range.*holds 16 networks of declared sessions, and 17 are needed",
        ),
    ],
    ids=["no gvisor", "gvisor with its own stack", "cpu", "memory", "architecture", "resolvers", "host", "range"],
)
def test_what_this_engine_cannot_do_is_said_before_anything_is_made(
    recorder: DockerRecorder,
    monkeypatch: pytest.MonkeyPatch,
    engine: dict[str, Any],
    fields: dict[str, Any],
    sessions: tuple[dict[str, Any], ...],
    said: str,
) -> None:
    on_this_host(monkeypatch, replace(HERE, **engine))
    with pytest.raises(pulumi.InputPropertiesError, match=said):
        program(recorder, stack(OPEN, sessions=sessions, **fields))
    assert recorder.seen == []


def test_resolvers_are_those_that_a_container_can_reach(tmp_path: Path) -> None:
    stub, real = tmp_path / "stub", tmp_path / "real"
    stub.write_text("nameserver 127.0.0.53\noptions edns0\n")
    real.write_text("# from the lease\nnameserver 198.51.100.1\nnameserver fe80::1%eth0\nnameserver 198.51.100.2\n")
    assert host_resolvers((stub, real)) == (IPv4Address("198.51.100.1"), IPv4Address("198.51.100.2"))
    assert host_resolvers((stub, tmp_path / "none")) == ()


def test_what_is_no_address_in_a_list_of_resolvers_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver foo\nnameserver\nnameserver 2001:db8::1\nnameserver 198.51.100.3%eth0\n")
    assert host_resolvers((file,)) == ()
    file.write_text(f"{file.read_text()}nameserver 198.51.100.4\n")
    assert host_resolvers((file,)) == (IPv4Address("198.51.100.4"),)


ROUTES = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 198.51.100.0
        /24 link UNICAST
     |-- 203.0.113.9
        /32 link UNICAST
Local:
  +-- 198.51.100.0/24 2 0 2
     |-- 198.51.100.7
        /32 link UNICAST
        /32 host LOCAL
     |-- 198.51.100.255
        /32 link BROADCAST
     +-- 127.0.0.0/31 1 0 0
        |-- 127.0.0.0
           /8 host LOCAL
        |-- 127.0.0.1
           /32 host LOCAL
"""
ADDRESSES_V6 = """\
20010db8000000000000000000000007 02 40 00 80     eth0
20010db8000000000000000000000abc 02 40 00 01     eth0
00000000000000000000000000000001 01 80 10 80       lo
"""


def test_a_linux_machine_tells_its_addresses(tmp_path: Path) -> None:
    routes, addresses_v6 = tmp_path / "fib_trie", tmp_path / "if_inet6"
    routes.write_text(ROUTES)
    of_its_own = {IPv4Address("198.51.100.7"), IPv4Address("127.0.0.1")}
    assert set(host_addresses(routes, addresses_v6) or ()) == of_its_own
    addresses_v6.write_text(ADDRESSES_V6)
    found = host_addresses(routes, addresses_v6) or ()
    assert set(found) == of_its_own | {ip_address("2001:db8::7"), ip_address("::1")}
    assert [str(one) for one in beyond_blocklist((*found, *found))] == ["198.51.100.7", "2001:db8::7"]
    assert host_addresses(tmp_path / "none", addresses_v6) is None


def test_an_unrestricted_session_does_not_reach_the_host_by_its_own_addresses(recorder: DockerRecorder) -> None:
    # The second is private and the third is one of the machine's: nftables refuses a set that has a range twice.
    declared = stack(
        OPEN,
        SHUT,
        sessions=FULL_SESSIONS,
        docker={"host_addresses": ["203.0.113.7", "10.9.9.9", "198.51.100.7"]},
    )
    found = program(recorder, declared)
    effective = ["198.51.100.7", "203.0.113.7", "2001:db8::7"]
    assert found["open"]["host_addresses"] == found["shut"]["host_addresses"] == effective
    opened, shut = (
        next(text for text in recorder.container(f"{name}-fence")["envs"] if text.startswith("FENCE_RULES="))
        for name in "dc"
    )
    assert all(opened.count(f"{address}") == 2 for address in effective)
    assert "10.9.9.9" not in opened
    assert "198.51.100.7" not in shut


@pytest.mark.parametrize(
    ("local", "environment", "fields"),
    [
        (False, SHUT, {}),
        (False, OPEN, {"docker": {"resolvers": ["198.51.100.53"], "host_addresses": []}}),
        (True, OPEN, {}),
    ],
    ids=["limited", "none by declaration", "local"],
)
def test_the_addresses_of_a_host_are_asked_for_only_where_they_matter(
    recorder: DockerRecorder, monkeypatch: pytest.MonkeyPatch, local: bool, environment: Any, fields: Any
) -> None:
    on_this_host(monkeypatch, replace(HERE, local=local))
    (found,) = [one for one in program(recorder, stack(environment, **fields)).values() if "networking" in one]
    assert found["host_addresses"] == (["198.51.100.7", "2001:db8::7"] if local else [])


def test_a_machine_that_does_not_tell_its_addresses_is_asked_for_them(
    recorder: DockerRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker.runtime, "host_addresses", lambda: None)
    with pytest.raises(
        pulumi.InputPropertiesError, match=r"docker\.host_addresses.*this machine does not tell its own"
    ):
        program(recorder, stack(OPEN))
    assert recorder.seen == []


class Client:
    """As much of the SDK's client as is asked; `info` fails where it is given an error."""

    def __init__(self, base_url: str, error: OSError | None = None) -> None:
        self.api, self._error = SimpleNamespace(base_url=base_url), error

    def info(self) -> dict[str, Any]:
        if self._error:
            raise self._error
        return {"ServerVersion": "29.1.0", "NCPU": 2, "MemTotal": 2**30, "Architecture": "aarch64"}

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    ("url", "local"),
    [("http+docker://localhost", True), ("http+docker://ssh", False), ("https://198.51.100.1:2376", False)],
)
def test_an_engine_by_ssh_is_on_another_host(monkeypatch: pytest.MonkeyPatch, url: str, local: bool) -> None:
    monkeypatch.setattr("docker.from_env", lambda **_: Client(url))
    here = ask_engine()
    assert (here.local, here.major, here.architecture) == (local, 29, Architecture.ARM64)


@pytest.mark.parametrize(("error", "said"), [(ReadTimeout("timed out\nmore"), "timed out"), (OSError(), "OSError")])
def test_an_engine_that_stops_answering_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, error: OSError, said: str
) -> None:
    monkeypatch.setattr("docker.from_env", lambda **_: Client("http+docker://localhost", error))
    with pytest.raises(InvalidInput, match=f"no Docker engine answers: {said}. Fix: start Docker"):
        ask_engine()


FARGATES = {"log_retention_days", "zones", "session_range", "egress_range", "expression", "timezone", "prompt", "spot"}
"""Fields that a Docker host has no use for, and those that it refuses."""
OTHERWISE = {
    "cpu": ("'cpus': '4'",),
    "memory_gib": ("'memory': 88064",),
    "disk_gib": ("size=39424m", "size=19712m"),
    "architecture": ("linux/arm64",),
    "team": ("team-x",),
    "runtime": ("runsc",),
    "allow_mcp_servers": ("mcp-y.example.com",),
    "allow_package_managers": ('"package_managers":true', "find_registries.py"),
    "idle_timeout": ("7770", "on-failure"),
    "shared_folder": ('"shared_folder":true',),
    "certificate_authorities": ("BEGIN CERTIFICATE",),
}
"""Field -> texts by which an object on the engine says it, where not by its own."""
CARRIED_BY_THE_COMPONENT = {"description", "scope", "meta-key-x", "cloud"}


def test_every_field_reaches_an_object_on_the_engine(recorder: DockerRecorder, monkeypatch: pytest.MonkeyPatch) -> None:
    on_this_host(monkeypatch, replace(HERE, architecture=Architecture.ARM64, memory_bytes=128 * 2**30))
    declared = json.loads(
        json.dumps(EVERYTHING).replace("arn:aws:secretsmanager:eu-west-1:123456789012:secret:", "file:/etc/x-")
    )
    declared["runtime"] = "docker"
    declared["docker"] = {
        "range": "10.96.0.0/16",
        "runtime": "runsc",
        "resolvers": ["198.51.100.77"],
        "host_addresses": ["203.0.113.77"],
    }
    declared["private_hosts"] = {"allowed-x.example.com": "10.33.0.0/16"}
    run_x = declared["sessions"][0]
    del run_x["schedule"], run_x["resources"]["spot"]
    # As a service it is an object on the engine, and not only an entry of the catalogue.
    for other in declared["sessions"][1:]:
        other.setdefault("resources", {})["architecture"] = "arm64"
    run_x |= {"pattern": "long_running", "ports": [7780], "environment": "open-x", "idle_timeout": 7770}
    run_x["token_sha256"] = "7a" * 32
    seen = run(recorder, Stack.parse(declared)).seen
    made = str([one.inputs for one in seen if not one.type.startswith("agent-environments:")]).replace("\\", "")
    lost = []
    for path, value in leaves(declared):
        field = next((part for part in path if part in OTHERWISE), None)
        own = "10.96." if path == ("docker", "range") else str(value).removeprefix("file:")
        texts = OTHERWISE[field] if field else (own,)
        carried = {path[-1], value} & CARRIED_BY_THE_COMPONENT or path[-1] in FARGATES
        if not all(text in made for text in texts) and not carried:
            lost.append((path, value))
    assert lost == []
    assert set(Network.model_fields) <= FARGATES
