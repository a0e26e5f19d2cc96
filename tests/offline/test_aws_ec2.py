"""The network types: made, refreshed, changed, found drifted, deleted, against moto."""

import json
from typing import Any

import pytest

from offline.aws.resource import Props
from tests.offline.aws_driver import CallError, Deployed, Driver

ZONES = "aws:index/getAvailabilityZones:getAvailabilityZones"
RULES_OUT = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
RULES_IN = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EXCLUSIVE = "aws:ec2/vpcSecurityGroupRulesExclusive:VpcSecurityGroupRulesExclusive"
ANYWHERE = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


@pytest.fixture(scope="module")
def ec2(driver: Driver) -> Any:
    return driver.aws.client("ec2")


@pytest.fixture(scope="module")
def vpc(driver: Driver) -> Deployed:
    return driver.create("aws:ec2/vpc:Vpc", "net", {"cidrBlock": "10.0.0.0/16"})


@pytest.fixture(scope="module")
def subnet(driver: Driver, vpc: Deployed) -> Deployed:
    return driver.create("aws:ec2/subnet:Subnet", "a", {"vpcId": vpc.id, "cidrBlock": "10.0.1.0/24"})


def group(driver: Driver, vpc: Deployed, **inputs: Any) -> Deployed:
    return driver.create("aws:ec2/securityGroup:SecurityGroup", "group", {"vpcId": vpc.id, **inputs})


def rules(ec2: Any, group_id: str) -> list[Props]:
    found: list[Props] = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group_id]}])[
        "SecurityGroupRules"
    ]
    return found


def test_vpc(driver: Driver, ec2: Any) -> None:
    inputs = {"cidrBlock": "10.50.0.0/16", "enableDnsHostnames": True, "tags": {"Name": "x"}}
    vpc = driver.lifecycle("aws:ec2/vpc:Vpc", inputs, {**inputs, "enableDnsSupport": False, "tags": {"Name": "y"}})
    assert ec2.describe_vpc_attribute(VpcId=vpc.id, Attribute="enableDnsHostnames")["EnableDnsHostnames"]["Value"]
    assert not ec2.describe_vpc_attribute(VpcId=vpc.id, Attribute="enableDnsSupport")["EnableDnsSupport"]["Value"]
    assert vpc.state["defaultSecurityGroupId"].startswith("sg-")
    assert vpc.state["defaultNetworkAclId"].startswith("acl-")
    assert vpc.state["mainRouteTableId"].startswith("rtb-")
    assert vpc.state["arn"] == f"arn:aws:ec2:eu-west-1:123456789012:vpc/{vpc.id}"
    ec2.modify_vpc_attribute(VpcId=vpc.id, EnableDnsHostnames={"Value": False})
    assert driver.drift(vpc) == ["enableDnsHostnames"]
    driver.assert_deletes(vpc)


def test_subnet(driver: Driver, ec2: Any, vpc: Deployed) -> None:
    zones = driver.invoke(ZONES, {"state": "available"})
    inputs = {"vpcId": vpc.id, "cidrBlock": "10.0.2.0/24", "availabilityZone": zones["names"][1]}
    subnet = driver.lifecycle("aws:ec2/subnet:Subnet", inputs, {**inputs, "mapPublicIpOnLaunch": True})
    described = ec2.describe_subnets(SubnetIds=[subnet.id])["Subnets"][0]
    assert described["MapPublicIpOnLaunch"]
    assert described["AvailabilityZone"] == zones["names"][1]
    back = driver.update(subnet, inputs)
    assert not ec2.describe_subnets(SubnetIds=[subnet.id])["Subnets"][0]["MapPublicIpOnLaunch"]
    ec2.modify_subnet_attribute(SubnetId=subnet.id, MapPublicIpOnLaunch={"Value": True})
    assert driver.drift(back) == ["mapPublicIpOnLaunch"]
    driver.assert_deletes(subnet)


def test_internet_gateway_follows_its_vpc(driver: Driver, ec2: Any, vpc: Deployed) -> None:
    gateway = driver.lifecycle("aws:ec2/internetGateway:InternetGateway", {}, {"vpcId": vpc.id})
    attached = ec2.describe_internet_gateways(InternetGatewayIds=[gateway.id])["InternetGateways"][0]["Attachments"]
    assert [entry["VpcId"] for entry in attached] == [vpc.id]
    ec2.detach_internet_gateway(InternetGatewayId=gateway.id, VpcId=vpc.id)
    assert driver.drift(gateway) == ["vpcId"]
    driver.assert_deletes(gateway)


