"""The life of a stack, from its first `up` to `destroy`. The tests of this module follow on each other."""

import copy
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pulumi import automation as auto

from components.models.tags import Role, RunTag, Tag
from components.plans.egress import policy_hash
from components.plans.saved import tasks_prefix
from components.plans.task import OVERRIDE_LIMIT
from tests.engine.conftest import POLICIES, ROOT, STACK, Deployment

pytestmark = [pytest.mark.engine, pytest.mark.containers]

DECLARED: dict[str, Any] = {
    "team": "research",
    "runtime": "fargate",
    "cost_centre": "r-42",
    "environments": [
        {
            "name": "data-analysis",
            "config": {
                "type": "cloud",
                "packages": {"pip": ["pandas", "numpy", "scikit-learn"], "npm": ["express"]},
                "networking": {"type": "unrestricted"},
            },
        },
        {
            "name": "api-client",
            "config": {
                "type": "cloud",
                "networking": {
                    "type": "limited",
                    "allowed_hosts": ["api.example.com"],
                    "allow_mcp_servers": True,
                    "allow_package_managers": True,
                },
            },
        },
    ],
    "sessions": [
        {
            "name": "nightly-report",
            "environment": "data-analysis",
            "pattern": "ephemeral",
            "agent": {"model": "sonnet", "max_turns": 30},
            "schedule": {"expression": "cron(0 3 * * ? *)", "prompt": "Report."},
        },
        {
            "name": "order-desk",
            "environment": "api-client",
            "pattern": "ephemeral",
            "agent": {"model": "sonnet", "max_turns": 20},
        },
    ],
}


def changed(**sessions_or_packages: Any) -> dict[str, Any]:
    data = copy.deepcopy(DECLARED)
    if "packages" in sessions_or_packages:
        data["environments"][0]["config"]["packages"]["pip"] += sessions_or_packages["packages"]
    data["sessions"] += sessions_or_packages.get("sessions", [])
    return data


SERVICE = {
    "name": "chat",
    "environment": "api-client",
    "pattern": "long_running",
    "ports": [8080],
    "token_sha256": "5e" * 32,
    "agent": {"model": "sonnet", "max_turns": 200},
}
PAIR = {
    "name": "side-by-side",
    "environment": "api-client",
    "pattern": "single_container",
    "agents": [{"name": name, "model": "sonnet", "max_turns": 5} for name in ("reader", "writer")],
}
EPHEMERAL = {
    "name": "one-more",
    "environment": "api-client",
    "pattern": "ephemeral",
    "resources": {"cpu": 2},
    "agent": {
        "model": "sonnet",
        "max_turns": 5,
        "mcp_servers": [{"name": "orders", "url": "https://mcp.example.com/sse"}],
    },
}


POLICY_OF_API_CLIENT = "aws:s3/bucketObjectv2:BucketObjectv2 api-client_gateway"


def test_bad_input_is_one_error_before_anything_is_created(deployment: Deployment) -> None:
    bad = changed(sessions=[SERVICE | {"environment": "api-clint"}])
    bad["environments"][0]["config"]["packages"]["pip"].append("six; rm -rf /")
    deployment.declare(bad)
    with pytest.raises(auto.CommandError) as caught:
        deployment.up()
    shown = str(caught.value)
    assert "environments[0].config.packages.pip[3] = 'six; rm -rf /': " in shown
    assert "Traceback" not in shown
    assert deployment.resources() == []


def test_a_task_that_fargate_lacks_is_one_error_before_anything_is_created(deployment: Deployment) -> None:
    deployment.declare(changed(sessions=[EPHEMERAL | {"resources": {"disk_gib": 201}}]))
    with pytest.raises(auto.CommandError, match=r"sessions\[2\]\.resources\.disk_gib = 201: .*200 GiB of disk"):
        deployment.up()
    assert deployment.resources() == []


def test_a_violating_stack_is_stopped_by_the_pack_with_nothing_created(deployment: Deployment) -> None:
    endless = EPHEMERAL | {"agent": {"model": "sonnet"}}
    deployment.declare(changed(sessions=[endless]))
    with pytest.raises(auto.CommandError, match="max_turns"):
        deployment.up()
    assert deployment.resources() == []
    assert not [v for v in deployment.client("ec2").describe_vpcs()["Vpcs"] if not v["IsDefault"]]


