"""What holds for every type: checking, naming, tags, differences, secrets, errors, configuration."""

import json
from typing import Any

import pytest
from pulumi.runtime.proto import provider_pb2

from offline.aws import configuration, wire
from offline.aws.compare import same_document
from offline.aws.provider import Provider
from offline.aws.resource import Aws, Endpoints
from tests.offline.aws_driver import CallError, Driver, RefusingContext

VPC = "aws:ec2/vpc:Vpc"
GROUP = "aws:ec2/securityGroup:SecurityGroup"
ENDPOINT = "aws:ec2/vpcEndpoint:VpcEndpoint"
ACL = "aws:ec2/networkAcl:NetworkAcl"


def test_an_undeclared_input_is_refused_by_name_and_type(driver: Driver) -> None:
    _, failures = driver.check(VPC, "net", {"cidrBlock": "10.0.0.0/16", "cidr_block": "x"})
    assert list(failures) == ["cidr_block"]
    assert VPC in failures["cidr_block"]
    assert "cidrBlock" in failures["cidr_block"], "the message must list what is declared"


def test_an_undeclared_nested_input_is_refused_with_its_path(driver: Driver) -> None:
    rule = {"protocol": "-1", "ruleNo": 1, "action": "allow", "fromPort": 0, "toPort": 0, "cidr": "0.0.0.0/0"}
    _, failures = driver.check(ACL, "acl", {"vpcId": "vpc-1", "ingress": [rule]})
    assert list(failures) == ["ingress[0].cidr"]


def test_a_missing_required_input_is_refused_also_when_nested(driver: Driver) -> None:
    _, failures = driver.check(ACL, "acl", {"egress": [{"protocol": "-1", "action": "allow"}]})
    assert set(failures) == {"vpcId", "egress[0].ruleNo", "egress[0].fromPort", "egress[0].toPort"}


def test_a_value_of_the_wrong_shape_is_refused(driver: Driver) -> None:
    _, failures = driver.check(ENDPOINT, "s3", {"vpcId": ["vpc-1"], "serviceName": "s", "routeTableIds": "rtb-1"})
    assert set(failures) == {"vpcId", "routeTableIds"}


def test_an_input_that_the_handler_would_ignore_is_refused_unless_it_asks_for_nothing(driver: Driver) -> None:
    _, failures = driver.check(VPC, "net", {"cidrBlock": "10.0.0.0/16", "assignGeneratedIpv6CidrBlock": True})
    assert list(failures) == ["assignGeneratedIpv6CidrBlock"]
    _, failures = driver.check(VPC, "net", {"cidrBlock": "10.0.0.0/16", "assignGeneratedIpv6CidrBlock": False})
    assert not failures


def test_values_come_in_their_declared_types(driver: Driver) -> None:
    policy = {"Version": "2012-10-17", "Statement": []}
    checked, failures = driver.check(ENDPOINT, "s3", {"vpcId": "v", "serviceName": "s", "privateDnsEnabled": "true"})
    assert not failures
    assert checked["privateDnsEnabled"] is True
    rule = {"securityGroupId": "sg-1", "ipProtocol": 6, "fromPort": "443", "toPort": 443}
    checked, _ = driver.check("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule", "r", rule)
    assert (checked["ipProtocol"], checked["fromPort"]) == ("6", 443)
    checked, failures = driver.check("aws:iam/policy:Policy", "p", {"policy": policy})
    assert not failures
    assert json.loads(checked["policy"]) == policy


def test_an_unknown_value_passes_every_check(driver: Driver) -> None:
    checked, failures = driver.check(
        ENDPOINT, "s3", {"vpcId": wire.UNKNOWN, "serviceName": "s", "routeTableIds": wire.UNKNOWN}
    )
    assert not failures
    assert wire.is_unknown(checked["vpcId"])


def test_a_name_is_filled_in_and_kept(driver: Driver) -> None:
    first, _ = driver.check(GROUP, "sessions", {})
    assert first["name"].startswith("sessions-")
    assert len(first["name"]) == len("sessions-") + 7
    # Another seed at the next update must not rename the group.
    request = provider_pb2.CheckRequest(
        urn=f"urn:pulumi:test::test::{GROUP}::sessions", olds=wire.encode(first), randomSeed=b"other"
    )
    again = wire.decode(Provider(driver.aws).Check(request, RefusingContext()).inputs)
    assert again["name"] == first["name"]


