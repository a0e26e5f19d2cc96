"""Containers on a Docker host as plain data: what each is given, and what none is."""

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from components.models.environment import Environment
from components.models.session import Session
from components.models.stack import Isolation
from components.plans.docker import (
    Attachment,
    ContainerPlan,
    Mount,
    SessionNetwork,
    anchor_container,
    fence_container,
    forwarder_container,
    gateway_container,
    session_container,
    writer_container,
)
from components.plans.image import SESSION_COMMAND

NETWORK = SessionNetwork(IPv4Network("10.200.0.8/29"))
INGRESS = SessionNetwork(IPv4Network("10.200.0.16/29"))
LIMITED = {"type": "cloud", "networking": {"type": "limited"}}
LABELS = {"agentenv.role": "x"}
RESOLVER = IPv4Address("198.51.100.53")


def session(
    environment: dict[str, Any] | None = None,
    isolation: Isolation = Isolation.RUNC,
    further: dict[str, Any] | None = None,
    **fields: Any,
) -> Any:
    declared = {"name": "s", "environment": "e", "pattern": "ephemeral", "agent": {"model": "sonnet"}} | fields
    return session_container(
        name="n",
        image="i",
        environment=Environment.model_validate({"name": "e", "config": environment or {"type": "cloud"}}),
        session=Session.model_validate(declared),
        network=NETWORK,
        fence="f",
        labels=LABELS,
        isolation=isolation,
        **(further or {}),
    )


def fence(networking: str = "limited", **fields: Any) -> ContainerPlan:
    return fence_container(
        name="f", image="i", networking=networking, network=NETWORK, network_name="net", labels=LABELS, **fields
    )


def anchor() -> ContainerPlan:
    attached = [Attachment("egress", INGRESS.gateway), Attachment("net", NETWORK.gateway)]
    return anchor_container(
        name="a",
        image="i",
        range_=IPv4Network("10.200.0.0/13"),
        egress=INGRESS,
        networks=attached,
        resolvers=(),
        labels=LABELS,
    )


def gateway() -> ContainerPlan:
    return gateway_container(
        name="g",
        image="i",
        anchor="a",
        policy_volume="p",
        state_volume="s",
        secrets={"crm": "/etc/agentenv/crm"},
        labels=LABELS,
    )


def forwarder() -> ContainerPlan:
    return forwarder_container(
        name="w",
        image="i",
        ingress=INGRESS,
        ingress_name="in",
        network=NETWORK,
        network_name="net",
        ports=(9000, 8080),
        labels=LABELS,
    )


def writer() -> ContainerPlan:
    return writer_container(name="", image="i", policy_volume="p", labels=LABELS)


ALL = [session(), fence(), anchor(), gateway(), forwarder(), writer()]
IDS = ["session", "fence", "anchor", "gateway", "forwarder", "writer"]