def test_up_creates_everything(deployment: Deployment) -> None:
    deployment.declare(DECLARED)
    deployment.up()
    outputs = deployment.outputs()
    environments, sessions = outputs["environments"], outputs["sessions"]
    assert environments["api-client"]["networking"] == "limited"
    hosts = {entry["host"]: entry["field"] for entry in environments["api-client"]["egress_policy"]["hosts"]}
    assert hosts["api.example.com"] == "config.networking.allowed_hosts[0]"
    assert sessions["order-desk"]["usd_per_hour"] == 0.0494
    assert "-> 1 vCPU, 2 GiB" in sessions["order-desk"]["size"]
    (image,) = environments["data-analysis"]["images"].values()
    repository, _, digest = image.partition("@")
    name = repository.partition("/")[2]
    found = deployment.client("ecr").describe_images(repositoryName=name)["imageDetails"]
    assert digest in {one["imageDigest"] for one in found}


def task_of(deployment: Deployment, run: str) -> tuple[Any, dict[str, str], dict[str, str]]:
    """What the emulated ECS has of a run: its task, the tags of that, and the variables that its overrides set."""
    cluster = deployment.outputs()["environments"]["api-client"]["cluster"]
    answer = deployment.client("ecs").describe_tasks(cluster=cluster, tasks=[run], include=["TAGS"])
    (task,) = answer["tasks"]
    (container,) = task["overrides"]["containerOverrides"]
    variables = {pair["name"]: pair["value"] for pair in container["environment"]}
    return task, {pair["key"]: pair["value"] for pair in task["tags"]}, variables


def test_a_run_is_started_listed_and_stopped_by_what_the_outputs_say(deployment: Deployment) -> None:
    outputs = deployment.outputs()
    session, environment = outputs["sessions"]["order-desk"], outputs["environments"]["api-client"]
    (digest,) = (image.partition("@")[2] for image in environment["images"].values())
    started = deployment.agentenv("start", "order-desk", "--prompt", "Sum up the orders.", "--env", "TONE=kind")
    task, tags, variables = task_of(deployment, started["id"])
    assert task["taskArn"].endswith(f"/{started['id']}")
    assert task["taskDefinitionArn"] == session["task_definition"]
    assert {key: value for key, value in tags.items() if key.startswith("agentenv:")} == {
        Tag.ENVIRONMENT: "api-client",
        Tag.SESSION: "order-desk",
        Tag.ROLE: Role.SESSION,
        RunTag.RUN: variables["AGENTENV_RUN"],
        RunTag.IMAGE: digest,
        RunTag.POLICY: environment["policy_hash"],
    }
    assert (task["overrides"]["cpu"], task["overrides"]["memory"]) == ("1024", "2048")
    assert json.loads(variables["AGENTENV_TASK"]) == {
        "version": 1,
        "run": variables["AGENTENV_RUN"],
        "prompt": "Sum up the orders.",
    }
    assert json.loads(variables["AGENTENV_SESSION"])["name"] == "order-desk"
    assert variables["TONE"] == "kind"

    told = {one["id"]: one for one in deployment.agentenv("list")["runs"]}[started["id"]]
    assert (told["session"], told["environment"], told["kind"]) == ("order-desk", "api-client", "run")
    assert (told["image"], told["policy_hash"]) == (digest, environment["policy_hash"])
    stopped = deployment.agentenv("stop", started["id"])
    assert (stopped["id"], stopped["status"]) == (started["id"], "ended")
    assert task_of(deployment, started["id"])[0]["stoppedReason"] == "agentenv stop"


def test_a_task_that_is_too_long_for_ecs_lies_in_the_stacks_bucket(deployment: Deployment) -> None:
    prompt = "x" * OVERRIDE_LIMIT
    started = deployment.agentenv("start", "order-desk", "--prompt", prompt)
    _, tags, variables = task_of(deployment, started["id"])
    assert "AGENTENV_TASK" not in variables
    bucket = deployment.outputs()["environments"]["api-client"]["state_bucket"]
    host, _, key = urlsplit(variables["AGENTENV_TASK_URL"]).path.lstrip("/").partition("/")
    assert (host, key.startswith(tasks_prefix("api-client"))) == (bucket, True)
    assert tags[RunTag.RUN] not in key, "who may read the tag does not know the key"
    kept = deployment.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    assert json.loads(kept)["prompt"] == prompt
    # Without credentials: that it is good inside the stack alone is the bucket's policy, which the emulator skips.
    with urllib.request.urlopen(variables["AGENTENV_TASK_URL"], timeout=30) as answer:
        assert answer.read() == kept


