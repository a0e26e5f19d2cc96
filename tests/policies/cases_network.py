"""Cases of the network and DNS rules."""

import json

from policies.aws import (
    DEFAULT_SECURITY_GROUP,
    EGRESS_RULE,
    EVENT_TARGET,
    INGRESS_RULE,
    LEGACY_RULE,
    SCHEDULE,
    SECURITY_GROUP,
    SERVICE,
    VPC,
    VPC_ENDPOINT,
)
from policies.rules.dns_association import ASSOCIATION, FIREWALL_CONFIG
from policies.rules.dns_last_rule import DOMAIN_LIST, FIREWALL_RULE, RULE_GROUP
from policies.rules.rules_exclusive import EXCLUSIVE
from tests.policies.judging import GATEWAY, LIMITED, UNKNOWN, UNRESTRICTED, Case, Node

SUBNET = "aws:ec2/subnet:Subnet"
PUBLIC = {"networkConfiguration": {"assignPublicIp": True}}
NO_PUBLIC, RANGE, INGRESS = "no-public-address", "session-egress-no-address-range", "session-no-ingress"
DESCRIBED, ENDPOINT, CLOSED = (
    "security-group-rule-described",
    "endpoint-policy-not-default",
    "dns-firewall-fails-closed",
)

OPEN = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}