def test_nat_gateway_with_its_address(driver: Driver, subnet: Deployed) -> None:
    address = driver.lifecycle("aws:ec2/eip:Eip", {"domain": "vpc"}, {"domain": "vpc", "tags": {"a": "b"}})
    assert address.state["publicIp"].count(".") == 3
    inputs = {"allocationId": address.id, "subnetId": subnet.id}
    gateway = driver.lifecycle("aws:ec2/natGateway:NatGateway", inputs, {**inputs, "tags": {"a": "b"}})
    assert gateway.state["publicIp"] == address.state["publicIp"]
    assert driver.diff(gateway, {"subnetId": subnet.id, "connectivityType": "private"}).replaces
    driver.assert_deletes(gateway)
    driver.assert_deletes(address)


def test_peering_is_accepted_and_its_options_set(driver: Driver, vpc: Deployed) -> None:
    other = driver.create("aws:ec2/vpc:Vpc", "other", {"cidrBlock": "10.1.0.0/16"})
    token = "aws:ec2/vpcPeeringConnection:VpcPeeringConnection"
    pending = driver.create(token, "pending", {"vpcId": vpc.id, "peerVpcId": other.id})
    assert pending.state["acceptStatus"] == "pending-acceptance"
    driver.delete(pending)
    inputs = {"vpcId": vpc.id, "peerVpcId": other.id, "autoAccept": True}
    changed = {**inputs, "requester": {"allowRemoteVpcDnsResolution": True}}
    peering = driver.lifecycle(token, inputs, changed)
    assert peering.state["acceptStatus"] == "active"
    assert peering.state["requester"] == {"allowRemoteVpcDnsResolution": True}
    assert driver.diff(peering, {**inputs, "peerVpcId": "vpc-2"}).replaces == ["peerVpcId"]
    driver.assert_deletes(peering)


def test_route_table_with_inline_routes(driver: Driver, ec2: Any, vpc: Deployed) -> None:
    gateway = driver.create("aws:ec2/internetGateway:InternetGateway", "inline", {"vpcId": vpc.id})
    inputs = {"vpcId": vpc.id, "routes": [{"cidrBlock": "0.0.0.0/0", "gatewayId": gateway.id}]}
    moved = {"vpcId": vpc.id, "routes": [{"cidrBlock": "192.0.2.0/24", "gatewayId": gateway.id}]}
    table = driver.lifecycle("aws:ec2/routeTable:RouteTable", inputs, moved)
    routes = ec2.describe_route_tables(RouteTableIds=[table.id])["RouteTables"][0]["Routes"]
    assert {route["DestinationCidrBlock"] for route in routes} == {"10.0.0.0/16", "192.0.2.0/24"}
    ec2.create_route(RouteTableId=table.id, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway.id)
    assert driver.drift(table) == ["routes"]
    driver.assert_deletes(table)
    driver.delete(gateway)


def test_route(driver: Driver, ec2: Any, vpc: Deployed) -> None:
    table = driver.lifecycle("aws:ec2/routeTable:RouteTable", {"vpcId": vpc.id}, {"vpcId": vpc.id, "tags": {"a": "b"}})
    first = driver.create("aws:ec2/internetGateway:InternetGateway", "first", {"vpcId": vpc.id})
    address = driver.create("aws:ec2/eip:Eip", "nat", {})
    subnet = driver.create("aws:ec2/subnet:Subnet", "nat", {"vpcId": vpc.id, "cidrBlock": "10.0.9.0/24"})
    nat = driver.create("aws:ec2/natGateway:NatGateway", "nat", {"allocationId": address.id, "subnetId": subnet.id})
    inputs = {"routeTableId": table.id, "destinationCidrBlock": "0.0.0.0/0"}
    route = driver.lifecycle(
        "aws:ec2/route:Route", {**inputs, "gatewayId": first.id}, {**inputs, "natGatewayId": nat.id}
    )
    assert route.id.startswith(f"r-{table.id}")
    # A route of its own is no drift of a table that states none.
    assert driver.drift(table) == []
    ec2.replace_route(RouteTableId=table.id, DestinationCidrBlock="0.0.0.0/0", GatewayId=first.id)
    assert driver.drift(route) == ["natGatewayId"]
    assert driver.diff(route, {**inputs, "destinationCidrBlock": "192.0.2.0/24", "gatewayId": first.id}).replaces
    driver.assert_deletes(route)
    for deployed in (nat, subnet, address, first, table):
        driver.delete(deployed)