def test_the_table_of_make_demo_aws_has_each_environment_and_a_run_of_each_session(deployment: Deployment) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "offline.inventory", STACK],
        cwd=deployment.folder,
        env=os.environ | deployment.environment | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines() if "│" in line]
    fences = {row[0]: row[1] for row in rows if len(row) == 6 and row[1] in ("limited", "unrestricted")}
    assert fences == {"data-analysis": "unrestricted", "api-client": "limited"}
    sizes = {row[0]: (row[1], row[3], row[4]) for row in rows if row[0] in ("nightly-report", "order-desk")}
    assert sizes == {"nightly-report": ("data-analysis", "1", "2"), "order-desk": ("api-client", "1", "2")}
    assert "2 VPCs" in done.stdout


def policy_in_s3(deployment: Deployment, environment: str) -> Any:
    """What the gateway of this environment reads."""
    s3 = deployment.client("s3")
    (bucket,) = [one["Name"] for one in s3.list_buckets()["Buckets"] if "policies" in one["Name"]]
    return json.loads(s3.get_object(Bucket=bucket, Key=f"egress-policies/{environment}.json")["Body"].read())


def test_each_gateway_is_given_the_policy_that_the_outputs_show(deployment: Deployment) -> None:
    environments = deployment.outputs()["environments"]
    assert set(environments) == {"data-analysis", "api-client"}
    for name, environment in environments.items():
        assert policy_in_s3(deployment, name) == environment["egress_policy"]
        assert environment["policy_hash"] == policy_hash(environment["egress_policy"])


def test_the_gateway_image_holds_the_registries_of_an_environment_that_may_use_them(deployment: Deployment) -> None:
    found = deployment.client("ecr").describe_images(repositoryName="agentenv/test/gateway")["imageDetails"]
    assert len(found) == 2


def test_a_second_preview_is_empty(deployment: Deployment) -> None:
    deployment.preview(expect_no_changes=True)


def test_every_taggable_thing_carries_the_required_tags(deployment: Deployment) -> None:
    state = (deployment.stack.export_stack().deployment or {})["resources"]
    tagged = {one["urn"]: one["outputs"]["tagsAll"] for one in state if one.get("outputs", {}).get("tagsAll")}
    assert len(tagged) > 50
    wanted = {"agentenv:stack": STACK, "agentenv:team": "research", "agentenv:cost-centre": "r-42"}
    assert [urn for urn, tags in tagged.items() if not wanted.items() <= tags.items()] == []


def test_a_package_changes_its_image_and_what_depends_on_it_only(deployment: Deployment) -> None:
    deployment.declare(changed(packages=["tabulate"]))
    steps = deployment.up()
    assert steps.changed("Image")
    assert steps.changed() == steps.changed("Image", "TaskDefinition", "Schedule")
    dependents = steps.changed("TaskDefinition", "Schedule")
    assert all("data-analysis" in name or "nightly-report" in name for name in dependents)


def test_a_service_adds_its_own_resources_only(deployment: Deployment) -> None:
    deployment.declare(changed(packages=["tabulate"], sessions=[SERVICE]))
    steps = deployment.up()
    assert all(" chat" in name or name.endswith("-chat") for name in steps.changed())
    assert {steps.operations[name] for name in steps.changed()} == {"create"}
    assert len(steps.changed()) == 3


def test_a_session_that_needs_nothing_of_its_own_adds_no_resource(deployment: Deployment) -> None:
    deployment.declare(changed(packages=["tabulate"], sessions=[SERVICE, EPHEMERAL]))
    steps = deployment.up()
    # Its MCP server is one more host of the policy.
    assert steps.changed() == [POLICY_OF_API_CLIENT]
    assert steps.operations[POLICY_OF_API_CLIENT] == "update"
    assert deployment.outputs()["sessions"]["one-more"]["overrides"]["cpu"] == "2048"


def test_several_agents_in_one_container_add_a_definition_of_their_own(deployment: Deployment) -> None:
    deployment.declare(changed(packages=["tabulate"], sessions=[SERVICE, EPHEMERAL, PAIR]))
    steps = deployment.up()
    assert steps.changed() == ["aws:ecs/taskDefinition:TaskDefinition api-client_agents"]
    arn = deployment.outputs()["sessions"]["side-by-side"]["task_definition"]
    definition = deployment.client("ecs").describe_task_definition(taskDefinition=arn)["taskDefinition"]
    (container,) = definition["containerDefinitions"]
    dropped = container["linuxParameters"]["capabilities"]["drop"]
    assert container["user"] == "0:0"
    assert {"SETUID", "SETGID", "ALL"}.isdisjoint(dropped)
    assert {"CHOWN", "DAC_OVERRIDE", "KILL", "NET_RAW"} <= set(dropped)