RESOURCE_CASES = [
    Case(NO_PUBLIC, "compliant", "service without", SERVICE, {"networkConfiguration": {"assignPublicIp": False}}),
    Case(NO_PUBLIC, "compliant", "service that says nothing", SERVICE, {"networkConfiguration": {"subnets": ["s"]}}),
    Case(NO_PUBLIC, "compliant", "gateway", SERVICE, PUBLIC | {"tags": GATEWAY}),
    Case(NO_PUBLIC, "compliant", "gateway by default tags", SERVICE, PUBLIC, default_tags=GATEWAY),
    Case(NO_PUBLIC, "compliant", "gateway's subnet", SUBNET, {"mapPublicIpOnLaunch": True, "tags": GATEWAY}),
    Case(
        NO_PUBLIC, "violating", "untagged service", SERVICE, PUBLIC, at=("networkConfiguration.assignPublicIp is true",)
    ),
    Case(NO_PUBLIC, "violating", "session", SERVICE, PUBLIC | {"tags": UNRESTRICTED}, at=("networkConfiguration",)),
    Case(NO_PUBLIC, "violating", "subnet", SUBNET, {"mapPublicIpOnLaunch": True}, at=("mapPublicIpOnLaunch",)),
    Case(
        NO_PUBLIC,
        "violating",
        "schedule",
        SCHEDULE,
        {"target": {"ecsParameters": PUBLIC}},
        at=("target.ecsParameters.networkConfiguration.assignPublicIp",),
    ),
    Case(NO_PUBLIC, "violating", "event target", EVENT_TARGET, {"ecsTarget": PUBLIC}, at=("ecsTarget.network",)),
    Case(NO_PUBLIC, "unknown", "address", SERVICE, {"networkConfiguration": {"assignPublicIp": UNKNOWN}}),
    Case(NO_PUBLIC, "unknown", "role", SERVICE, PUBLIC | {"tags": {"agentenv:role": UNKNOWN}}),
    Case(RANGE, "compliant", "group", EGRESS_RULE, {"referencedSecurityGroupId": "sg-1", "tags": LIMITED}),
    Case(RANGE, "compliant", "prefix list", EGRESS_RULE, {"prefixListId": UNKNOWN}),
    Case(RANGE, "compliant", "gateway", EGRESS_RULE, {"cidrIpv4": "0.0.0.0/0", "tags": GATEWAY}),
    Case(RANGE, "compliant", "unrestricted session", EGRESS_RULE, {"cidrIpv4": "0.0.0.0/0", "tags": UNRESTRICTED}),
    Case(RANGE, "compliant", "legacy ingress", LEGACY_RULE, {"type": "ingress", "cidrBlocks": ["10.0.0.0/8"]}),
    Case(RANGE, "compliant", "inline to a group", SECURITY_GROUP, {"egress": [{"securityGroups": ["sg-1"]}]}),
    Case(RANGE, "violating", "untagged", EGRESS_RULE, {"cidrIpv4": "10.0.0.0/8"}, at=("cidrIpv4 sends",)),
    Case(RANGE, "violating", "limited, IPv6", EGRESS_RULE, {"cidrIpv6": "::/0", "tags": LIMITED}, at=("cidrIpv6",)),
    Case(
        RANGE,
        "violating",
        "unrestricted without a role of session",
        EGRESS_RULE,
        {"cidrIpv4": "0.0.0.0/0", "tags": {"agentenv:role": "endpoint", "agentenv:networking": "unrestricted"}},
        at=("cidrIpv4",),
    ),
    Case(
        RANGE,
        "violating",
        "legacy",
        LEGACY_RULE,
        {"type": "egress", "cidrBlocks": ["10.0.0.0/8", "0.0.0.0/0"], "ipv6CidrBlocks": ["::/0"]},
        at=("cidrBlocks sends to the address range 10", "cidrBlocks sends to the address range 0", "ipv6CidrBlocks"),
    ),
    Case(
        RANGE,
        "violating",
        "inline",
        SECURITY_GROUP,
        {"egress": [{"securityGroups": ["sg-1"]}, {"cidrBlocks": ["0.0.0.0/0"]}]},
        at=("egress[1].cidrBlocks",),
    ),
    Case(
        RANGE,
        "violating",
        "default",
        DEFAULT_SECURITY_GROUP,
        {"egress": [{"cidrBlocks": ["0.0.0.0/0"]}]},
        at=("egress[0]",),
    ),
    Case(RANGE, "unknown", "range", EGRESS_RULE, {"cidrIpv4": UNKNOWN}),
    Case(RANGE, "unknown", "the other one", EGRESS_RULE, {"cidrIpv4": UNKNOWN, "cidrIpv6": "::/0"}, at=("cidrIpv6",)),
    Case(INGRESS, "compliant", "gateway", INGRESS_RULE, {"cidrIpv4": "10.0.0.0/8", "tags": GATEWAY}),
    Case(INGRESS, "compliant", "endpoint", INGRESS_RULE, {"tags": {"agentenv:role": "endpoint"}}),
    Case(INGRESS, "compliant", "no inline", SECURITY_GROUP, {"ingress": []}),
    Case(INGRESS, "compliant", "legacy egress", LEGACY_RULE, {"type": "egress"}),
    Case(INGRESS, "violating", "untagged", INGRESS_RULE, {"referencedSecurityGroupId": "sg-1"}, at=("it lets",)),
    Case(INGRESS, "violating", "unrestricted", INGRESS_RULE, {"tags": UNRESTRICTED}, at=("it lets",)),
    Case(INGRESS, "violating", "legacy", LEGACY_RULE, {"type": "ingress"}, at=("type is ingress",)),
    Case(INGRESS, "violating", "inline", SECURITY_GROUP, {"ingress": [{"self": True}]}, at=("ingress is not empty",)),
    Case(INGRESS, "unknown", "role", INGRESS_RULE, {"tags": {"agentenv:role": UNKNOWN}}),
    Case(INGRESS, "unknown", "inline", SECURITY_GROUP, {"ingress": UNKNOWN}),
    Case(DESCRIBED, "compliant", "rule", EGRESS_RULE, {"description": "session to gateway"}),
    Case(DESCRIBED, "compliant", "group without inline rules", SECURITY_GROUP, {}),
    Case(DESCRIBED, "violating", "rule", EGRESS_RULE, {"description": "  "}, at=("description is missing",)),
    Case(DESCRIBED, "violating", "legacy", LEGACY_RULE, {}, at=("description is missing",)),
    Case(
        DESCRIBED,
        "violating",
        "inline",
        SECURITY_GROUP,
        {"egress": [{"description": "to endpoints"}, {}], "ingress": [{"description": ""}]},
        at=("ingress[0].description", "egress[1].description"),
    ),
    Case(DESCRIBED, "unknown", "rule", INGRESS_RULE, {"description": UNKNOWN}),
    Case(DESCRIBED, "unknown", "one side", SECURITY_GROUP, {"ingress": UNKNOWN, "egress": [{}]}, at=("egress[0]",)),
    Case(
        ENDPOINT,
        "compliant",
        "named",
        VPC_ENDPOINT,
        {"policy": json.dumps({"Statement": OPEN | {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}})},
    ),
    Case(
        ENDPOINT,
        "compliant",
        "conditioned",
        VPC_ENDPOINT,
        {"policy": json.dumps({"Statement": [OPEN | {"Condition": {"StringEquals": {"aws:ResourceAccount": "1"}}}]})},
    ),
    Case(ENDPOINT, "violating", "missing", VPC_ENDPOINT, {}, at=("policy is missing",)),
    Case(ENDPOINT, "violating", "empty", VPC_ENDPOINT, {"policy": ""}, at=("policy is missing",)),
    Case(
        ENDPOINT, "violating", "default", VPC_ENDPOINT, {"policy": json.dumps({"Statement": OPEN})}, at=("policy, st",)
    ),
    Case(
        ENDPOINT,
        "violating",
        "default in other words",
        VPC_ENDPOINT,
        {"policy": {"Statement": [OPEN | {"Principal": {"AWS": ["*"]}, "Action": ["*"], "Sid": "All"}]}},
        at=("policy, statement 'All'",),
    ),
    Case(ENDPOINT, "violating", "not JSON", VPC_ENDPOINT, {"policy": "{"}, at=("policy is not a policy document",)),
    Case(ENDPOINT, "unknown", "policy", VPC_ENDPOINT, {"policy": UNKNOWN}),
    Case(CLOSED, "compliant", "disabled", FIREWALL_CONFIG, {"resourceId": UNKNOWN, "firewallFailOpen": "DISABLED"}),
    Case(CLOSED, "violating", "enabled", FIREWALL_CONFIG, {"firewallFailOpen": "ENABLED"}, at=("firewallFailOpen is",)),
    Case(
        CLOSED,
        "violating",
        "left to others",
        FIREWALL_CONFIG,
        {"firewallFailOpen": "USE_LOCAL_RESOURCE_SETTING"},
        at=("f",),
    ),
    Case(CLOSED, "violating", "silent", FIREWALL_CONFIG, {}, at=("firewallFailOpen is None",)),
    Case(CLOSED, "unknown", "value", FIREWALL_CONFIG, {"firewallFailOpen": UNKNOWN}),
]

