"""DNS Firewall and query logs, which the stand-in keeps itself, and zone associations, which moto keeps."""

from pathlib import Path

import pytest

from offline.aws import store
from offline.aws.resource import Props
from tests.offline.aws_driver import CallError, Deployed, Driver

LIST = "aws:route53/resolverFirewallDomainList:ResolverFirewallDomainList"
GROUP = "aws:route53/resolverFirewallRuleGroup:ResolverFirewallRuleGroup"
RULE = "aws:route53/resolverFirewallRule:ResolverFirewallRule"
ASSOCIATION = "aws:route53/resolverFirewallRuleGroupAssociation:ResolverFirewallRuleGroupAssociation"
CONFIG = "aws:route53/resolverFirewallConfig:ResolverFirewallConfig"
LOG = "aws:route53/resolverQueryLogConfig:ResolverQueryLogConfig"
LOG_ASSOCIATION = "aws:route53/resolverQueryLogConfigAssociation:ResolverQueryLogConfigAssociation"


@pytest.fixture
def vpc(driver: Driver) -> Deployed:
    return driver.create("aws:ec2/vpc:Vpc", "net", {"cidrBlock": "10.0.0.0/16"})


@pytest.fixture
def everything(driver: Driver) -> Deployed:
    return driver.create(LIST, "everything", {"domains": ["*"]})


@pytest.fixture
def group(driver: Driver) -> Deployed:
    return driver.create(GROUP, "walled", {})


def block(group: Deployed, domains: Deployed, priority: int = 900, **inputs: object) -> Props:
    return {
        "firewallRuleGroupId": group.id,
        "firewallDomainListId": domains.id,
        "priority": priority,
        "action": "BLOCK",
        "blockResponse": "NXDOMAIN",
        **inputs,
    }


def test_domain_list(driver: Driver) -> None:
    inputs = {"domains": ["example.com.", "*.example.org."], "tags": {"a": "b"}}
    domains = driver.lifecycle(LIST, inputs, {**inputs, "domains": ["example.com."]})
    assert domains.id.startswith("rslvr-fdl-")
    assert domains.state["arn"].endswith(f":firewall-domain-list/{domains.id}")
    kept = driver.aws.store.get("firewall-domain-list", domains.id)
    assert kept is not None
    assert kept["domains"] == ["example.com."]
    driver.aws.store.put("firewall-domain-list", domains.id, {**kept, "domains": ["evil.test."]})
    assert driver.drift(domains) == ["domains"]
    driver.assert_deletes(domains)


@pytest.mark.parametrize("domain", ["a.*.example.com", "", "x" * 256])
def test_a_domain_that_the_service_refuses(driver: Driver, domain: str) -> None:
    with pytest.raises(CallError, match="ValidationException"):
        driver.create(LIST, "bad", {"domains": [domain]})


def test_rule(driver: Driver, group: Deployed, everything: Deployed) -> None:
    rule = driver.lifecycle(RULE, block(group, everything), block(group, everything, blockResponse="NODATA"))
    assert rule.id == f"{group.id}:{everything.id}"
    other = driver.create(LIST, "other", {"domains": ["example.com."]})
    moved = driver.diff(rule, block(group, other, blockResponse="NODATA"))
    assert moved.replaces == ["firewallDomainListId"]
    with pytest.raises(CallError, match="ConflictException"):
        driver.create(RULE, "same-priority", block(group, other))
    with pytest.raises(CallError, match="ConflictException"):
        driver.delete(everything)
    driver.assert_deletes(rule)
    driver.assert_deletes(everything)


def test_a_rule_that_the_service_refuses(driver: Driver, group: Deployed, everything: Deployed) -> None:
    with pytest.raises(CallError, match="needs a blockResponse"):
        driver.create(RULE, "r", {k: v for k, v in block(group, everything).items() if k != "blockResponse"})
    with pytest.raises(CallError, match="ALLOW, ALERT or BLOCK"):
        driver.create(RULE, "r", block(group, everything, action="DROP"))
    with pytest.raises(CallError, match="ResourceNotFoundException"):
        driver.create(RULE, "r", {**block(group, everything), "firewallRuleGroupId": "rslvr-frg-0"})