def test_the_bucket_of_state_and_tasks_is_private_and_forgets_tasks(deployment: Deployment) -> None:
    environments = deployment.outputs()["environments"]
    (bucket,) = {environment["state_bucket"] for environment in environments.values()}
    s3 = deployment.client("s3")
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    (owned,) = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert owned["ObjectOwnership"] == "BucketOwnerEnforced"
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    expiring = {rule["Filter"]["Prefix"]: rule["Expiration"]["Days"] for rule in rules if "Expiration" in rule}
    assert expiring == {"tasks/": 1}
    # The emulator takes every condition for met, so the stand-in keeps the policy as it was written.
    resources = deployment.stack.export_stack().deployment["resources"]  # type: ignore[index]
    (policy,) = [one["outputs"]["policy"] for one in resources if one["urn"].endswith("BucketPolicy::agents-tasks")]
    (signed,) = [one for one in json.loads(policy)["Statement"] if one["Sid"] == "SignedAddressesFromSessionsOnly"]
    (endpoint,) = [
        one["VpcEndpointId"]
        for one in deployment.client("ec2").describe_vpc_endpoints()["VpcEndpoints"]
        if one["VpcEndpointType"] == "Gateway"
    ]
    (address,) = [one["PublicIp"] for one in deployment.client("ec2").describe_addresses()["Addresses"]]
    assert signed["Condition"] == {
        "StringEquals": {"s3:authType": "REST-QUERY-STRING"},
        "StringNotEquals": {"aws:SourceVpce": endpoint},
        "NotIpAddress": {"aws:SourceIp": f"{address}/32"},
    }


def test_an_allowed_host_changes_the_policy_and_starts_no_gateway_anew(deployment: Deployment) -> None:
    data = changed(packages=["tabulate"], sessions=[SERVICE, EPHEMERAL, PAIR])
    data["environments"][1]["config"]["networking"]["allowed_hosts"].append("b.example.com")
    deployment.declare(data)
    steps = deployment.up()
    assert steps.changed() == [POLICY_OF_API_CLIENT]
    assert steps.operations[POLICY_OF_API_CLIENT] == "update"
    policy = policy_in_s3(deployment, "api-client")
    assert "b.example.com" in {entry["host"] for entry in policy["hosts"]}
    assert policy == deployment.outputs()["environments"]["api-client"]["egress_policy"]
    deployment.preview(expect_no_changes=True)


def test_a_policy_widened_by_hand_is_seen_and_put_back(deployment: Deployment) -> None:
    good = policy_in_s3(deployment, "api-client")
    s3 = deployment.client("s3")
    (bucket,) = [one["Name"] for one in s3.list_buckets()["Buckets"] if "policies" in one["Name"]]
    wide = good | {"hosts": [*good["hosts"], {"host": "evil.example.com", "port": 443, "field": "x"}]}
    s3.put_object(
        Bucket=bucket, Key="egress-policies/api-client.json", Body=json.dumps(wide), ContentType="application/json"
    )
    deployment.stack.refresh(color="never")
    closing = deployment.up()
    assert closing.changed() == closing.changed("BucketObjectv2")
    assert policy_in_s3(deployment, "api-client") == good


def test_a_rule_opened_by_hand_is_seen_and_closed(deployment: Deployment) -> None:
    ec2 = deployment.client("ec2")
    (group,) = ec2.describe_security_groups(
        Filters=[
            {"Name": "tag:agentenv:role", "Values": ["session"]},
            {"Name": "tag:agentenv:environment", "Values": ["api-client"]},
        ]
    )["SecurityGroups"]
    hole = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_egress(GroupId=group["GroupId"], IpPermissions=[hole])

    refreshed = deployment.stack.refresh(color="never")
    assert (refreshed.summary.resource_changes or {}).get(auto.OpType.UPDATE, 0) >= 1
    assert deployment.preview().changed("VpcSecurityGroupRulesExclusive")
    closing = deployment.up()
    assert closing.changed() == closing.changed("VpcSecurityGroupRulesExclusive")
    (after,) = ec2.describe_security_groups(GroupIds=[group["GroupId"]])["SecurityGroups"]
    assert not [rule for rule in after["IpPermissionsEgress"] if rule.get("FromPort") == 22]
    assert len(after["IpPermissionsEgress"]) >= 2
    deployment.preview(expect_no_changes=True)


