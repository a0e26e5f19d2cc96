"""The stand-in's ECS clusters, task definitions and services against a moto server."""

import json
from typing import Any

import pytest

from offline.aws.resource import Aws, Props
from tests.offline.aws_driver import CallError, Deployed, Driver
from tests.offline.outputs import assert_complete

CLUSTER = "aws:ecs/cluster:Cluster"
PROVIDERS = "aws:ecs/clusterCapacityProviders:ClusterCapacityProviders"
DEFINITION = "aws:ecs/taskDefinition:TaskDefinition"
SERVICE = "aws:ecs/service:Service"

ROLE = "arn:aws:iam::123456789012:role/execution"


def _definition(family: str, image: str = "one", **more: Any) -> Props:
    container = {"name": "session", "image": f"registry.test/{image}@sha256:{'0' * 64}", "memory": 512, "user": "1000"}
    return {
        "family": family,
        "cpu": "256",
        "memory": "512",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "executionRoleArn": ROLE,
        "runtimePlatform": {"operatingSystemFamily": "LINUX", "cpuArchitecture": "ARM64"},
        "containerDefinitions": json.dumps([container]),
        **more,
    }


@pytest.fixture
def cluster(driver: Driver) -> Deployed:
    return driver.create(CLUSTER, "holder", {})


@pytest.fixture
def network(aws: Aws) -> Props:
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24")["Subnet"]["SubnetId"] for n in range(2)]
    group = ec2.create_security_group(VpcId=vpc, GroupName="g", Description="g")["GroupId"]
    return {"subnets": subnets, "securityGroups": [group], "assignPublicIp": True}


def _service(cluster: Deployed, definition: Deployed, network: Props, **more: Any) -> Props:
    return {
        "cluster": cluster.id,
        "taskDefinition": definition.state["arn"],
        "desiredCount": 1,
        "platformVersion": "1.4.0",
        "enableEcsManagedTags": True,
        "propagateTags": "SERVICE",
        "networkConfiguration": network,
        "deploymentCircuitBreaker": {"enable": True, "rollback": True},
        **more,
    }


def _held(aws: Aws, service: Deployed) -> Any:
    found = aws.client("ecs").describe_services(cluster=service.state["cluster"], services=[service.id])
    return found["services"][0]


def test_cluster_lives_and_dies(driver: Driver, aws: Aws) -> None:
    insights = [{"name": "containerInsights", "value": "enabled"}]
    inputs = {"name": "agents", "settings": insights, "tags": {"team": "research"}}
    changed = {
        "name": "agents",
        "settings": [{"name": "containerInsights", "value": "disabled"}],
        "configuration": {
            "executeCommandConfiguration": {
                "logging": "OVERRIDE",
                "logConfiguration": {"s3BucketName": "logs", "s3BucketEncryptionEnabled": True},
            }
        },
        "tags": {"owner": "x"},
    }
    deployed = driver.lifecycle(CLUSTER, inputs, changed)
    assert deployed.id == f"arn:aws:ecs:eu-west-1:{aws.account_id}:cluster/agents"
    assert_complete(deployed)
    held = aws.client("ecs").describe_clusters(clusters=["agents"], include=["TAGS", "CONFIGURATIONS"])["clusters"][0]
    assert held["tags"] == [{"key": "owner", "value": "x"}]
    logging = held["configuration"]["executeCommandConfiguration"]["logConfiguration"]
    assert logging == {"s3BucketName": "logs", "s3EncryptionEnabled": True}
    assert driver.diff(deployed, {**changed, "name": "other"}).replaces == ["name"]
    aws.client("ecs").update_cluster(
        cluster="agents",
        settings=insights,
        configuration={"executeCommandConfiguration": {"logging": "NONE"}},
    )
    assert driver.drift(deployed) == ["configuration", "settings"]
    driver.assert_deletes(deployed)


def test_capacity_providers(driver: Driver, aws: Aws, cluster: Deployed) -> None:
    name = cluster.inputs["name"]
    inputs = {"clusterName": name, "capacityProviders": ["FARGATE", "FARGATE_SPOT"]}
    spot = [{"capacityProvider": "FARGATE_SPOT", "weight": 1, "base": 0}]
    deployed = driver.lifecycle(PROVIDERS, inputs, {**inputs, "defaultCapacityProviderStrategies": spot})
    assert deployed.id == name
    client = aws.client("ecs")
    client.put_cluster_capacity_providers(
        cluster=name, capacityProviders=["FARGATE"], defaultCapacityProviderStrategy=[]
    )
    assert driver.drift(deployed) == ["capacityProviders", "defaultCapacityProviderStrategies"]
    driver.delete(deployed)
    assert client.describe_clusters(clusters=[name])["clusters"][0]["capacityProviders"] == []
    driver.delete(cluster)
    assert driver.refresh(deployed) is None
    driver.delete(deployed)


