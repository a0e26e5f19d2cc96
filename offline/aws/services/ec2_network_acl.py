"""Network ACLs: stateless filters of subnets, with their rules inline."""

from typing import Any

from offline.aws.errors import missing_is_fine
from offline.aws.registry import Invoke
from offline.aws.resource import Aws, Props, Resource
from offline.aws.services._ec2 import arn, describe_one, retag, tag_specifications, tags_of

_DIRECTIONS = ("ingress", "egress")
# The rules that AWS itself keeps at the end of each list: deny what matched none before.
_FINAL_RULES = frozenset({32767, 32768})
_PROTOCOL_NUMBERS = {"all": "-1", "icmp": "1", "tcp": "6", "udp": "17", "icmpv6": "58"}
_PORTLESS = frozenset({"-1"})


class NetworkAcl(Resource):
    """A network ACL. Without stated rules it denies everything."""

    token = "aws:ec2/networkAcl:NetworkAcl"
    backed_by = "moto: ec2.create_network_acl, create_network_acl_entry, replace_network_acl_association"
    force_new = frozenset({"vpcId"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Makes the ACL and its rules, then gives it its subnets."""
        client = aws.client("ec2")
        acl_id = client.create_network_acl(
            VpcId=inputs["vpcId"], TagSpecifications=tag_specifications("network-acl", aws.tags_all(inputs))
        )["NetworkAcl"]["NetworkAclId"]
        try:
            _bring(aws, acl_id, inputs)
            return acl_id, self.read(aws, acl_id, inputs)
        except Exception:
            self.delete(aws, acl_id, {})
            raise

    def read(self, aws: Aws, physical_id: str, state: Props, /) -> Props:
        """Returns the ACL, its rules and its subnets."""
        return _read(aws, physical_id, state)

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Brings rules, subnets and tags to what is wanted."""
        _bring(aws, physical_id, inputs)
        retag(aws, physical_id, state, inputs)
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Gives the subnets back to the VPC's default ACL and deletes this one."""
        with missing_is_fine():
            acl = _describe(aws, physical_id)
            _release(aws, acl, [entry["SubnetId"] for entry in acl["Associations"]])
            aws.client("ec2").delete_network_acl(NetworkAclId=physical_id)


class DefaultNetworkAcl(Resource):
    """The default ACL of a VPC: adopted, and left with the stated rules only. Deleting it only forgets it."""

    token = "aws:ec2/defaultNetworkAcl:DefaultNetworkAcl"
    backed_by = "moto: ec2.describe_network_acls, create_network_acl_entry, delete_network_acl_entry"
    force_new = frozenset({"defaultNetworkAclId"})
    drift_keys = frozenset({"egress", "ingress"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Makes the stated rules the only ones."""
        acl_id = inputs["defaultNetworkAclId"]
        return acl_id, self.update(aws, acl_id, {"tagsAll": tags_of(_describe(aws, acl_id))}, inputs)

    def read(self, aws: Aws, physical_id: str, state: Props, /) -> Props:
        """Returns the ACL and its rules."""
        return {**_read(aws, physical_id, state), "defaultNetworkAclId": physical_id}

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Makes the stated rules the only ones again."""
        _bring(aws, physical_id, {"ingress": [], "egress": [], **inputs})
        retag(aws, physical_id, state, inputs)
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, state: Props, /) -> None:
        """Leaves the ACL, which AWS does not let one delete, as it is."""


def _describe(aws: Aws, acl_id: str) -> Props:
    return describe_one(
        aws,
        "describe_network_acls",
        "NetworkAcls",
        Filters=[{"Name": "association.network-acl-id", "Values": [acl_id]}],
    )


def _read(aws: Aws, acl_id: str, state: Props) -> Props:
    acl = _describe(aws, acl_id)
    rules = {}
    for direction in _DIRECTIONS:
        known = state.get(direction)
        noted = {int(rule["ruleNo"]): rule for rule in known or ()}
        actual = [_entry(rule, noted.get(rule["RuleNumber"], {})) for rule in _rules(acl, direction)]
        # The program's own spelling ("tcp" for 6, no icmpType for 0) where it means the same.
        same = known is not None and _keyed(known) == _keyed(actual)
        rules[direction] = known if same else actual
    return {
        **rules,
        "arn": arn(aws, "network-acl", acl_id),
        "ownerId": aws.account_id,
        "subnetIds": sorted(entry["SubnetId"] for entry in acl["Associations"]),
        "tags": tags_of(acl),
        "vpcId": acl["VpcId"],
    }


def _bring(aws: Aws, acl_id: str, inputs: Props) -> None:
    client = aws.client("ec2")
    acl = _describe(aws, acl_id)
    for direction in _DIRECTIONS:
        if inputs.get(direction) is None:
            continue
        egress = direction == "egress"
        actual, wanted = _keyed([_entry(rule) for rule in _rules(acl, direction)]), _keyed(inputs[direction])
        for number, rule in actual.items():
            if wanted.get(number) != rule:
                client.delete_network_acl_entry(NetworkAclId=acl_id, RuleNumber=number, Egress=egress)
        for number, rule in wanted.items():
            if actual.get(number) != rule:
                client.create_network_acl_entry(NetworkAclId=acl_id, Egress=egress, **_arguments(rule))
    if "subnetIds" in inputs:
        held = {entry["SubnetId"] for entry in acl["Associations"]}
        for subnet_id in inputs["subnetIds"]:
            if subnet_id not in held:
                _associate(aws, acl_id, subnet_id)
        _release(aws, acl, sorted(held - set(inputs["subnetIds"])))


def _associate(aws: Aws, acl_id: str, subnet_id: str) -> None:
    holder = describe_one(
        aws, "describe_network_acls", "NetworkAcls", Filters=[{"Name": "association.subnet-id", "Values": [subnet_id]}]
    )
    association = next(entry for entry in holder["Associations"] if entry["SubnetId"] == subnet_id)
    aws.client("ec2").replace_network_acl_association(
        AssociationId=association["NetworkAclAssociationId"], NetworkAclId=acl_id
    )


def _release(aws: Aws, acl: Props, subnet_ids: list[str]) -> None:
    if not subnet_ids:
        return
    default = describe_one(
        aws,
        "describe_network_acls",
        "NetworkAcls",
        Filters=[{"Name": "vpc-id", "Values": [acl["VpcId"]]}, {"Name": "default", "Values": ["true"]}],
    )
    for subnet_id in subnet_ids:
        _associate(aws, default["NetworkAclId"], subnet_id)


def _rules(acl: Props, direction: str) -> list[Props]:
    return [
        rule
        for rule in acl["Entries"]
        if rule["Egress"] == (direction == "egress") and rule["RuleNumber"] not in _FINAL_RULES
    ]


def _entry(rule: Props, noted: Props | None = None) -> Props:
    ports, icmp = rule.get("PortRange") or {}, rule.get("IcmpTypeCode")
    if icmp is None:
        # The emulator keeps no ICMP type and code: they are as they were last written.
        icmp = {"Code": (noted or {}).get("icmpCode", 0), "Type": (noted or {}).get("icmpType", 0)}
    entry = {
        "action": rule["RuleAction"],
        "cidrBlock": rule.get("CidrBlock"),
        "fromPort": ports.get("From", 0),
        "icmpCode": icmp.get("Code", 0),
        "icmpType": icmp.get("Type", 0),
        "ipv6CidrBlock": rule.get("Ipv6CidrBlock"),
        "protocol": rule["Protocol"],
        "ruleNo": rule["RuleNumber"],
        "toPort": ports.get("To", 0),
    }
    return {key: value for key, value in entry.items() if value not in (None, "")}


def _keyed(entries: list[Props]) -> dict[int, Props]:
    """Returns entries by rule number, in one spelling."""
    result = {}
    for entry in entries:
        protocol = str(entry["protocol"]).lower()
        filled = {"icmpCode": 0, "icmpType": 0, **{k: v for k, v in entry.items() if v not in (None, "")}}
        filled["protocol"] = _PROTOCOL_NUMBERS.get(protocol, protocol)
        filled["action"] = str(entry["action"]).lower()
        result[int(entry["ruleNo"])] = filled
    return result


def _arguments(rule: Props) -> dict[str, Any]:
    blocks = {"cidrBlock": "CidrBlock", "ipv6CidrBlock": "Ipv6CidrBlock"}
    arguments: dict[str, Any] = {
        "Protocol": rule["protocol"],
        "RuleAction": rule["action"],
        "RuleNumber": int(rule["ruleNo"]),
        **{name: rule[key] for key, name in blocks.items() if key in rule},
    }
    if rule["protocol"] in (_PROTOCOL_NUMBERS["icmp"], _PROTOCOL_NUMBERS["icmpv6"]):
        arguments["IcmpTypeCode"] = {"Type": rule["icmpType"], "Code": rule["icmpCode"]}
    elif rule["protocol"] not in _PORTLESS:
        arguments["PortRange"] = {"From": rule["fromPort"], "To": rule["toPort"]}
    return arguments


RESOURCES: list[Resource] = [NetworkAcl(), DefaultNetworkAcl()]
INVOKES: dict[str, Invoke] = {}