AGREE, TASKS = "security-group-rule-tags-agree", "task-security-groups-agree"
EXCLUSIVELY, LAST, GUARDED = (
    "session-security-group-exclusive",
    "dns-firewall-ends-in-block",
    "session-vpc-has-dns-firewall",
)


def _group(tags: dict[str, str], name: str = "group") -> Node:
    return Node(SECURITY_GROUP, name, {"tags": tags}, {"vpcId": ["vpc"]} if name == "inside" else {})


def _rule(tags: dict[str, str], group: str | None = "group") -> Node:
    return Node(EGRESS_RULE, "rule", {"tags": tags}, {"securityGroupId": [group]} if group else {})


def _service(tags: dict[str, str], token: str = SERVICE, prop: str = "networkConfiguration") -> Node:
    return Node(token, "service", {"tags": tags}, {prop: ["group", "subnet"]})


SUBNET_NODE = Node(SUBNET, "subnet")
LAST_RULE = {"action": "BLOCK", "priority": 900}


def _firewall(last: dict[str, object], domains: object = ("*",), first: int = 100) -> tuple[Node, ...]:
    return (
        Node(RULE_GROUP, "rules"),
        Node(DOMAIN_LIST, "allowed", {"domains": ["api.example.com."]}),
        Node(DOMAIN_LIST, "all", {"domains": list(domains) if isinstance(domains, tuple) else domains}),
        Node(FIREWALL_RULE, "last", last, {"firewallRuleGroupId": ["rules"], "firewallDomainListId": ["all"]}),
        Node(
            FIREWALL_RULE,
            "first",
            {"action": "ALLOW", "priority": first},
            {"firewallRuleGroupId": ["rules"], "firewallDomainListId": ["allowed"]},
        ),
    )


def _vpc(tags: dict[str, str]) -> Node:
    return Node(VPC, "vpc", {"tags": tags})


ASSOCIATED = Node(ASSOCIATION, "association", {}, {"vpcId": ["vpc"]})
CONFIGURED = Node(FIREWALL_CONFIG, "config", {}, {"resourceId": ["vpc"]})

