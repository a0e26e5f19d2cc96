"""Which probes a session gets, and what each must come to."""

from ipaddress import ip_address
from typing import Any, Literal

import pytest

from components.models.stack import Stack
from components.plans.egress import EgressPolicy, egress_policy
from components.plans.probes import Kind, Neighbour, Probe, Seen, Surroundings, control_host, probes

GATEWAY = "10.200.0.2:3128"


def policy(networking: dict[str, Any], **fields: Any) -> EgressPolicy:
    environment = {"name": "e", "config": {"type": "cloud", "networking": networking}}
    sessions = [
        {
            "name": name,
            "environment": "e",
            "pattern": "ephemeral",
            "agent": {"model": "m", "mcp_servers": [{"name": "x", "url": f"https://{name}.mcp.test/sse"}]},
        }
        for name in ("one", "two")
    ]
    stack = Stack.parse({"team": "t", "environments": [environment], "sessions": sessions} | fields)
    return egress_policy(stack.environments[0], stack.sessions, stack.private_hosts)


LIMITED = policy({"type": "limited", "allowed_hosts": ["*.wild.test", "a.test"], "allow_mcp_servers": True})
OPEN = policy({"type": "unrestricted"})


def of(policy: EgressPolicy, around: Surroundings) -> dict[str, Probe]:
    made = probes(policy, around, control_host(policy, around.session))
    assert len({probe.id for probe in made}) == len(made)
    return {probe.id: probe for probe in made}


def docker(**fields: Any) -> Surroundings:
    return Surroundings("docker", "one", GATEWAY, bridge="10.200.0.1", **fields)


def test_everything_that_an_acceptance_asks_for_is_tried() -> None:
    made = of(LIMITED, docker(others=(Neighbour("desk", "10.200.0.11", 8080),)))
    wanted = {
        "allowed-host",
        "denied-host",
        "plain-http",
        "address-connect",
        "dns-tunnel",
        "metadata",
        "session-desk",
        "root-fs",
        "capabilities",
    }
    assert wanted <= made.keys()
    assert made["session-desk"].target == "10.200.0.11:8080"


@pytest.mark.parametrize("name", ["direct-tcp", "direct-udp", "ipv6", "dns", "dns-tunnel", "dns-tcp", "dns-gateway"])
def test_past_the_gateway_a_limited_session_gets_nowhere_on_docker(name: str) -> None:
    # A time-out there would mean that the fence let it go.
    assert of(LIMITED, docker())[name].expected == (Seen.BLOCKED,)


def test_on_fargate_silence_is_what_a_wall_looks_like() -> None:
    made = of(LIMITED, Surroundings("fargate", "one", "gw.internal:3128"))
    assert made["direct-tcp"].expected == (Seen.NO_ANSWER, Seen.BLOCKED)
    assert Seen.ANSWERED not in made["dns"].expected


def test_an_unrestricted_session_gets_out_and_not_in() -> None:
    made = of(OPEN, docker())
    assert Seen.BLOCKED not in made["direct-tcp"].expected
    assert Seen.BLOCKED not in made["direct-udp"].expected
    assert Seen.BLOCKED not in made["dns"].expected
    for name in ("metadata", "task-metadata", "host-tcp", "host-udp", "gateway-admin"):
        assert made[name].expected == (Seen.BLOCKED,), name
    assert "allowed-host" not in made


@pytest.mark.parametrize("environment", [LIMITED, OPEN])
def test_every_public_address_of_the_host_is_tried_by_a_datagram(environment: EgressPolicy) -> None:
    made = of(environment, docker(host_addresses=(ip_address("198.51.100.7"), ip_address("2001:db8::7"))))
    tried = {name: made[name] for name in ("host-198.51.100.7", "host-2001:db8::7")}
    # A closed port of the host answers TCP as the fence does, and the host's port 53 may be the session's resolver.
    assert [probe.target for probe in tried.values()] == ["198.51.100.7:443", "[2001:db8::7]:443"]
    assert all((probe.kind, probe.expected) == (Kind.UDP, (Seen.BLOCKED,)) for probe in tried.values())


@pytest.mark.parametrize("environment", [LIMITED, OPEN])
def test_raw_addresses_are_nobodys_or_the_sessions_own(environment: EgressPolicy) -> None:
    for probe in of(environment, docker()).values():
        if probe.kind in (Kind.TCP, Kind.UDP):
            host = probe.target.rpartition(":")[0]
            assert host.startswith(("203.0.113.", "[2001:db8:", "169.254.", "10.200.0.")), probe.target


@pytest.mark.parametrize("environment", [LIMITED, OPEN])
def test_on_docker_no_name_is_asked_for_that_exists(environment: EgressPolicy) -> None:
    names = [p.target.split()[0] for p in of(environment, docker()).values() if p.kind in (Kind.DNS_UDP, Kind.DNS_TCP)]
    assert names
    assert all(name.endswith(".invalid") for name in names)


def test_gvisor_is_not_asked_for_the_hosts_filter() -> None:
    assert "seccomp" in of(LIMITED, docker())
    assert "seccomp" not in of(LIMITED, docker(own_kernel=True))
    assert of(LIMITED, docker())["memory"].expected == (Seen.LIMITED,)


def test_a_secret_that_the_session_declares_is_not_a_leak() -> None:
    assert of(LIMITED, docker(held=("GH_TOKEN",)))["secrets"].target == "GH_TOKEN"


@pytest.mark.parametrize("runtime", ["docker", "fargate"])
def test_one_of_several_agents_has_a_folder_of_its_own_and_no_more(runtime: Literal["docker", "fargate"]) -> None:
    made = of(LIMITED, Surroundings(runtime, "one", GATEWAY, supervised=True))
    assert made["user"].expected == (Seen.NOT_ROOT,)
    assert made["capabilities"].target == "SETGID SETUID"
    assert made["write-workspace"].expected == made["write-home"].expected == (Seen.REFUSED,)
    assert made["write-tmp"].expected == (Seen.WRITABLE,)
    assert of(LIMITED, Surroundings(runtime, "one", GATEWAY))["capabilities"].target == ""


def test_the_control_is_an_exact_host_of_the_stack_file() -> None:
    chosen = control_host(LIMITED, "one")
    assert chosen is not None
    assert chosen.host == "a.test"


def test_a_host_that_the_team_runs_itself_is_the_better_control() -> None:
    networking = {"type": "limited", "allowed_hosts": ["a.test", "b.test"]}
    fields: dict[str, Any] = {"private_hosts": {"b.test": "10.7.0.0/16"}, "sessions": []}
    chosen = control_host(policy(networking, **fields), "one")
    assert chosen is not None
    assert chosen.host == "b.test"


def test_the_models_api_is_the_last_resort() -> None:
    chosen = control_host(policy({"type": "limited"}, sessions=[]), "one")
    assert chosen is not None
    assert chosen.field.startswith("(built in")


def test_a_wildcard_takes_the_name_that_is_wanted() -> None:
    chosen = control_host(LIMITED, "one", "x.wild.test")
    assert chosen is not None
    assert (chosen.host, chosen.field) == ("x.wild.test", "config.networking.allowed_hosts[0]")


def test_another_sessions_server_is_no_control() -> None:
    assert control_host(LIMITED, "two", "two.mcp.test") is not None
    with pytest.raises(ValueError, match="not allowed for session 'one'"):
        control_host(LIMITED, "one", "two.mcp.test")
