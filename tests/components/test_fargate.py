"""What a stack on Fargate registers."""

import copy
import hashlib
import json
import re
import shlex
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.environment import Environment
from components.fargate.environment import start_command
from components.fargate.network import Needs
from components.fargate.runtime import Fargate, shared_price
from components.models.errors import InvalidInput
from components.models.stack import Stack
from components.plans.egress import egress_policy
from tests.components.conftest import DIGEST, TOKEN_SHA256, Recorder, run
from tests.unit.certificates import authority

OPEN = {
    "name": "open",
    "config": {"type": "cloud", "packages": {"pip": ["pandas"]}, "networking": {"type": "unrestricted"}},
}
SHUT: dict[str, Any] = {
    "name": "shut",
    "config": {
        "type": "cloud",
        "networking": {"type": "limited", "allowed_hosts": ["api.example.com"], "allow_mcp_servers": True},
    },
}
TOKEN = {"token_sha256": TOKEN_SHA256}
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:crm-AbCdEf"


def session(name: str, environment: str, **fields: Any) -> dict[str, Any]:
    base = {
        "name": name,
        "environment": environment,
        "pattern": "ephemeral",
        "agent": {"model": "sonnet", "max_turns": 9},
    }
    return base | fields


def service(name: str, environment: str, **fields: Any) -> dict[str, Any]:
    return session(name, environment, **{"pattern": "long_running", "ports": [8080]} | TOKEN | fields)


def pair(name: str, environment: str, **fields: Any) -> dict[str, Any]:
    """Two agents in one container."""
    agents = [{"name": one, "model": "sonnet", "max_turns": 9} for one in ("reader", "writer")]
    base = session(name, environment, pattern="single_container", agents=agents, **fields)
    return {key: value for key, value in base.items() if key != "agent"}


def stack(*environments: dict[str, Any], sessions: tuple[dict[str, Any], ...] = (), **fields: Any) -> Stack:
    return Stack.parse({"team": "t", "runtime": "fargate", "environments": environments, "sessions": sessions} | fields)


SESSIONS = (
    session(
        "a",
        "open",
        schedule={"expression": "rate(1 day)", "prompt": "Report."},
        secrets=[{"name": "CRM", "source": SECRET}],
    ),
    session("b", "shut"),
    service("c", "shut", resources={"cpu": 2, "disk_gib": 50}),
    session("d", "shut", pattern="hybrid"),
)
FULL = stack(OPEN, SHUT, sessions=SESSIONS)


@pytest.mark.parametrize("preview", [True, False])
def test_names_are_unique_and_everything_has_a_parent_type(recorder: Recorder, preview: bool) -> None:
    seen = run(recorder, FULL, preview=preview).seen
    keys = [(one.type, one.name) for one in seen]
    assert len(keys) == len(set(keys))
    assert len(seen) > 80


@pytest.mark.parametrize(
    "declared",
    [
        stack(SHUT, sessions=(service("run", "shut"), session("x", "shut"))),
        stack(
            SHUT | {"name": "a"},
            SHUT | {"name": "a-b"},
            sessions=(
                service("b-c", "a"),
                service("c", "a-b"),
            ),
        ),
        stack(SHUT, sessions=(service("gateway-shut", "shut"),)),
        stack(SHUT | {"name": "flow"}, OPEN | {"name": "Flow data"}),
        stack(SHUT | {"name": "gateway"}, OPEN | {"name": "gateway-gateway"}),
    ],
    ids=["session called run", "names that meet", "session called like a gateway", "flow", "gateway"],
)
def test_names_that_look_alike_do_not_collide(recorder: Recorder, declared: Stack) -> None:
    seen = run(recorder, declared).seen
    logical = [(one.type, one.name) for one in seen]
    physical = [(one.type, one.inputs.get("family") or one.inputs["name"]) for one in seen if named(one.inputs)]
    assert len(logical) == len(set(logical))
    assert len(physical) == len(set(physical))