def test_definition_lives_and_dies(driver: Driver, aws: Aws) -> None:
    inputs = _definition(
        "research-one", ephemeralStorage={"sizeInGib": 30}, volumes=[{"name": "tmp"}], tags={"team": "research"}
    )
    deployed = driver.lifecycle(DEFINITION, inputs, {**inputs, "tags": {"owner": "x"}})
    family = f"arn:aws:ecs:eu-west-1:{aws.account_id}:task-definition/research-one"
    assert deployed.id == "research-one"
    assert_complete(deployed)
    assert (deployed.state["arn"], deployed.state["arnWithoutRevision"]) == (f"{family}:1", family)
    assert deployed.state["revision"] == 1
    held = aws.client("ecs").describe_task_definition(taskDefinition=f"{family}:1", include=["TAGS"])
    assert held["tags"] == [{"key": "owner", "value": "x"}]
    assert held["taskDefinition"]["ephemeralStorage"] == {"sizeInGiB": 30}
    assert held["taskDefinition"]["runtimePlatform"]["cpuArchitecture"] == "ARM64"
    aws.client("ecs").tag_resource(resourceArn=f"{family}:1", tags=[{"key": "by", "value": "hand"}])
    assert driver.drift(deployed) == ["tags"]
    driver.assert_deletes(deployed)
    assert aws.client("ecs").list_task_definitions(familyPrefix="research-one")["taskDefinitionArns"] == []


def test_changed_definition_is_a_new_revision_made_first(driver: Driver, aws: Aws) -> None:
    old = driver.create(DEFINITION, "task", _definition("family"))
    change = driver.diff(old, _definition("family", "two"))
    assert (change.replaces, change.delete_first) == (["containerDefinitions"], False)
    new = driver.create(DEFINITION, "task", _definition("family", "two"))
    driver.delete(old)
    assert new.state["revision"] == 2
    assert driver.drift(new) == []
    assert aws.client("ecs").list_task_definitions(familyPrefix="family")["taskDefinitionArns"] == [new.state["arn"]]
    driver.delete(new)


def test_containers_spelt_differently_are_no_change(driver: Driver) -> None:
    inputs = _definition("spelling")
    deployed = driver.create(DEFINITION, "task", inputs)
    spaced = json.dumps(json.loads(inputs["containerDefinitions"]), indent=2, sort_keys=True)
    assert driver.diff(deployed, {**inputs, "containerDefinitions": spaced}).changed == []
    driver.delete(deployed)


def test_deregistered_definition_is_gone(driver: Driver, aws: Aws) -> None:
    deployed = driver.create(DEFINITION, "task", _definition("deregistered"))
    aws.client("ecs").deregister_task_definition(taskDefinition=deployed.state["arn"])
    assert driver.refresh(deployed) is None


def test_definition_that_is_to_stay_stays(driver: Driver, aws: Aws) -> None:
    deployed = driver.create(DEFINITION, "task", _definition("kept", skipDestroy=True))
    driver.delete(deployed)
    assert aws.client("ecs").list_task_definitions(familyPrefix="kept")["taskDefinitionArns"]


def test_misspelt_container_setting_fails(driver: Driver) -> None:
    container = {"name": "a", "image": "b", "memory": 1, "readOnlyRootFilesystem": True}
    inputs = {**_definition("misspelt"), "containerDefinitions": json.dumps([container])}
    with pytest.raises(CallError, match=r"(?s)'task'.*readOnlyRootFilesystem"):
        driver.create(DEFINITION, "task", inputs)


def test_service_lives_and_dies(driver: Driver, aws: Aws, cluster: Deployed, network: Props) -> None:
    one = driver.create(DEFINITION, "one", _definition("lives"))
    two = driver.create(DEFINITION, "two", _definition("lives", "two"))
    registry = {"registryArn": "arn:aws:servicediscovery:eu-west-1:123456789012:service/srv-1"}
    inputs = _service(
        cluster, one, network, name="gateway", launchType="FARGATE", serviceRegistries=registry, tags={"a": "1"}
    )
    changed = {
        **inputs,
        "taskDefinition": two.state["arn"],
        "desiredCount": 0,
        "deploymentMinimumHealthyPercent": 0,
        "networkConfiguration": {**network, "assignPublicIp": False},
        "tags": {"b": "2"},
    }
    deployed = driver.lifecycle(SERVICE, inputs, changed)
    assert deployed.id == f"arn:aws:ecs:eu-west-1:{aws.account_id}:service/{cluster.inputs['name']}/gateway"
    assert_complete(deployed)
    held = _held(aws, deployed)
    assert held["taskDefinition"] == two.state["arn"]
    assert held["desiredCount"] == 0
    assert held["networkConfiguration"]["awsvpcConfiguration"]["assignPublicIp"] == "DISABLED"
    assert held["deploymentConfiguration"] == {
        "maximumPercent": 200,
        "minimumHealthyPercent": 0,
        "deploymentCircuitBreaker": {"enable": True, "rollback": True},
    }
    assert held["enableECSManagedTags"] is True
    assert driver.diff(deployed, {**changed, "launchType": "EC2"}).replaces == ["launchType"]
    driver.assert_deletes(deployed)