def test_route_table_association_moves(driver: Driver, ec2: Any, vpc: Deployed, subnet: Deployed) -> None:
    one, two = (driver.create("aws:ec2/routeTable:RouteTable", name, {"vpcId": vpc.id}) for name in ("one", "two"))
    association = driver.lifecycle(
        "aws:ec2/routeTableAssociation:RouteTableAssociation",
        {"routeTableId": one.id, "subnetId": subnet.id},
        {"routeTableId": two.id, "subnetId": subnet.id},
    )
    used = ec2.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": [subnet.id]}])["RouteTables"]
    assert [table["RouteTableId"] for table in used] == [two.id]
    ec2.replace_route_table_association(
        AssociationId=used[0]["Associations"][0]["RouteTableAssociationId"], RouteTableId=one.id
    )
    assert driver.drift(association) == ["routeTableId"]
    driver.assert_deletes(association)
    driver.assert_deletes(one)
    driver.assert_deletes(two)


def policy(action: str) -> str:
    return json.dumps({"Statement": [{"Effect": "Allow", "Principal": "*", "Action": action, "Resource": "*"}]})


def test_gateway_endpoint(driver: Driver, ec2: Any, vpc: Deployed) -> None:
    one = driver.create("aws:ec2/routeTable:RouteTable", "three", {"vpcId": vpc.id})
    two = driver.create("aws:ec2/routeTable:RouteTable", "four", {"vpcId": vpc.id, "routes": []})
    inputs = {"vpcId": vpc.id, "serviceName": "com.amazonaws.eu-west-1.s3", "routeTableIds": [one.id]}
    changed = {**inputs, "routeTableIds": [two.id], "policy": policy("s3:GetObject")}
    endpoint = driver.lifecycle("aws:ec2/vpcEndpoint:VpcEndpoint", inputs, changed)
    listed = driver.invoke("aws:ec2/getPrefixList:getPrefixList", {"name": "com.amazonaws.eu-west-1.s3"})
    assert endpoint.state["prefixListId"] == listed["id"]
    assert endpoint.state["cidrBlocks"] == listed["cidrBlocks"] != []
    assert endpoint.inputs["vpcEndpointType"] == "Gateway"

    def routed(table: Deployed) -> bool:
        routes = ec2.describe_route_tables(RouteTableIds=[table.id])["RouteTables"][0]["Routes"]
        return any(route.get("GatewayId") == endpoint.id for route in routes)

    assert (routed(one), routed(two)) == (False, True)
    assert driver.drift(two) == [], "the endpoint's route is none of the table's own"
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint.id, PolicyDocument=policy("s3:*"))
    assert driver.drift(endpoint) == ["policy"]
    opened = driver.update(endpoint, inputs | {"routeTableIds": [two.id]})
    assert json.loads(opened.state["policy"])["Statement"][0]["Action"] == "*"
    driver.assert_deletes(opened)
    assert not routed(two)


def test_interface_endpoint(driver: Driver, ec2: Any, vpc: Deployed, subnet: Deployed) -> None:
    one, two = group(driver, vpc), group(driver, vpc, name="second")
    inputs = {
        "vpcId": vpc.id,
        "serviceName": "com.amazonaws.eu-west-1.ecr.api",
        "vpcEndpointType": "Interface",
        "privateDnsEnabled": True,
        "subnetIds": [subnet.id],
        "securityGroupIds": [one.id],
        "policy": policy("ecr:*"),
    }
    endpoint = driver.lifecycle("aws:ec2/vpcEndpoint:VpcEndpoint", inputs, {**inputs, "securityGroupIds": [two.id]})
    assert len(endpoint.state["networkInterfaceIds"]) == 1
    assert endpoint.state["dnsEntries"][0]["dnsName"].startswith("vpce-")
    assert endpoint.state["securityGroupIds"] == [two.id]
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint.id, AddSecurityGroupIds=[one.id])
    assert driver.drift(endpoint) == ["securityGroupIds"]
    assert driver.diff(endpoint, {**inputs, "serviceName": "com.amazonaws.eu-west-1.logs"}).replaces == ["serviceName"]
    driver.assert_deletes(endpoint)