def named(inputs: dict[str, Any]) -> bool:
    return "family" in inputs or "name" in inputs


def test_sessions_of_one_host_are_one_entry_of_the_policy() -> None:
    agent = {"model": "sonnet", "mcp_servers": [{"name": "m", "url": "https://mcp.example.com/sse"}]}
    declared = stack(SHUT, sessions=tuple(session(f"s{i}", "shut", agent=agent) for i in range(5)))
    policy = egress_policy(declared.environments[0], declared.sessions).to_json()
    (entry,) = [host for host in policy["hosts"] if host["host"] == "mcp.example.com"]
    assert entry["sessions"] == ["s0", "s1", "s2", "s3", "s4"]


def test_all_sessions_that_fargate_cannot_hold_are_named_at_once() -> None:
    wanted = ({"disk_gib": 201}, {"cpu": 99}, {"memory_gib": 500})
    sessions = [session(f"s{i}", "shut", resources=resources) for i, resources in enumerate(wanted)]
    declared = stack(SHUT, sessions=(*sessions, session("long", "shut", agent={"model": "m", "system": "x" * 9000})))
    with pytest.raises(InvalidInput) as caught:
        Fargate.check_stack(declared)
    assert [problem.path for problem in caught.value.problems] == [
        "sessions[0].resources.disk_gib",
        "sessions[1].resources.cpu",
        "sessions[2].resources.memory_gib",
        "sessions[3].agent",
    ]


@pytest.mark.parametrize(
    ("inject", "role"),
    [
        ({}, "the role that starts them"),
        ({"inject": {"origin": "https://a.example.com", "header": "x-api-key"}}, "adds"),
    ],
    ids=["held", "injected"],
)
def test_more_secrets_than_a_role_can_name_are_refused(inject: dict[str, Any], role: str) -> None:
    secrets = [{"name": f"S{i}", "source": f"{SECRET[:-7]}{i}-AbCdEf"} | inject for i in range(80)]
    declared = stack(OPEN, sessions=(session("s", "open", secrets=secrets),))
    said = f"80 secrets in environment 'open'.*{role}"
    with pytest.raises(InvalidInput, match=said):
        Fargate.check_stack(declared)
    with pytest.raises(InvalidInput, match=said):
        Fargate.check(declared.environments[0], declared.sessions)


def test_a_limited_session_holds_no_secret_and_none_is_a_file_of_a_host() -> None:
    here = "file:/etc/agentenv/crm"
    route = {"inject": {"origin": "https://crm.example.com", "header": "authorization"}}
    declared = stack(
        OPEN,
        SHUT,
        sessions=(
            session("held", "shut", secrets=[{"name": "CRM", "source": SECRET}]),
            session("file", "open", secrets=[{"name": "CRM", "source": here}]),
            session("route", "shut", secrets=[{"name": "A", "source": SECRET} | route]),
            session("route-of-file", "shut", secrets=[{"name": "B", "source": here} | route]),
        ),
    )
    with pytest.raises(InvalidInput) as caught:
        Fargate.check_stack(declared)
    found = {problem.path: problem for problem in caught.value.problems}
    assert list(found) == [
        "sessions[0].secrets[0].inject",
        "sessions[1].secrets[0].source",
        "sessions[3].secrets[0].source",
    ]
    assert "a limited session on Fargate holds no secret" in found["sessions[0].secrets[0].inject"].rule
    assert "ARN" in found["sessions[3].secrets[0].source"].fix


def test_private_hosts_are_refused() -> None:
    declared = stack(SHUT, private_hosts={"api.example.com": "10.20.0.0/16"})
    with pytest.raises(InvalidInput, match=r"private_hosts\.api\.example\.com = '10\.20\.0\.0/16': .*Fargate"):
        Fargate.check_stack(declared)