def test_service_drift_is_seen(driver: Driver, aws: Aws, cluster: Deployed, network: Props) -> None:
    definition = driver.create(DEFINITION, "task", _definition("drifts"))
    deployed = driver.create(SERVICE, "drifting", _service(cluster, definition, network, launchType="FARGATE"))
    other = driver.create(DEFINITION, "other", _definition("drifts", "two"))
    aws.client("ecs").update_service(
        cluster=cluster.id,
        service=deployed.id,
        taskDefinition=other.state["arn"],
        desiredCount=5,
        enableExecuteCommand=True,
        deploymentConfiguration={"maximumPercent": 150, "minimumHealthyPercent": 50},
        networkConfiguration={"awsvpcConfiguration": {"subnets": network["subnets"][:1], "securityGroups": []}},
    )
    assert driver.drift(deployed) == [
        "deploymentCircuitBreaker",
        "deploymentMaximumPercent",
        "deploymentMinimumHealthyPercent",
        "desiredCount",
        "enableExecuteCommand",
        "networkConfiguration",
        "taskDefinition",
    ]
    refreshed = driver.refresh(deployed)
    assert refreshed is not None
    mended = driver.update(refreshed, deployed.inputs)
    assert driver.drift(mended) == []
    assert _held(aws, deployed)["enableExecuteCommand"] is False


def test_capacity_provider_strategy(driver: Driver, aws: Aws, cluster: Deployed, network: Props) -> None:
    definition = driver.create(DEFINITION, "task", _definition("spot"))
    strategy = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    inputs = _service(cluster, definition, network, capacityProviderStrategies=strategy)
    deployed = driver.lifecycle(SERVICE, inputs)
    assert _held(aws, deployed)["capacityProviderStrategy"] == strategy
    assert "launchType" not in deployed.state
    on_demand = [{"capacityProvider": "FARGATE", "weight": 1}]
    changed = driver.diff(deployed, {**inputs, "capacityProviderStrategies": on_demand})
    assert changed.replaces == ["capacityProviderStrategies"]


def test_cluster_and_definition_by_name(driver: Driver, aws: Aws, cluster: Deployed, network: Props) -> None:
    definition = driver.create(DEFINITION, "task", _definition("by-name"))
    named = {"cluster": cluster.inputs["name"], "taskDefinition": "by-name:1"}
    inputs = _service(cluster, definition, network) | named
    deployed = driver.create(SERVICE, "by-name", inputs)
    assert deployed.state["launchType"] == "EC2"
    assert driver.drift(deployed) == []
    newer = driver.create(DEFINITION, "task", _definition("by-name", "two"))
    deployed = driver.update(deployed, {**inputs, "taskDefinition": "by-name"})
    assert _held(aws, deployed)["taskDefinition"] == newer.state["arn"]
    assert driver.drift(deployed) == []


def test_setting_that_is_no_longer_given_is_taken_off(
    driver: Driver, aws: Aws, cluster: Deployed, network: Props
) -> None:
    definition = driver.create(DEFINITION, "task", _definition("given-up"))
    registry = {"registryArn": "arn:aws:servicediscovery:eu-west-1:123456789012:service/srv-1"}
    inputs = _service(cluster, definition, network, launchType="FARGATE")
    deployed = driver.create(SERVICE, "given-up", {**inputs, "serviceRegistries": registry})
    deployed = driver.update(deployed, inputs)
    assert _held(aws, deployed)["serviceRegistries"] == []
    assert driver.drift(deployed) == []


def test_service_in_a_missing_subnet_names_itself(driver: Driver, cluster: Deployed) -> None:
    definition = driver.create(DEFINITION, "task", _definition("lost"))
    inputs = _service(cluster, definition, {"subnets": ["subnet-0"]}, launchType="FARGATE")
    with pytest.raises(CallError, match="aws:ecs/service:Service 'lost': CreateService: InvalidParameterException"):
        driver.create(SERVICE, "lost", inputs)


def test_settings_without_effect_here_are_refused(driver: Driver) -> None:
    _, failures = driver.check(SERVICE, "s", {"alarms": {"alarmNames": ["a"], "enable": True, "rollback": True}})
    assert list(failures) == ["alarms"]
    _, failures = driver.check(DEFINITION, "d", _definition("d", trackLatest=True))
    assert list(failures) == ["trackLatest"]