STACK_CASES = [
    Case(AGREE, "compliant", "alike", nodes=(_rule(LIMITED), _group(LIMITED))),
    Case(AGREE, "compliant", "silence is limited session", nodes=(_rule({}), _group(LIMITED))),
    Case(AGREE, "compliant", "group elsewhere, judged strictly", nodes=(_rule(LIMITED, None),)),
    Case(AGREE, "violating", "role lies", nodes=(_rule(GATEWAY), _group(LIMITED)), at=("tag agentenv:role of rule",)),
    Case(
        AGREE,
        "violating",
        "networking lies",
        nodes=(_rule(UNRESTRICTED), _group(LIMITED)),
        at=("tag agentenv:networking of rule is judged as 'unrestricted'",),
    ),
    Case(AGREE, "violating", "group elsewhere", nodes=(_rule(UNRESTRICTED, None),), at=("securityGroupId of rule",)),
    Case(AGREE, "violating", "gateway elsewhere", nodes=(_rule(GATEWAY, None),), at=("securityGroupId of rule",)),
    Case(AGREE, "unknown", "tags of the group", nodes=(_rule(LIMITED), _group({"agentenv:role": UNKNOWN}))),
    Case(TASKS, "compliant", "alike", nodes=(_service(GATEWAY), _group(GATEWAY), SUBNET_NODE)),
    Case(TASKS, "compliant", "schedule", nodes=(_service({}, SCHEDULE, "target"), _group(UNRESTRICTED), SUBNET_NODE)),
    Case(
        TASKS,
        "violating",
        "session in the gateway's group",
        nodes=(_service(LIMITED), _group(GATEWAY), SUBNET_NODE),
        at=("tag agentenv:role of service",),
    ),
    Case(
        TASKS,
        "violating",
        "limited session in an unrestricted group",
        nodes=(_service(LIMITED), _group(UNRESTRICTED), SUBNET_NODE),
        at=("tag agentenv:networking of service",),
    ),
    Case(
        TASKS,
        "violating",
        "scheduled into the gateway's group",
        nodes=(_service({}, SCHEDULE, "target"), _group(GATEWAY), SUBNET_NODE),
        at=("security group group of service",),
    ),
    Case(TASKS, "unknown", "tags", nodes=(_service({"agentenv:role": UNKNOWN}), _group(GATEWAY), SUBNET_NODE)),
    Case(
        EXCLUSIVELY,
        "compliant",
        "held",
        nodes=(_group(LIMITED), Node(EXCLUSIVE, "held", {}, {"securityGroupId": ["group"]})),
    ),
    Case(EXCLUSIVELY, "compliant", "gateway", nodes=(_group(GATEWAY),)),
    Case(EXCLUSIVELY, "violating", "not held", nodes=(_group(LIMITED),), at=("group has no",)),
    Case(
        EXCLUSIVELY,
        "violating",
        "another one is held",
        nodes=(_group({}), _group({}, "other"), Node(EXCLUSIVE, "held", {}, {"securityGroupId": ["other"]})),
        at=("group has no",),
    ),
    Case(EXCLUSIVELY, "unknown", "role", nodes=(_group({"agentenv:role": UNKNOWN}),)),
    Case(LAST, "compliant", "block all", nodes=_firewall(LAST_RULE)),
    Case(LAST, "compliant", "block all, as Route 53 writes it", nodes=_firewall(LAST_RULE, ("*.",))),
    Case(LAST, "violating", "empty group", nodes=(Node(RULE_GROUP, "rules"),), at=("rules has no rule",)),
    Case(
        LAST,
        "violating",
        "alert",
        nodes=_firewall(LAST_RULE | {"action": "ALERT"}),
        at=("action of the last rule last",),
    ),
    Case(
        LAST, "violating", "some names", nodes=_firewall(LAST_RULE, ("*.example.com",)), at=("domain list of the last",)
    ),
    Case(LAST, "violating", "one query type", nodes=_firewall(LAST_RULE | {"qType": "TXT"}), at=("qType of the last",)),
    Case(
        LAST,
        "violating",
        "a later rule allows",
        nodes=_firewall(LAST_RULE, first=901),
        at=("action of the last rule first", "domain list of the last rule first"),
    ),
    Case(LAST, "unknown", "domains", nodes=_firewall(LAST_RULE, UNKNOWN)),
    Case(LAST, "unknown", "action", nodes=_firewall(LAST_RULE | {"action": UNKNOWN}, ("a.test",)), at=("domain list",)),
    Case(LAST, "unknown", "priority", nodes=_firewall(LAST_RULE | {"priority": UNKNOWN})),
    Case(GUARDED, "compliant", "guarded", nodes=(_vpc(LIMITED), ASSOCIATED, CONFIGURED)),
    Case(GUARDED, "compliant", "unrestricted", nodes=(_vpc({"agentenv:networking": "unrestricted"}),)),
    Case(
        GUARDED, "compliant", "gateways only", nodes=(_vpc(GATEWAY), Node(SECURITY_GROUP, "inside", {"tags": GATEWAY}))
    ),
    Case(
        GUARDED,
        "compliant",
        "unrestricted sessions inside",
        nodes=(_vpc({"agentenv:networking": "unrestricted"}), _group(UNRESTRICTED, "inside")),
    ),
    Case(GUARDED, "violating", "untagged", nodes=(_vpc({}),), at=("vpc has no DNS firewall", "vpc has no Resolver")),
    Case(
        GUARDED, "violating", "no config", nodes=(_vpc(LIMITED), ASSOCIATED), at=("vpc has no ResolverFirewallConfig",)
    ),
    Case(
        GUARDED, "violating", "no association", nodes=(_vpc({}), CONFIGURED), at=("vpc has no DNS firewall rule group",)
    ),
    Case(
        GUARDED,
        "violating",
        "limited sessions in an unrestricted VPC",
        nodes=(_vpc({"agentenv:networking": "unrestricted"}), _group({}, "inside")),
        at=("vpc has no DNS", "vpc has no Resolver"),
    ),
    Case(GUARDED, "unknown", "networking", nodes=(_vpc({"agentenv:networking": UNKNOWN}),)),
    Case(
        GUARDED,
        "unknown",
        "the group inside",
        nodes=(_vpc({"agentenv:networking": "unrestricted"}), _group({"agentenv:role": UNKNOWN}, "inside")),
    ),
]

CASES = RESOURCE_CASES + STACK_CASES