def test_association_ends_with_its_vpc(driver: Driver, vpc: Deployed, group: Deployed) -> None:
    inputs = {"firewallRuleGroupId": group.id, "vpcId": vpc.id, "priority": 101}
    changed = {**inputs, "priority": 200, "mutationProtection": "ENABLED"}
    association = driver.lifecycle(ASSOCIATION, inputs, changed)
    with pytest.raises(CallError, match="mutationProtection"):
        driver.delete(association)
    with pytest.raises(CallError, match="ConflictException"):
        driver.delete(group)
    with pytest.raises(CallError, match="priority 100"):
        driver.create(ASSOCIATION, "reserved", {**inputs, "priority": 100})
    second = driver.create(GROUP, "second", {})
    with pytest.raises(CallError, match="priority 200 is taken"):
        driver.create(ASSOCIATION, "taken", {**inputs, "firewallRuleGroupId": second.id, "priority": 200})
    unprotected = driver.update(association, {**inputs, "mutationProtection": "DISABLED"})
    driver.delete(vpc)
    assert driver.refresh(unprotected) is None
    driver.assert_deletes(unprotected)
    driver.assert_deletes(group)


def test_config_finds_fail_open_set_by_hand(driver: Driver, vpc: Deployed) -> None:
    inputs = {"resourceId": vpc.id, "firewallFailOpen": "DISABLED"}
    config = driver.lifecycle(CONFIG, inputs, {**inputs, "firewallFailOpen": "ENABLED"})
    driver.aws.store.put("firewall-config", config.id, {"resourceId": vpc.id, "firewallFailOpen": "DISABLED"})
    assert driver.drift(config) == ["firewallFailOpen"]
    with pytest.raises(CallError, match="ENABLED or DISABLED"):
        driver.create(CONFIG, "bad", {**inputs, "firewallFailOpen": "no"})
    driver.assert_deletes(config)


def test_query_log(driver: Driver, vpc: Deployed) -> None:
    inputs = {"destinationArn": "arn:aws:logs:eu-west-1:123456789012:log-group:dns"}
    log = driver.lifecycle(LOG, inputs, {**inputs, "tags": {"a": "b"}})
    association = driver.lifecycle(LOG_ASSOCIATION, {"resolverQueryLogConfigId": log.id, "resourceId": vpc.id})
    with pytest.raises(CallError, match="InvalidRequestException"):
        driver.delete(log)
    with pytest.raises(CallError, match="ResourceNotFoundException"):
        driver.create(LOG_ASSOCIATION, "lost", {"resolverQueryLogConfigId": "rqlc-0", "resourceId": vpc.id})
    driver.assert_deletes(association)
    driver.assert_deletes(log)


def test_zone_association(driver: Driver, vpc: Deployed) -> None:
    other = driver.create("aws:ec2/vpc:Vpc", "other", {"cidrBlock": "10.1.0.0/16"})
    zone = (
        driver.aws.client("route53")
        .create_hosted_zone(
            Name="sessions.test.",
            CallerReference="1",
            HostedZoneConfig={"PrivateZone": True, "Comment": ""},
            VPC={"VPCRegion": "eu-west-1", "VPCId": vpc.id},
        )["HostedZone"]["Id"]
        .rpartition("/")[2]
    )
    token = "aws:route53/zoneAssociation:ZoneAssociation"
    association = driver.lifecycle(token, {"zoneId": zone, "vpcId": other.id})
    assert association.id == f"{zone}:{other.id}"
    assert association.state["owningAccount"] == "123456789012"
    driver.assert_deletes(association)


def test_the_store_survives_the_process_and_can_be_reset(tmp_path: Path) -> None:
    store.Store("a", tmp_path).put("kind", "id", {"x": 1})
    assert store.Store("a", tmp_path).get("kind", "id") == {"x": 1}
    assert store.Store("b", tmp_path).items("kind") == {}
    with pytest.raises(ZeroDivisionError), store.Store("a", tmp_path).transaction() as content:
        content["kind"]["id"] = {"x": 1 // 0}
    assert store.Store("a", tmp_path).get("kind", "id") == {"x": 1}
    store.reset(tmp_path)
    assert store.Store("a", tmp_path).get("kind", "id") is None