def test_a_crash_of_the_engine_in_the_middle_of_up_is_healed_by_the_next(deployment: Deployment) -> None:
    third = {"name": "third", "config": {"type": "cloud", "packages": {"pip": ["tabulate==0.9.0"]}}}
    data = changed(packages=["tabulate"], sessions=[SERVICE, EPHEMERAL, PAIR])
    data["environments"].append(third)
    deployment.declare(data)
    before = len(deployment.resources())
    engine = _up_by_hand(deployment)
    try:
        _wait_for_growth(deployment, before + 5, engine)
    finally:
        os.killpg(engine.pid, signal.SIGKILL)
        engine.wait(30)
    deployment.stack.cancel()

    deployment.stack.refresh(color="never", clear_pending_creates=True)
    deployment.up()
    deployment.preview(expect_no_changes=True)
    assert "third" in deployment.outputs()["environments"]


def test_destroy_leaves_nothing(deployment: Deployment) -> None:
    deployment.stack.destroy(color="never")
    assert deployment.resources() == []
    assert left_in_aws(deployment) == []


def left_in_aws(deployment: Deployment) -> list[str]:
    """What the emulated AWS itself still holds of the stack."""
    client = deployment.client
    ec2 = client("ec2")
    alive = ("available", "pending", "active")
    found = [v["VpcId"] for v in ec2.describe_vpcs()["Vpcs"] if not v["IsDefault"]]
    found += [n["NatGatewayId"] for n in ec2.describe_nat_gateways()["NatGateways"] if n["State"] in alive]
    found += [a["AllocationId"] for a in ec2.describe_addresses()["Addresses"]]
    found += [e["VpcEndpointId"] for e in ec2.describe_vpc_endpoints()["VpcEndpoints"] if e["State"].lower() in alive]
    found += [
        p["VpcPeeringConnectionId"]
        for p in ec2.describe_vpc_peering_connections()["VpcPeeringConnections"]
        if p["Status"]["Code"] in ("active", "pending-acceptance")
    ]
    found += [f["FlowLogId"] for f in ec2.describe_flow_logs()["FlowLogs"]]
    found += [r["RoleName"] for r in client("iam").list_roles()["Roles"] if r["RoleName"].startswith("agentenv")]
    found += [p["Arn"] for p in client("iam").list_policies(Scope="Local")["Policies"]]
    found += [g["logGroupName"] for g in client("logs").describe_log_groups()["logGroups"] if "agentenv" in str(g)]
    found += [r["repositoryName"] for r in client("ecr").describe_repositories()["repositories"]]
    clusters = client("ecs").describe_clusters(clusters=client("ecs").list_clusters()["clusterArns"])["clusters"]
    found += [cluster["clusterArn"] for cluster in clusters if cluster["status"] == "ACTIVE"]
    found += client("ecs").list_task_definitions(status="ACTIVE")["taskDefinitionArns"]
    found += [n["Id"] for n in client("servicediscovery").list_namespaces()["Namespaces"]]
    found += [s["Name"] for s in client("scheduler").list_schedules()["Schedules"]]
    found += [b["Name"] for b in client("s3").list_buckets()["Buckets"]]
    found += [
        key["KeyId"]
        for key in client("kms").list_keys()["Keys"]
        if client("kms").describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] == "Enabled"
    ]
    found += [a["AliasName"] for a in client("kms").list_aliases()["Aliases"] if "agentenv" in a["AliasName"]]
    return found


def _up_by_hand(deployment: Deployment) -> subprocess.Popen[bytes]:
    """`pulumi up` as a person types it, in a process group of its own so that all of it can be killed."""
    log = Path(deployment.folder, "up.log").open("wb")  # noqa: SIM115 - the child holds it
    return subprocess.Popen(
        ["pulumi", "up", "--yes", "--non-interactive", "--stack", STACK, "--policy-pack", POLICIES],
        cwd=deployment.folder,
        env=os.environ | deployment.environment,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


def _wait_for_growth(deployment: Deployment, at_least: int, engine: subprocess.Popen[bytes]) -> None:
    """Until the state file on disk holds that many resources."""
    state = Path(deployment.environment["PULUMI_BACKEND_URL"].removeprefix("file://"))
    file = state / ".pulumi" / "stacks" / "agent-environments" / f"{STACK}.json"
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and engine.poll() is None:
        kinds = file.read_text().count('"urn":') if file.exists() else 0
        if kinds >= at_least:
            return
        time.sleep(0.1)
    pytest.fail(f"the engine ended or did nothing: {Path(deployment.folder, 'up.log').read_text()[-2000:]}")