def test_limited_alone_has_no_nat_and_no_private_subnets(recorder: Recorder) -> None:
    seen = run(recorder, stack(SHUT))
    assert not seen.of("NatGateway")
    assert not seen.of("ec2/eip:Eip")
    assert {one.inputs["tags"]["Name"].split("-")[-2] for one in seen.of("ec2/subnet:Subnet")} == {"public", "sessions"}
    assert len(seen.of("ec2/vpcEndpoint:VpcEndpoint")) == 4


def test_unrestricted_alone_has_no_session_vpc(recorder: Recorder) -> None:
    seen = run(recorder, stack(OPEN))
    assert len(seen.of("ec2/vpc:Vpc")) == 1
    for absent in ("VpcEndpoint", "VpcPeeringConnection", "ResolverFirewallRule"):
        assert not seen.of(absent)
    assert len(seen.of("NatGateway")) == 1


def test_a_limited_session_reaches_gateway_endpoints_and_storage_and_nothing_else(recorder: Recorder) -> None:
    seen = run(recorder, stack(SHUT))
    ways = {
        one.name.partition("-to-")[2]: one.inputs
        for one in seen.of("SecurityGroupEgressRule")
        if one.inputs["tags"]["agentenv:role"] == "session"
    }
    assert ways["gateway"]["referencedSecurityGroupId"].endswith("gateway-id")
    assert ways["gateway"]["fromPort"] == ways["gateway"]["toPort"] == 3128
    assert ways["endpoints"]["referencedSecurityGroupId"].endswith("endpoints-id")
    assert ways["storage"]["prefixListId"] == "pl-s3"
    assert set(ways) == {"gateway", "endpoints", "storage"}
    assert not any("cidrIpv4" in way for way in ways.values())
    assert all(way["description"] for way in ways.values())


def test_nothing_reaches_a_session(recorder: Recorder) -> None:
    seen = run(recorder, FULL)
    rules = seen.of("SecurityGroupIngressRule")
    assert {one.inputs["tags"]["agentenv:role"] for one in rules} == {"gateway", "endpoint"}


def test_rules_opened_by_hand_are_closed(recorder: Recorder) -> None:
    seen = run(recorder, FULL)
    exclusive = {one.inputs["securityGroupId"] for one in seen.of("VpcSecurityGroupRulesExclusive")}
    assert exclusive == {f"{one.name}-id" for one in seen.of("ec2/securityGroup:SecurityGroup")}


def test_the_resolver_ends_in_block_and_fails_closed(recorder: Recorder) -> None:
    seen = run(recorder, stack(SHUT))
    last = max(seen.of("ResolverFirewallRule"), key=lambda one: one.inputs["priority"])
    lists = {f"{one.name}-id": one.inputs["domains"] for one in seen.of("ResolverFirewallDomainList")}
    assert last.inputs["action"] == "BLOCK"
    assert lists[last.inputs["firewallDomainListId"]] == ["*"]
    assert [one.inputs["firewallFailOpen"] for one in seen.of("ResolverFirewallConfig")] == ["DISABLED"]


def definitions(seen: Recorder) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    return {
        one.name: (one.inputs, json.loads(one.inputs["containerDefinitions"])[0])
        for one in seen.of("ecs/taskDefinition:TaskDefinition")
    }


def test_every_container_is_hardened_and_runs_by_digest(recorder: Recorder) -> None:
    for inputs, container in definitions(run(recorder, FULL)).values():
        assert container["image"].endswith(f"@{DIGEST}")
        assert container["user"] in ("10001:10001", "10002:10002")
        assert container["readonlyRootFilesystem"] is True
        assert container["privileged"] is False
        assert container["linuxParameters"] == {"capabilities": {"drop": ["ALL"]}, "initProcessEnabled": True}
        assert ("taskRoleArn" in inputs) == (container["name"] == "gateway")


def test_one_definition_for_each_shape_and_no_resource_for_a_session_that_needs_none(recorder: Recorder) -> None:
    names = set(definitions(run(recorder, FULL)))
    (with_secret,) = [name for name in names if name.startswith("open_run-")]
    assert names == {"open_gateway", "shut_gateway", "shut_run", "shut_service-c", with_secret}
    many = stack(SHUT, sessions=tuple(session(f"s{i}", "shut", resources={"cpu": 1 + i % 4}) for i in range(40)))
    few = stack(SHUT, sessions=(session("s0", "shut"),))
    assert len(run(Recorder(), many).seen) == len(run(Recorder(), few).seen)