def test_a_security_group_starts_closed_and_leaves_foreign_rules_alone(driver: Driver, ec2: Any, vpc: Deployed) -> None:
    inputs = {"vpcId": vpc.id, "description": "sessions"}
    deployed = driver.lifecycle("aws:ec2/securityGroup:SecurityGroup", inputs, {**inputs, "tags": {"a": "b"}})
    assert rules(ec2, deployed.id) == []
    assert driver.diff(deployed, {**inputs, "description": "other", "tags": {"a": "b"}}).replaces == ["description"]
    ec2.authorize_security_group_egress(GroupId=deployed.id, IpPermissions=[ANYWHERE])
    assert driver.drift(deployed) == [], "rules of a group that states none belong to rule resources"
    driver.assert_deletes(deployed)


def test_inline_rules_of_a_security_group(driver: Driver, ec2: Any, vpc: Deployed) -> None:
    other = group(driver, vpc, name="peer")
    base = {"vpcId": vpc.id, "description": "inline"}
    https = {"protocol": "6", "fromPort": 443, "toPort": 443, "cidrBlocks": ["192.0.2.0/24", "198.51.100.0/24"]}
    inputs = {**base, "egress": [https], "ingress": [{"protocol": "-1", "fromPort": 0, "toPort": 0, "self": True}]}
    peer = {"protocol": "tcp", "fromPort": 80, "toPort": 80, "securityGroups": [other.id], "description": "peer"}
    deployed = driver.lifecycle(
        "aws:ec2/securityGroup:SecurityGroup", inputs, {**base, "egress": [peer], "ingress": []}
    )
    assert [(rule["IsEgress"], rule["ReferencedGroupInfo"]["GroupId"]) for rule in rules(ec2, deployed.id)] == [
        (True, other.id)
    ]
    ec2.authorize_security_group_ingress(GroupId=deployed.id, IpPermissions=[ANYWHERE])
    assert driver.drift(deployed) == ["ingress"]
    refreshed = driver.refresh(deployed)
    assert refreshed is not None
    driver.update(refreshed, deployed.inputs)
    assert len(rules(ec2, deployed.id)) == 1
    driver.assert_deletes(deployed)


@pytest.mark.parametrize("token", [RULES_OUT, RULES_IN])
def test_a_rule_of_an_address_range(driver: Driver, ec2: Any, vpc: Deployed, token: str) -> None:
    held = group(driver, vpc, name=token)
    inputs = {
        "securityGroupId": held.id,
        "ipProtocol": "tcp",
        "fromPort": 443,
        "toPort": 443,
        "cidrIpv4": "192.0.2.0/24",
        "description": "to the gateway",
    }
    changed = {**inputs, "cidrIpv4": "198.51.100.0/24", "toPort": 444, "description": "elsewhere", "tags": {"a": "b"}}
    rule = driver.lifecycle(token, inputs, changed)
    described = rules(ec2, held.id)[0]
    assert rule.id == described["SecurityGroupRuleId"]
    assert described["IsEgress"] is (token == RULES_OUT)
    assert (described["CidrIpv4"], described["ToPort"], described["Description"]) == (
        "198.51.100.0/24",
        444,
        "elsewhere",
    )
    opened = {
        "SecurityGroupRuleId": rule.id,
        "SecurityGroupRule": {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 444},
    }
    opened["SecurityGroupRule"] |= {"CidrIpv4": "0.0.0.0/0", "Description": "elsewhere"}  # type: ignore[operator]
    ec2.modify_security_group_rules(GroupId=held.id, SecurityGroupRules=[opened])
    assert driver.drift(rule) == ["cidrIpv4"]
    driver.assert_deletes(rule)