def test_a_name_that_the_program_gave_and_dropped_is_not_kept(driver: Driver) -> None:
    given, _ = driver.check(GROUP, "sessions", {"name": "mine"})
    dropped, _ = driver.check(GROUP, "sessions", {}, old=given)
    assert dropped["name"].startswith("sessions-")


def test_an_automatic_name_that_is_too_long_is_refused(driver: Driver) -> None:
    token = "aws:route53/resolverFirewallRuleGroup:ResolverFirewallRuleGroup"
    assert not driver.check(token, "n" * 56, {})[1]
    assert "64" in driver.check(token, "n" * 57, {})[1]["name"]


def test_a_type_that_is_not_implemented_is_named_with_the_place_to_add_it(driver: Driver) -> None:
    with pytest.raises(CallError, match=r"aws:ec2/instance:Instance.*offline/aws/services/ec2_"):
        driver.check("aws:ec2/instance:Instance", "i", {})
    with pytest.raises(CallError, match=r"aws:lambda/function:Function.*registry\.py"):
        driver.check("aws:lambda/function:Function", "f", {})
    with pytest.raises(CallError, match="aws:ec2/getAmi:getAmi"):
        driver.invoke("aws:ec2/getAmi:getAmi", {})


def test_a_change_replaces_only_where_the_type_says_so(driver: Driver) -> None:
    vpc = driver.create(VPC, "diff", {"cidrBlock": "10.9.0.0/16"})
    assert driver.diff(vpc, {"cidrBlock": "10.9.0.0/16"}).changed == []
    tagged = driver.diff(vpc, {"cidrBlock": "10.9.0.0/16", "tags": {"a": "b"}})
    assert (tagged.changed, tagged.replaces) == (["tags"], [])
    moved = driver.diff(vpc, {"cidrBlock": "10.8.0.0/16"})
    assert (moved.replaces, moved.delete_first) == (["cidrBlock"], False)
    assert driver.diff(vpc, {"cidrBlock": wire.UNKNOWN}).replaces == ["cidrBlock"]
    assert driver.diff(vpc, {"cidrBlock": "10.9.0.0/16", "region": "us-east-1"}).replaces == ["region"]


def test_the_old_object_goes_first_only_when_both_would_bear_one_given_name(driver: Driver) -> None:
    vpc = driver.create(VPC, "names", {"cidrBlock": "10.7.0.0/16"})
    given = driver.create(GROUP, "given", {"vpcId": vpc.id, "name": "fixed", "description": "one"})
    assert driver.diff(given, {"vpcId": vpc.id, "name": "fixed", "description": "two"}).delete_first
    assert not driver.diff(given, {"vpcId": vpc.id, "name": "other", "description": "two"}).delete_first
    automatic = driver.create(GROUP, "automatic", {"vpcId": vpc.id, "description": "one"})
    change = driver.diff(automatic, {"vpcId": vpc.id, "description": "two"})
    assert change.replaces == ["description"]
    assert not change.delete_first


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('{"a": 1, "b": [1, 2]}', '{"b":[1,2],"a":1}', True),
        ('{"b": [1, 2]}', '{"b": [2, 1]}', False),
        ('{"Statement": {"Action": "s3:Get*"}}', '{"Statement": [{"Action": ["s3:Get*"]}]}', True),
        ('{"Statement": [{"Action": ["a", "b"]}]}', '{"Statement": [{"Action": ["b", "a"]}]}', True),
        ('{"Statement": [{"Action": "a"}]}', '{"Statement": [{"Action": "b"}]}', False),
        ('{"Statement": [{"Principal": "*"}]}', '{"Statement": [{"Principal": {"AWS": "*"}}]}', True),
        (
            '{"Statement": [{"Condition": {"Bool": {"k": true}}}]}',
            '{"Statement": [{"Condition": {"Bool": {"k": ["true"]}}}]}',
            True,
        ),
        (
            '{"Statement": [{"Action": "a", "Effect": "Allow"}]}',
            '{"Statement": [{"Action": "a", "Effect": "Deny"}]}',
            False,
        ),
        ("no json", "no json", True),
        ("no json", "{}", False),
    ],
)
def test_documents_are_compared_by_meaning(one: str, other: str, *, same: bool) -> None:
    assert same_document(one, other) is same
    assert same_document(other, one) is same