def test_a_service_or_a_schedule_costs_two_resources_at_most(recorder: Recorder) -> None:
    with_one = stack(SHUT, sessions=(session("s", "shut"), service("c", "shut")))
    without = stack(SHUT, sessions=(session("s", "shut"),))
    components_and_shapes = {"Session", "TaskDefinition"}
    kinds = [one.type for one in run(recorder, with_one).seen]
    for one in run(Recorder(), without).seen:
        kinds.remove(one.type)
    assert len([kind for kind in kinds if kind.rpartition(":")[2] not in components_and_shapes]) <= 2


def test_a_service_has_its_size_in_its_definition(recorder: Recorder) -> None:
    inputs, container = definitions(run(recorder, FULL))["shut_service-c"]
    assert (inputs["cpu"], inputs["memory"]) == ("2048", "4096")
    assert inputs["ephemeralStorage"] == {"sizeInGib": 50}
    assert container["portMappings"] == [{"containerPort": 8080, "protocol": "tcp"}]


def test_a_gateway_is_told_where_its_policy_is_and_nothing_that_changes_with_it(recorder: Recorder) -> None:
    inputs, container = definitions(run(recorder, FULL))["shut_gateway"]
    assert {pair["name"]: pair["value"] for pair in container["environment"]} == {
        "AWS_DEFAULT_REGION": "eu-west-1",
        "EGRESS_IDENTITY": "ecs:agentenv_test",
        "EGRESS_POLICY": "s3://agentenv-test-policies-123456789012/egress-policies/shut.json",
        "EGRESS_STATE": "/state",
    }
    assert container["healthCheck"]["command"] == ["CMD", "python3", "-m", "egress_gateway", "check"]
    assert {point["containerPath"] for point in container["mountPoints"]} == {"/state", "/tmp"}
    assert {volume["name"] for volume in inputs["volumes"]} == {
        point["sourceVolume"] for point in container["mountPoints"]
    }
    wider = copy.deepcopy(SHUT)
    wider["config"]["networking"]["allowed_hosts"].append("b.example.com")
    then = definitions(run(Recorder(), stack(OPEN, wider, sessions=SESSIONS)))["shut_gateway"]
    assert then == (inputs, container)


def test_each_gateway_reads_an_object_of_its_own_that_holds_the_output_of_its_environment(recorder: Recorder) -> None:
    seen = run(recorder, FULL)
    objects = {one.inputs["key"]: one.inputs for one in seen.of("BucketObjectv2")}
    assert set(objects) == {"egress-policies/open.json", "egress-policies/shut.json"}
    for model in FULL.environments:
        text = objects[f"egress-policies/{model.name}.json"]["content"]
        assert json.loads(text) == egress_policy(model, FULL.sessions_of(model.name)).to_json()
    readers = {
        one.name: [key for key in objects if key in one.inputs["policy"]]
        for one in seen.of("iam/rolePolicy:RolePolicy")
    }
    assert {name: keys for name, keys in readers.items() if keys} == {
        f"{name}_gateway-gateway": [f"egress-policies/{name}.json"] for name in ("open", "shut")
    }


def test_a_policy_object_is_seen_to_be_changed_by_hand_and_takes_no_more_tags_than_s3_has(recorder: Recorder) -> None:
    (one,) = run(recorder, stack(SHUT, tags={f"t{i}": "x" for i in range(30)})).of("BucketObjectv2")
    assert one.inputs["etag"] == hashlib.md5(one.inputs["content"].encode(), usedforsecurity=False).hexdigest()
    assert one.inputs["overrideProvider"] == {"defaultTags": {"tags": {}}}
    assert len(one.inputs["tags"]) <= 10
    assert (
        one.inputs["tags"].items()
        >= {"agentenv:stack": "test", "agentenv:team": "t", "agentenv:cost-centre": "t"}.items()
    )


