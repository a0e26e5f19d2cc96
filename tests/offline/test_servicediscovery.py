"""The stand-in's Cloud Map namespaces and services against a moto server."""

from collections.abc import Iterator

import pytest

from offline.aws.resource import Aws, Props
from tests.offline.aws_driver import Deployed, Driver
from tests.offline.outputs import assert_complete

NAMESPACE = "aws:servicediscovery/privateDnsNamespace:PrivateDnsNamespace"
SERVICE = "aws:servicediscovery/service:Service"


@pytest.fixture
def vpc(aws: Aws) -> str:
    return str(aws.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])


@pytest.fixture
def namespace(driver: Driver, vpc: str) -> Iterator[Deployed]:
    deployed = driver.create(NAMESPACE, "holder", {"name": "holder.internal", "vpc": vpc})
    yield deployed
    driver.delete(deployed)


def _dns(namespace: str, ttl: int = 10) -> Props:
    return {
        "dnsConfig": {
            "namespaceId": namespace,
            "dnsRecords": [{"type": "A", "ttl": ttl}],
            "routingPolicy": "MULTIVALUE",
        }
    }


def test_namespace_lives_and_dies(driver: Driver, aws: Aws, vpc: str) -> None:
    inputs = {"name": "demo.internal", "vpc": vpc, "description": "Gateways", "tags": {"team": "research"}}
    changed = {"name": "demo.internal", "vpc": vpc, "description": "Names", "tags": {"owner": "x"}}
    deployed = driver.lifecycle(NAMESPACE, inputs, changed)
    assert deployed.id.startswith("ns-")
    assert_complete(deployed)
    assert deployed.state["arn"].endswith(f":namespace/{deployed.id}")
    assert aws.client("route53").get_hosted_zone(Id=deployed.state["hostedZone"])
    held = aws.client("servicediscovery").list_tags_for_resource(ResourceARN=deployed.state["arn"])["Tags"]
    assert held == [{"Key": "owner", "Value": "x"}]
    assert driver.diff(deployed, {**changed, "name": "other", "vpc": "vpc-0"}).replaces == ["name", "vpc"]
    aws.client("servicediscovery").update_private_dns_namespace(Id=deployed.id, Namespace={"Description": "by hand"})
    assert driver.drift(deployed) == ["description"]
    driver.assert_deletes(deployed)
    assert aws.client("route53").list_hosted_zones()["HostedZones"] == []


def test_service_lives_and_dies(driver: Driver, aws: Aws, namespace: Deployed) -> None:
    inputs = {"name": "gateway", **_dns(namespace.id), "description": "Way out", "tags": {"team": "research"}}
    changed = {"name": "gateway", **_dns(namespace.id), "tags": {"owner": "x"}}
    deployed = driver.lifecycle(SERVICE, inputs, changed)
    assert deployed.id.startswith("srv-")
    assert_complete(deployed)
    assert deployed.state["namespaceId"] == namespace.id
    held = aws.client("servicediscovery").get_service(Id=deployed.id)["Service"]
    assert held["DnsConfig"]["DnsRecords"] == [{"Type": "A", "TTL": 10}]
    assert held["DnsConfig"]["RoutingPolicy"] == "MULTIVALUE"
    driver.assert_deletes(deployed)


def test_service_drift_is_seen(driver: Driver, aws: Aws, namespace: Deployed) -> None:
    deployed = driver.create(SERVICE, "drifting", _dns(namespace.id))
    change = {"Description": "by hand", "DnsConfig": {"DnsRecords": [{"Type": "A", "TTL": 600}]}}
    aws.client("servicediscovery").update_service(Id=deployed.id, Service=change)
    assert driver.drift(deployed) == ["description", "dnsConfig"]
    driver.delete(deployed)


def test_service_in_another_namespace_is_another_service(driver: Driver, namespace: Deployed) -> None:
    deployed = driver.create(SERVICE, "moving", {"name": "moving", **_dns(namespace.id)})
    moved = driver.diff(deployed, {"name": "moving", **_dns("ns-other")})
    assert (moved.replaces, moved.delete_first) == (["dnsConfig"], True)
    driver.delete(deployed)


def test_custom_health_check_is_asked_for_by_an_empty_structure(driver: Driver, aws: Aws, namespace: Deployed) -> None:
    deployed = driver.lifecycle(SERVICE, {**_dns(namespace.id), "healthCheckCustomConfig": {}})
    held = aws.client("servicediscovery").get_service(Id=deployed.id)["Service"]
    assert held["HealthCheckCustomConfig"] == {}
    driver.delete(deployed)


def test_instances_are_deregistered_by_force(driver: Driver, aws: Aws, namespace: Deployed) -> None:
    deployed = driver.create(SERVICE, "busy", {**_dns(namespace.id), "forceDestroy": True})
    client = aws.client("servicediscovery")
    client.register_instance(ServiceId=deployed.id, InstanceId="one", Attributes={"AWS_INSTANCE_IPV4": "10.0.0.9"})
    gone: list[str] = []
    client.meta.events.register(
        "provide-client-params.servicediscovery.DeregisterInstance",
        lambda params, **_: gone.append(params["InstanceId"]),
        unique_id="watch",
    )
    driver.delete(deployed)
    client.meta.events.unregister("provide-client-params.servicediscovery.DeregisterInstance", unique_id="watch")
    assert gone == ["one"]
    assert driver.refresh(deployed) is None