def with_tags(aws: Aws, tags: dict[str, str]) -> Driver:
    return Driver(Aws(aws.region, aws.endpoints, tags))


def test_default_tags_are_written_split_and_followed(aws: Aws) -> None:
    driver = with_tags(aws, {"team": "research", "stack": "demo"})
    vpc = driver.create(VPC, "tags", {"cidrBlock": "10.6.0.0/16", "tags": {"Name": "net", "stack": "own"}})
    wanted = {"team": "research", "stack": "own", "Name": "net"}
    found = aws.client("ec2").describe_vpcs(VpcIds=[vpc.id])["Vpcs"][0]["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in found} == wanted
    assert vpc.state["tagsAll"] == wanted
    assert vpc.state["tags"] == {"Name": "net", "stack": "own"}
    assert driver.drift(vpc) == []
    renamed = with_tags(aws, {"team": "other", "stack": "demo"})
    assert renamed.diff(vpc, vpc.inputs, check=False).changed == ["tagsAll"]
    updated = renamed.update(vpc, {"cidrBlock": "10.6.0.0/16"})
    assert updated.state["tagsAll"] == {"team": "other", "stack": "demo"}
    found = aws.client("ec2").describe_vpcs(VpcIds=[vpc.id])["Vpcs"][0]["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in found} == {"team": "other", "stack": "demo"}


def test_tags_changed_by_hand_are_drift(driver: Driver) -> None:
    ec2 = driver.aws.client("ec2")
    vpc = driver.create(VPC, "tag-drift", {"cidrBlock": "10.5.0.0/16", "tags": {"a": "b", "c": "d"}})
    ec2.create_tags(Resources=[vpc.id], Tags=[{"Key": "x", "Value": "y"}])
    assert driver.drift(vpc) == ["tags"]
    ec2.delete_tags(Resources=[vpc.id], Tags=[{"Key": "x"}, {"Key": "a"}])
    assert driver.drift(vpc) == ["tags"]
    bare = driver.create(VPC, "tag-drift-bare", {"cidrBlock": "10.4.0.0/16"})
    ec2.create_tags(Resources=[bare.id], Tags=[{"Key": "x", "Value": "y"}])
    assert driver.drift(bare) == ["tags"]


def test_secrets_stay_secret(driver: Driver) -> None:
    secret = wire.encode({"cidrBlock": "10.3.0.0/16", "tags": {"token": "t"}}, secrets={"tags"})
    urn = f"urn:pulumi:test::test::{VPC}::secret"
    provider = Provider(driver.aws)
    checked = provider.Check(provider_pb2.CheckRequest(urn=urn, news=secret), RefusingContext())
    assert wire.secret_keys(checked.inputs) == {"tags"}
    created = provider.Create(provider_pb2.CreateRequest(urn=urn, properties=checked.inputs), RefusingContext())
    assert "tags" in wire.secret_keys(created.properties)
    assert wire.decode(created.properties)["tags"] == {"token": "t"}


def test_a_preview_makes_nothing_and_leaves_outputs_unknown(driver: Driver) -> None:
    ec2 = driver.aws.client("ec2")
    before = len(ec2.describe_vpcs()["Vpcs"])
    request = provider_pb2.CreateRequest(
        urn=f"urn:pulumi:test::test::{VPC}::preview", properties=wire.encode({"cidrBlock": "10.2.0.0/16"}), preview=True
    )
    planned = Provider(driver.aws).Create(request, RefusingContext())
    assert len(ec2.describe_vpcs()["Vpcs"]) == before
    assert wire.decode(planned.properties) == {"cidrBlock": "10.2.0.0/16", "tagsAll": {}}


def test_an_update_forgets_the_inputs_that_the_program_dropped(driver: Driver) -> None:
    vpc = driver.create(VPC, "dropped", {"cidrBlock": "10.1.0.0/16", "tags": {"a": "b"}, "enableDnsHostnames": True})
    updated = driver.update(vpc, {"cidrBlock": "10.1.0.0/16"})
    assert updated.state["tags"] == {}
    assert updated.state["enableDnsHostnames"] is False
    assert updated.state["mainRouteTableId"] == vpc.state["mainRouteTableId"]


def test_an_error_of_aws_names_type_resource_and_code(driver: Driver) -> None:
    with pytest.raises(CallError, match=r"aws:ec2/subnet:Subnet 'lost': CreateSubnet: InvalidVpcID\.NotFound"):
        driver.create("aws:ec2/subnet:Subnet", "lost", {"vpcId": "vpc-0", "cidrBlock": "10.0.0.0/24"})


def test_an_import_is_refused_in_words(driver: Driver) -> None:
    request = provider_pb2.ReadRequest(urn=f"urn:pulumi:test::test::{VPC}::net", id="vpc-1")
    with pytest.raises(CallError, match="cannot import"):
        Provider(driver.aws).Read(request, RefusingContext())


def configure(settings: dict[str, Any]) -> Provider:
    provider = Provider()
    provider.Configure(provider_pb2.ConfigureRequest(args=wire.encode(settings)), RefusingContext())
    return provider


def test_the_configuration_comes_as_the_sdk_sends_it(moto_url: str) -> None:
    settings = {
        "region": "eu-west-1",
        "endpoints": json.dumps([{"ec2": moto_url, "sts": moto_url}]),
        "defaultTags": json.dumps({"tags": {"team": "research"}}),
        "skipCredentialsValidation": "true",
        "allowedAccountIds": json.dumps(["123456789012"]),
    }
    parsed = configuration.parse(settings, {})
    assert parsed.region == "eu-west-1"
    assert parsed.endpoints == {"ec2": moto_url, "sts": moto_url}
    assert parsed.default_tags == {"team": "research"}
    configure(settings)
    with pytest.raises(CallError, match=r"allowedAccountIds.*123456789012"):
        configure({**settings, "allowedAccountIds": '["999999999999"]'})


def test_a_configuration_without_region_or_with_an_unknown_setting_is_refused() -> None:
    with pytest.raises(configuration.ConfigurationError, match="aws:region"):
        configuration.parse({}, {})
    assert configuration.parse({}, {"AWS_REGION": "eu-west-1"}).region == "eu-west-1"
    with pytest.raises(configuration.ConfigurationError, match="aws:regoin"):
        configuration.parse({"regoin": "eu-west-1"}, {})
    response = Provider().CheckConfig(
        provider_pb2.CheckRequest(news=wire.encode({"defaultTags": '{"tag": {}}'})), RefusingContext()
    )
    assert [failure.property for failure in response.failures] == ["defaultTags.tag"]


def test_another_region_is_another_provider() -> None:
    request = provider_pb2.DiffRequest(
        old_inputs=wire.encode({"region": "eu-west-1", "maxRetries": "3"}),
        news=wire.encode({"region": "us-east-1", "maxRetries": "4"}),
    )
    response = Provider().DiffConfig(request, RefusingContext())
    assert list(response.diffs) == ["maxRetries", "region"]
    assert list(response.replaces) == ["region"]


def test_a_real_account_is_never_reached() -> None:
    with pytest.raises(ValueError, match="AWS_ENDPOINT_URL"):
        Endpoints({}, environment={}).url("ec2")
    with pytest.raises(ValueError, match="real account"):
        Endpoints({}, environment={"AWS_ENDPOINT_URL": "https://ec2.eu-west-1.amazonaws.com"}).url("ec2")
    assert Endpoints({"cloudwatchlogs": "http://a", "ec2": "http://b"}, environment={}).url("logs") == "http://a"
    assert Endpoints({"ec2": "http://b"}, environment={}).url("kms") == "http://b"


def test_a_resource_can_lie_in_another_region(driver: Driver) -> None:
    vpc = driver.create(VPC, "abroad", {"cidrBlock": "10.0.0.0/16", "region": "us-east-1"})
    assert vpc.state["region"] == "us-east-1"
    assert vpc.state["arn"].startswith("arn:aws:ec2:us-east-1:")
    assert driver.drift(vpc) == []
    driver.assert_deletes(vpc)