def test_rules_of_groups_and_prefix_lists(driver: Driver, ec2: Any, vpc: Deployed) -> None:
    held, peer = group(driver, vpc, name="held"), group(driver, vpc, name="of-peer")
    listed = driver.invoke("aws:ec2/getManagedPrefixList:getManagedPrefixList", {"name": "com.amazonaws.eu-west-1.s3"})
    assert listed["entries"]
    base = {"securityGroupId": held.id, "ipProtocol": "tcp", "fromPort": 443, "toPort": 443, "description": "d"}
    to_peer = driver.lifecycle(RULES_OUT, {**base, "referencedSecurityGroupId": peer.id})
    to_list = driver.lifecycle(RULES_OUT, {**base, "prefixListId": listed["id"]})
    everything = driver.lifecycle(
        RULES_OUT, {"securityGroupId": held.id, "ipProtocol": "-1", "cidrIpv4": "192.0.2.0/24"}
    )
    assert "fromPort" not in everything.state
    assert {rule["SecurityGroupRuleId"] for rule in rules(ec2, held.id)} == {to_peer.id, to_list.id, everything.id}
    assert driver.diff(to_peer, {**base, "prefixListId": listed["id"]}).replaces == [
        "prefixListId",
        "referencedSecurityGroupId",
    ]
    bare = driver.update(to_peer, {k: v for k, v in to_peer.inputs.items() if k != "description"})
    assert "description" not in bare.state, "moto cannot say it, so only the program's word counts"
    with pytest.raises(CallError, match=r"InvalidPermission\.Duplicate"):
        driver.create(RULES_OUT, "twice", {**base, "prefixListId": listed["id"]})
    for rule in (to_peer, to_list, everything):
        driver.assert_deletes(rule)


def test_a_rule_opened_by_hand_is_found_and_closed(driver: Driver, ec2: Any, vpc: Deployed) -> None:
    held = group(driver, vpc, name="exclusive")
    base = {"securityGroupId": held.id, "ipProtocol": "tcp", "fromPort": 443, "toPort": 443}
    rule = driver.create(RULES_OUT, "only", {**base, "cidrIpv4": "192.0.2.0/24"})
    ec2.authorize_security_group_egress(GroupId=held.id, IpPermissions=[ANYWHERE])
    guard = driver.create(
        EXCLUSIVE, "guard", {"securityGroupId": held.id, "ingressRuleIds": [], "egressRuleIds": [rule.id]}
    )
    assert [found["SecurityGroupRuleId"] for found in rules(ec2, held.id)] == [rule.id]
    assert driver.drift(guard) == []
    ec2.authorize_security_group_egress(GroupId=held.id, IpPermissions=[ANYWHERE])
    ec2.authorize_security_group_ingress(GroupId=held.id, IpPermissions=[ANYWHERE])
    assert driver.drift(guard) == ["egressRuleIds", "ingressRuleIds"]
    refreshed = driver.refresh(guard)
    assert refreshed is not None
    driver.update(refreshed, guard.inputs)
    assert [found["SecurityGroupRuleId"] for found in rules(ec2, held.id)] == [rule.id]
    driver.delete(guard)
    assert len(rules(ec2, held.id)) == 1, "the guard's end takes no rule with it"


def test_the_default_group_is_adopted_and_emptied(driver: Driver, ec2: Any, vpc: Deployed) -> None:
    group_id = vpc.state["defaultSecurityGroupId"]
    ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[ANYWHERE])
    adopted = driver.create("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", "default", {"vpcId": vpc.id})
    assert adopted.id == group_id
    assert rules(ec2, group_id) == []
    assert driver.drift(adopted) == []
    ec2.authorize_security_group_egress(GroupId=group_id, IpPermissions=[ANYWHERE])
    assert driver.drift(adopted) == ["egress"]
    refreshed = driver.refresh(adopted)
    assert refreshed is not None
    driver.update(refreshed, adopted.inputs)
    assert rules(ec2, group_id) == []
    driver.delete(adopted)
    assert ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]


DENY = {"protocol": "tcp", "ruleNo": 50, "action": "deny", "cidrBlock": "192.0.2.0/24", "fromPort": 0, "toPort": 65535}
ALLOW = {"protocol": "-1", "ruleNo": 100, "action": "allow", "cidrBlock": "0.0.0.0/0", "fromPort": 0, "toPort": 0}