def test_every_way_to_start_a_task_tags_it_with_its_environment_and_its_session(recorder: Recorder) -> None:
    seen = run(recorder, FULL)
    wanted = {"agentenv:environment", "agentenv:session", "agentenv:role"}
    (scheduled,) = [one.inputs["target"]["ecsParameters"] for one in seen.of("schedule:Schedule")]
    assert {key: scheduled["tags"][key] for key in wanted} == {
        "agentenv:environment": "open",
        "agentenv:session": "a",
        "agentenv:role": "session",
    }
    services = {one.name: one.inputs for one in seen.of("ecs/service:Service")}
    assert services["c"]["propagateTags"] == "SERVICE"
    assert {key: services["c"]["tags"][key] for key in wanted} == {
        "agentenv:environment": "shut",
        "agentenv:session": "c",
        "agentenv:role": "session",
    }
    # The gateways themselves are nobody's session.
    assert {name for name, inputs in services.items() if "agentenv:session" not in inputs["tags"]} == {
        "open_gateway",
        "shut_gateway",
    }


def test_whoever_starts_runs_can_tag_them_with_one_environment_only(recorder: Recorder) -> None:
    seen = run(recorder, stack(SHUT | {"name": "Data (EU)"}, sessions=(session("s", "Data (EU)"),)))
    (starter,) = seen.of("iam/policy:Policy")
    (tagging,) = [s for s in json.loads(starter.inputs["policy"])["Statement"] if s["Action"] == ["ecs:TagResource"]]
    given = tagging["Condition"]["StringEquals"]
    assert given["aws:RequestTag/agentenv:environment"] == "Data _EU_"
    (definition,) = [one for one in seen.of("TaskDefinition") if one.inputs["tags"]["agentenv:role"] == "session"]
    tags = definition.inputs["tags"]
    assert {key: tags[key] for key in ("agentenv:environment", "agentenv:role")} == {
        key.removeprefix("aws:RequestTag/"): value for key, value in given.items() if "RequestTag" in key
    }


def test_only_gateways_have_a_role_of_their_own_and_a_way_to_the_services_that_they_ask(recorder: Recorder) -> None:
    seen = run(recorder, FULL)
    assert {inputs["tags"]["agentenv:role"] for inputs, _ in definitions(seen).values() if "taskRoleArn" in inputs} == {
        "gateway"
    }
    services = [
        one.inputs for one in seen.of("ecs/service:Service") if one.inputs["tags"]["agentenv:role"] == "gateway"
    ]
    assert all(one["networkConfiguration"]["assignPublicIp"] is True for one in services)
    out = [
        one.inputs
        for one in seen.of("SecurityGroupEgressRule")
        if one.inputs["tags"]["agentenv:role"] == "gateway" and one.inputs["fromPort"] == 443
    ]
    assert [rule["cidrIpv4"] for rule in out] == ["0.0.0.0/0"] * len(services)


def test_secrets_are_read_by_the_execution_role_of_their_environment_only(recorder: Recorder) -> None:
    seen = run(recorder, FULL)
    readers = [one.name for one in seen.of("iam/rolePolicy:RolePolicy") if SECRET in one.inputs["policy"]]
    assert readers == ["open-execution"]


def test_injected_secrets_are_read_by_the_gateway_only(recorder: Recorder) -> None:
    route = {
        "name": "crm",
        "source": SECRET,
        "inject": {"origin": "https://crm.example.com", "header": "authorization"},
    }
    seen = run(recorder, stack(SHUT, sessions=(session("s", "shut", secrets=[route]),)))
    readers = [one.name for one in seen.of("iam/rolePolicy:RolePolicy") if SECRET in one.inputs["policy"]]
    assert readers == ["shut_gateway-gateway"]
    containers = {name: container for name, (_, container) in definitions(seen).items()}
    assert containers["shut_run"]["secrets"] == []
    assert SECRET not in json.dumps(containers["shut_run"])