@pytest.mark.parametrize("plan", ALL, ids=IDS)
def test_every_container_is_held(plan: ContainerPlan) -> None:
    host = plan.engine_config()["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["Memory"] == host["MemorySwap"] > 0
    assert host["NanoCpus"] > 0
    assert host["LogConfig"]["Config"]["max-size"]
    # An init would keep the capabilities that the program gives up.
    assert host["Init"] is (plan not in (fence(), anchor()))
    assert host["ReadonlyRootfs"] is (plan != writer())
    assert (host["CapAdd"] != []) == (plan in (fence(), anchor()))
    assert plan.user.startswith("0:") == (plan in (fence(), anchor()))


def test_a_session_has_nothing_but_its_fences_namespace() -> None:
    plan = session(secrets=[{"name": "TOKEN", "source": "file:/etc/agentenv/token"}])
    config = plan.engine_config()
    assert config["HostConfig"]["NetworkMode"] == "container:f"
    assert "NetworkingConfig" not in config
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["/usr/bin/python3", "-I", "/usr/local/lib/agentenv/behind_fence.py"]
    assert config["Cmd"] == ["/opt/agentenv/bin/python", "-I", "/usr/local/lib/agentenv/session.py"]
    assert config["HostConfig"]["PidsLimit"] == 1024
    assert config["HostConfig"]["Mounts"] == [
        {"Type": "bind", "Source": "/etc/agentenv/token", "Target": "/run/secrets/TOKEN", "ReadOnly": True}
    ]
    assert "Runtime" not in config["HostConfig"]
    assert config["HostConfig"]["RestartPolicy"] == {"Name": "no"}


def test_gvisor_is_asked_for_and_told_to_whoever_waits_for_the_fence() -> None:
    plan = session(isolation=Isolation.RUNSC)
    assert plan.engine_config()["HostConfig"]["Runtime"] == "runsc"
    assert plan.environment["AGENTENV_ISOLATION"] == "runsc"
    assert session().environment["AGENTENV_ISOLATION"] == "runc"


def test_proxies_are_named_in_limited_environments_alone() -> None:
    assert session(LIMITED).environment["HTTPS_PROXY"] == "http://10.200.0.10:3128"
    assert session(LIMITED).environment["NODE_USE_ENV_PROXY"] == "1"
    assert "HTTPS_PROXY" not in session().environment
    assert session().environment["AGENTENV_GATEWAY"] == "http://10.200.0.10:3128"


def test_a_sessions_own_command_and_variables_are_its_own() -> None:
    plan = session(command=["node", "a b.js"], variables={"A": "x=y"})
    config = plan.engine_config()
    assert config["Cmd"][-4:] == ["exec", "--", "node", "a b.js"]
    assert "A=x=y" in config["Env"]


@pytest.mark.parametrize("disk", [1, 5, 77])
def test_disk_is_memory_and_no_more_than_asked_for(disk: int) -> None:
    plan = session(resources={"memory_gib": 1.5, "disk_gib": disk, "cpu": 0.5})
    sizes = [int(text.partition("size=")[2].partition("m,")[0]) for text in plan.tmpfs.values()]
    assert set(plan.tmpfs) == {"/tmp", "/workspace", "/home/agent"}
    assert 0 <= disk * 1024 - sum(sizes) <= len(sizes)
    assert plan.memory_bytes == (1.5 + disk) * 2**30
    assert plan.engine_config()["HostConfig"]["NanoCpus"] == 500_000_000


def test_what_a_session_writes_is_its_users() -> None:
    assert "uid=10001,gid=10001,mode=0700" in session().tmpfs["/workspace"]
    assert session().tmpfs["/tmp"].endswith("mode=1777")
    assert all("nosuid,nodev" in options for options in session().tmpfs.values())


SERVICE: dict[str, Any] = {"pattern": "long_running", "ports": [8080], "token_sha256": "0" * 64}
AGENTS: dict[str, Any] = {
    "pattern": "single_container",
    "agent": None,
    "agents": [{"name": "a", "model": "sonnet"}, {"name": "b", "model": "sonnet"}],
}


def test_several_agents_have_a_supervisor_with_two_capabilities_that_owns_the_writable_places() -> None:
    plan = session(**AGENTS)
    host = plan.engine_config()["HostConfig"]
    assert (plan.user, host["CapDrop"], host["CapAdd"]) == ("0:10001", ["ALL"], ["CAP_SETGID", "CAP_SETUID"])
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert "uid=0,gid=0,mode=0755" in plan.tmpfs["/workspace"]
    command = session(**AGENTS, command=["x"])
    assert (command.user, command.cap_add) == ("10001:10001", ())


def test_a_command_of_a_teams_own_finds_what_an_agent_would() -> None:
    assert session(command=["x", "y"]).command == (*SESSION_COMMAND, "exec", "--", "x", "y")
    assert session().command == SESSION_COMMAND


def test_the_models_credential_stays_with_the_gateway() -> None:
    inject = {"origin": "https://api.anthropic.com", "header": "x-api-key"}
    secret = {"name": "ANTHROPIC_API_KEY", "source": "file:/etc/agentenv/key", "inject": inject}
    plan = session(secrets=[secret])
    assert plan.environment["AGENTENV_MODEL_ROUTE"] == "http://10.200.0.10:3128/ANTHROPIC_API_KEY"
    assert plan.mounts == ()
    assert "AGENTENV_MODEL_ROUTE" not in session().environment


def test_a_run_is_told_its_task_and_finds_its_state() -> None:
    plan = session(further={"run": {"AGENTENV_TASK": "{}"}, "state_volume": "kept"})
    assert plan.environment["AGENTENV_TASK"] == "{}"
    assert plan.environment["AGENTENV_STATE"] == "volume"
    assert plan.mounts == (Mount("volume", "kept", "/var/lib/agentenv/state", read_only=False),)
    assert "AGENTENV_STATE" not in session().environment


def test_the_files_of_a_volume_are_no_longer_than_the_sessions_disk() -> None:
    kept = session(further={"state_volume": "kept"}, resources={"disk_gib": 3})
    limit = {"Name": "fsize", "Soft": 3 * 2**30, "Hard": 3 * 2**30}
    assert kept.engine_config()["HostConfig"]["Ulimits"] == [limit]
    idles = session(**SERVICE, idle_timeout=60, further={"state_volume": "kept"}, resources={"disk_gib": 3})
    assert limit in idles.engine_config()["HostConfig"]["Ulimits"]
    assert "Ulimits" not in session().engine_config()["HostConfig"]


def test_what_idles_out_is_started_again_only_when_it_failed() -> None:
    assert session(**SERVICE, idle_timeout=60).restart == "on-failure"


def test_a_service_stays_and_is_limited_by_its_user() -> None:
    plan = session(**SERVICE)
    assert plan.restart == "unless-stopped"
    assert plan.engine_config()["HostConfig"]["Ulimits"] == [{"Name": "nproc", "Soft": 1024, "Hard": 1024}]


def test_ports_are_published_by_an_unrestricted_fence_on_loopback_and_by_no_limited_one() -> None:
    config = fence("unrestricted", ports=(8080,), resolvers=(RESOLVER,)).engine_config()
    assert config["HostConfig"]["PortBindings"] == {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}
    assert config["ExposedPorts"] == {"8080/tcp": {}}
    assert config["HostConfig"]["Dns"] == ["198.51.100.53"]
    assert fence(ports=(8080,)).engine_config()["HostConfig"]["PortBindings"] == {}


def test_a_limited_fence_would_ask_the_gateway_where_nothing_answers() -> None:
    assert fence(resolvers=(RESOLVER,)).dns == (NETWORK.gateway,)


def test_a_fence_is_on_its_sessions_network_at_its_address() -> None:
    config = fence().engine_config()
    assert config["NetworkingConfig"] == {"EndpointsConfig": {"net": {"IPAMConfig": {"IPv4Address": "10.200.0.11"}}}}
    assert config["HostConfig"]["NetworkMode"] == "net"
    assert fence(service=True).restart == "unless-stopped"
    assert fence().restart == "no"


def test_the_relay_listens_away_from_the_session() -> None:
    plan = forwarder()
    assert plan.environment == {
        "FORWARD_LISTEN": "10.200.0.19",
        "FORWARD_TARGET": "10.200.0.11",
        "FORWARD_FROM": "10.200.0.17",
        "FORWARD_PORTS": "8080,9000",
    }
    assert [one.network for one in plan.networks] == ["in", "net"]


def test_the_gateway_reads_its_policy_and_writes_its_state() -> None:
    config = gateway().engine_config()
    assert [(one["Target"], one["ReadOnly"]) for one in config["HostConfig"]["Mounts"]] == [
        ("/policy", True),
        ("/state", False),
        ("/run/secrets/crm", True),
    ]
    assert config["Healthcheck"]["Test"] == ["CMD", "python3", "-m", "egress_gateway", "check"]
    assert config["Healthcheck"]["Interval"] == 10 * 10**9
    assert config["HostConfig"]["NetworkMode"] == "container:a"
    assert config["Env"] == ["EGRESS_FENCE=1"]


def test_the_writer_installs_what_was_uploaded_and_has_no_network() -> None:
    plan = writer()
    assert plan.command[-3:] == ("install", "/policy/incoming.json", "/policy/policy.json")
    assert plan.network_mode == "none"