def test_network_acl(driver: Driver, ec2: Any, vpc: Deployed, subnet: Deployed) -> None:
    inputs = {"vpcId": vpc.id, "egress": [ALLOW, DENY], "ingress": [ALLOW], "subnetIds": [subnet.id]}
    changed = {**inputs, "egress": [{**DENY, "cidrBlock": "198.51.100.0/24"}, ALLOW]}
    acl = driver.lifecycle("aws:ec2/networkAcl:NetworkAcl", inputs, changed)
    described = ec2.describe_network_acls(NetworkAclIds=[acl.id])["NetworkAcls"][0]
    assert [entry["SubnetId"] for entry in described["Associations"]] == [subnet.id]
    egress = {entry["RuleNumber"]: entry for entry in described["Entries"] if entry["Egress"]}
    assert (egress[50]["CidrBlock"], egress[50]["RuleAction"], egress[50]["Protocol"]) == (
        "198.51.100.0/24",
        "deny",
        "6",
    )
    ec2.delete_network_acl_entry(NetworkAclId=acl.id, RuleNumber=50, Egress=True)
    assert driver.drift(acl) == ["egress"]
    driver.assert_deletes(acl)
    holders = ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [subnet.id]}])[
        "NetworkAcls"
    ]
    assert [holder["NetworkAclId"] for holder in holders] == [vpc.state["defaultNetworkAclId"]]


def test_an_icmp_entry_shows_no_drift(driver: Driver, vpc: Deployed) -> None:
    ping = {**ALLOW, "protocol": "1", "icmpType": -1, "icmpCode": -1}
    inputs = {"vpcId": vpc.id, "ingress": [ping], "egress": [ALLOW]}
    acl = driver.create("aws:ec2/networkAcl:NetworkAcl", "ping", inputs)
    assert driver.drift(acl) == []
    driver.assert_deletes(acl)


def test_the_default_network_acl_is_adopted(driver: Driver, ec2: Any, vpc: Deployed) -> None:
    acl_id = vpc.state["defaultNetworkAclId"]
    inputs = {"defaultNetworkAclId": acl_id, "ingress": [ALLOW]}
    adopted = driver.lifecycle(
        "aws:ec2/defaultNetworkAcl:DefaultNetworkAcl", inputs, {**inputs, "ingress": [DENY, ALLOW]}
    )
    entries = ec2.describe_network_acls(NetworkAclIds=[acl_id])["NetworkAcls"][0]["Entries"]
    assert [entry["RuleNumber"] for entry in entries if entry["Egress"] and entry["RuleNumber"] < 32767] == []
    ec2.create_network_acl_entry(
        NetworkAclId=acl_id, RuleNumber=1, Egress=True, Protocol="-1", RuleAction="allow", CidrBlock="0.0.0.0/0"
    )
    assert driver.drift(adopted) == ["egress"]
    driver.delete(adopted)
    assert ec2.describe_network_acls(NetworkAclIds=[acl_id])["NetworkAcls"]


def test_flow_log(driver: Driver, ec2: Any, vpc: Deployed) -> None:
    inputs = {
        "vpcId": vpc.id,
        "trafficType": "ALL",
        "iamRoleArn": "arn:aws:iam::123456789012:role/flow-logs",
        "logDestination": "arn:aws:logs:eu-west-1:123456789012:log-group:flow",
    }
    log = driver.lifecycle("aws:ec2/flowLog:FlowLog", inputs, {**inputs, "tags": {"a": "b"}})
    described = ec2.describe_flow_logs(FlowLogIds=[log.id])["FlowLogs"][0]
    assert (described["ResourceId"], described["TrafficType"]) == (vpc.id, "ALL")
    assert driver.diff(log, {**inputs, "trafficType": "REJECT"}).replaces == ["trafficType"]
    driver.assert_deletes(log)


def test_functions_about_the_account(driver: Driver) -> None:
    assert driver.invoke("aws:index/getCallerIdentity:getCallerIdentity", {})["accountId"] == "123456789012"
    assert driver.invoke("aws:index/getRegion:getRegion", {})["region"] == "eu-west-1"
    partition = driver.invoke("aws:index/getPartition:getPartition", {})
    assert (partition["partition"], partition["reverseDnsPrefix"]) == ("aws", "com.amazonaws")
    zones = driver.invoke(ZONES, {"excludeNames": ["eu-west-1a"]})
    assert zones["names"] == ["eu-west-1b", "eu-west-1c"]
    assert len(zones["zoneIds"]) == 2