def test_equal_packages_share_one_build(recorder: Recorder) -> None:
    twin = OPEN | {"name": "twin"}
    images = run(recorder, stack(OPEN, twin)).of("docker-build:index:Image")
    assert sorted(one.name.split("-")[2] for one in images) == ["gateway", "session"]


def test_the_command_that_starts_a_run_is_one_that_a_shell_reads() -> None:
    words = shlex.split(start_command("c", "Data analysis: EU", "sg-1", ["subnet-1"]))
    network = json.loads(words[words.index("--network-configuration") + 1])["awsvpcConfiguration"]
    assert network == {"subnets": ["subnet-1"], "securityGroups": ["sg-1"], "assignPublicIp": "DISABLED"}
    tags = words[words.index("--tags") + 1 :]
    assert tags == [
        "key=agentenv:environment,value=Data analysis: EU",
        "key=agentenv:session,value=SESSION",
        "key=agentenv:role,value=session",
    ]


def test_what_is_shared_has_a_price(recorder: Recorder) -> None:
    prices = {name: declare_and_price(environments) for name, environments in (("open", [OPEN]), ("shut", [SHUT]))}
    assert (prices["open"]["nat"], prices["open"]["endpoints"]) == (0.05, 0)
    assert (prices["shut"]["nat"], prices["shut"]["endpoints"]) == (0, 0.06)
    assert all(price["total"] == pytest.approx(sum(price.values()) / 2) for price in prices.values())


def declare_and_price(environments: list[dict[str, Any]]) -> dict[str, float]:
    with_network = stack(*environments)
    needs = Needs(
        limited=any(e.limited is not None for e in with_network.environments),
        unrestricted=any(e.limited is None for e in with_network.environments),
        state_bucket=pulumi.Output.from_input("bucket"),
    )
    return dict(shared_price(with_network, needs))


def of_bucket(seen: Recorder, part: str) -> dict[str, list[dict[str, Any]]]:
    """Inputs of what makes up one bucket, by kind; `part` is in its logical name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one in seen.seen:
        if one.type.startswith("aws:s3/") and one.name == f"agents-{part}":
            found.setdefault(one.type.rpartition(":")[2], []).append(one.inputs)
    return found


@pytest.mark.parametrize(
    ("sessions", "kind", "kept"), [((), "tasks", False), (SESSIONS[3:], "state", True)], ids=["no hybrid", "hybrid"]
)
def test_a_stack_has_one_bucket_that_its_sessions_reach(
    recorder: Recorder, sessions: tuple[dict[str, Any], ...], kind: str, kept: bool
) -> None:
    seen = run(recorder, stack(SHUT, sessions=sessions))
    # Registered side by side, in either order.
    assert sorted(one.inputs["bucket"] for one in seen.of("s3/bucket:Bucket")) == sorted(
        [f"agentenv-test-{kind}-123456789012", "agentenv-test-policies-123456789012"]
    )
    parts = of_bucket(seen, kind)
    ((bucket,), (closed,), (owned,)) = (
        parts[name] for name in ("Bucket", "BucketPublicAccessBlock", "BucketOwnershipControls")
    )
    assert bucket["forceDestroy"] is not kept
    assert all(closed[field] is True for field in closed if field.startswith(("block", "ignore", "restrict")))
    assert owned["rule"] == {"objectOwnership": "BucketOwnerEnforced"}
    assert parts["BucketVersioning"][0]["versioningConfiguration"] == {"status": "Enabled"}
    assert "aws:SecureTransport" in parts["BucketPolicy"][0]["policy"]
    rules = {rule["filter"]["prefix"]: rule for rule in parts["BucketLifecycleConfiguration"][0]["rules"]}
    assert rules[""]["noncurrentVersionExpiration"] == {"noncurrentDays": 30}
    assert "expiration" not in rules[""]
    assert (rules["tasks/"]["expiration"], rules["tasks/"]["noncurrentVersionExpiration"]) == (
        {"days": 1},
        {"noncurrentDays": 1},
    )
    # State is written at each turn: what is there stays, and of what was there a few.
    of_state = {
        key: rule for prefix, rule in rules.items() if prefix == "state/" for key, rule in rule.items() if "xpir" in key
    }
    saved = {"noncurrentDays": 1, "newerNoncurrentVersions": 5}
    assert of_state == ({"noncurrentVersionExpiration": saved} if kept else {})


@pytest.mark.parametrize(
    ("environments", "ways"),
    [
        (
            (OPEN, SHUT),
            {
                "StringNotEquals": {"aws:SourceVpce": "agents-network-s3-id"},
                "NotIpAddress": {"aws:SourceIp": "203.0.113.9/32"},
            },
        ),
        ((SHUT,), {"StringNotEquals": {"aws:SourceVpce": "agents-network-s3-id"}}),
        ((OPEN,), {"NotIpAddress": {"aws:SourceIp": "203.0.113.9/32"}}),
    ],
    ids=["both", "limited", "unrestricted"],
)
def test_addresses_in_the_sessions_bucket_are_good_from_their_own_networks_alone(
    recorder: Recorder, environments: tuple[dict[str, Any], ...], ways: dict[str, Any]
) -> None:
    seen = run(recorder, stack(*environments))
    _, signed = json.loads(of_bucket(seen, "tasks")["BucketPolicy"][0]["policy"])["Statement"]
    assert signed["Condition"] == {"StringEquals": {"s3:authType": "REST-QUERY-STRING"}} | ways
    # Gateways read their policies with their role, from outside of both networks.
    (policies,) = [json.loads(one["policy"]) for one in of_bucket(seen, "policies")["BucketPolicy"]]
    assert [statement["Sid"] for statement in policies["Statement"]] == ["TlsOnly"]


def test_the_storage_endpoint_lets_presigned_urls_of_this_account_through_and_no_other_bucket(
    recorder: Recorder,
) -> None:
    seen = run(recorder, FULL)
    (endpoint,) = [one.inputs for one in seen.of("VpcEndpoint") if one.inputs["vpcEndpointType"] == "Gateway"]
    bucket = "arn:aws:s3:::agentenv-test-state-123456789012"
    assert {s["Sid"]: (s["Action"], s["Resource"]) for s in json.loads(endpoint["policy"])["Statement"]} == {
        "ImageLayers": (["s3:GetObject"], ["arn:aws:s3:::prod-eu-west-1-starport-layer-bucket/*"]),
        "SavedState": (["s3:GetObject", "s3:PutObject"], [f"{bucket}/state/*"]),
        "Tasks": (["s3:GetObject"], [f"{bucket}/tasks/*"]),
    }
    names = next(one.inputs["domains"] for one in seen.of("FirewallDomainList") if one.name.endswith("allowed"))
    assert "agentenv-test-state-123456789012.s3.eu-west-1.amazonaws.com" in names


def test_whoever_starts_runs_reaches_the_state_of_their_own_environment_alone(recorder: Recorder) -> None:
    seen = run(recorder, FULL)
    for one in seen.of("iam/policy:Policy"):
        environment = one.name.removesuffix("-starter")
        (statement,) = [s for s in json.loads(one.inputs["policy"])["Statement"] if s["Sid"] == "KeepState"]
        assert statement["Resource"] == [f"arn:aws:s3:::agentenv-test-state-123456789012/state/{environment}/*"]


def test_an_environment_says_where_its_state_is(recorder: Recorder) -> None:
    details = outputs(recorder, FULL)
    assert {name: found["state_bucket"] for name, found in details.items()} == dict.fromkeys(
        ("open", "shut"), "agentenv-test-state-123456789012"
    )


def outputs(recorder: Recorder, declared: Stack) -> dict[str, Any]:
    """Details of the environments of `declared`, resolved."""
    pulumi.runtime.set_mocks(recorder, stack="test", project="p", preview=False)
    found: dict[str, Any] = {}

    def keep(name: str, output: pulumi.Output[Any]) -> pulumi.Output[None]:
        return output.apply(lambda known: found.update({name: known}))

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def program() -> pulumi.Output[Any]:
        runtime = Fargate("agents", {"stack": declared, "region": "eu-west-1"})
        made = (
            Environment(model.name, {"runtime": runtime, "environment": model, "sessions": ()})
            for model in declared.environments
        )
        return pulumi.Output.all(
            *(keep(model.name, one.details) for model, one in zip(declared.environments, made, strict=True))
        )

    program()
    return found


PAIRS = stack(SHUT, sessions=(pair("p", "shut"), pair("q", "shut", ports=[8080, 8081], **TOKEN)))


@pytest.mark.parametrize("preview", [True, False])
def test_several_agents_in_one_container_have_a_definition_of_their_own(recorder: Recorder, preview: bool) -> None:
    seen = run(recorder, PAIRS, preview=preview).of("ecs/taskDefinition:TaskDefinition")
    assert sorted(one.name for one in seen) == ["shut_agents", "shut_gateway", "shut_service-q"]


@pytest.mark.parametrize("name", ["shut_agents", "shut_service-q"])
def test_a_supervisor_is_root_with_what_it_needs_to_become_its_agents(recorder: Recorder, name: str) -> None:
    _, container = definitions(run(recorder, PAIRS))[name]
    assert container["user"] == "0:0"
    assert (container["privileged"], container["readonlyRootFilesystem"]) == (False, True)
    capabilities = container["linuxParameters"]["capabilities"]
    assert "add" not in capabilities
    assert {"ALL", "SETUID", "SETGID"}.isdisjoint(capabilities["drop"])
    assert {"CHOWN", "DAC_OVERRIDE", "KILL", "NET_RAW", "SETPCAP"} <= set(capabilities["drop"])


def test_a_service_that_idles_is_refused_since_ecs_would_start_it_again() -> None:
    with pytest.raises(InvalidInput, match=r"sessions\[0\]\.idle_timeout = 600: ECS starts .*agentenv stop"):
        Fargate.check_stack(stack(SHUT, sessions=(service("c", "shut", idle_timeout=600),)))


def test_a_certificate_authority_is_trusted_in_sessions_and_gateways(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = authority("own")
    (tmp_path / "own.pem").write_text(own)
    monkeypatch.setattr(pulumi, "get_root_directory", lambda: str(tmp_path))
    builds = run(recorder, stack(SHUT, certificate_authorities=["own.pem"])).of("docker-build:index:Image")
    assert len(builds) == 2
    assert all(own.strip() in one.inputs["dockerfile"]["inline"].replace("\\n", "\n") for one in builds)


def test_the_key_admits_the_log_groups_whatever_the_stack_is_called(recorder: Recorder) -> None:
    seen = run(recorder, stack(SHUT | {"name": "Data Analysis: EU"}), name="Prod.eu")
    (key,) = seen.of("kms/key:Key")
    (statement,) = [s for s in json.loads(key.inputs["policy"])["Statement"] if "Condition" in s]
    (pattern,) = statement["Condition"]["ArnLike"].values()
    groups = [one.inputs["name"] for one in seen.of("cloudwatch/logGroup:LogGroup")]
    assert len(groups) == 2
    assert all(fnmatch(f"arn:aws:logs:eu-west-1:123456789012:log-group:{group}", pattern) for group in groups)
    assert all(re.fullmatch(r"[\w+=,.@-]+", one.name) for one in seen.of("iam/rolePolicy:RolePolicy"))


def test_archived_environments_stay_without_sessions(recorder: Recorder) -> None:
    old = SHUT | {"archived_at": "2026-01-01T00:00:00Z"}
    seen = run(recorder, stack(old))
    assert len(seen.of("ec2/securityGroup:SecurityGroup")) == 3
    assert set(definitions(seen)) == {"shut_gateway"}
