"""Single rules of a security group, one resource each."""

from typing import Any, ClassVar

from offline.aws.errors import missing_is_fine
from offline.aws.registry import Invoke
from offline.aws.resource import Aws, Props, Resource
from offline.aws.services import _rules
from offline.aws.services._ec2 import arn, describe_one, retag, tag_specifications, tags_of

_PEERS = {
    "cidrIpv4": ("IpRanges", "CidrIp"),
    "cidrIpv6": ("Ipv6Ranges", "CidrIpv6"),
    "prefixListId": ("PrefixListIds", "PrefixListId"),
    "referencedSecurityGroupId": ("UserIdGroupPairs", "GroupId"),
}


class _SecurityGroupRule(Resource):
    """One rule: a protocol, ports, and one peer."""

    direction: ClassVar[_rules.Direction]
    # AWS changes every peer in place; moto only an IPv4 range, so the others are replaced here.
    force_new = frozenset({"securityGroupId", "cidrIpv6", "prefixListId", "referencedSecurityGroupId"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Adds the rule."""
        authorize = getattr(aws.client("ec2"), f"authorize_security_group_{self.direction}")
        rule = authorize(
            GroupId=inputs["securityGroupId"],
            IpPermissions=[_permission(inputs)],
            TagSpecifications=tag_specifications("security-group-rule", aws.tags_all(inputs)),
        )["SecurityGroupRules"][0]
        rule_id = rule["SecurityGroupRuleId"]
        return rule_id, self.read(aws, rule_id, inputs)

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the rule."""
        rule = describe_one(
            aws, "describe_security_group_rules", "SecurityGroupRules", SecurityGroupRuleIds=[physical_id]
        )
        everything = rule["IpProtocol"] == "-1"
        # moto keeps a description only with an address range.
        by_range = bool(rule.get("CidrIpv4") or rule.get("CidrIpv6"))
        described = {"description": rule.get("Description")} if by_range else {}
        return {
            **described,
            "arn": arn(aws, "security-group-rule", physical_id),
            "cidrIpv4": rule.get("CidrIpv4"),
            "cidrIpv6": rule.get("CidrIpv6"),
            "fromPort": None if everything else rule.get("FromPort"),
            "ipProtocol": rule["IpProtocol"],
            "prefixListId": rule.get("PrefixListId"),
            "referencedSecurityGroupId": (rule.get("ReferencedGroupInfo") or {}).get("GroupId"),
            "securityGroupId": rule["GroupId"],
            "securityGroupRuleId": physical_id,
            "tags": tags_of(rule),
            "toPort": None if everything else rule.get("ToPort"),
        }

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Changes protocol, ports, IPv4 range and description in place; sets the tags."""
        names = {"cidrIpv4": "CidrIpv4", "cidrIpv6": "CidrIpv6", "prefixListId": "PrefixListId"}
        names |= {"referencedSecurityGroupId": "ReferencedGroupId", "description": "Description"}
        wanted: dict[str, Any] = {
            "IpProtocol": _rules.normal_protocol(inputs["ipProtocol"]),
            "FromPort": inputs.get("fromPort", -1),
            "ToPort": inputs.get("toPort", -1),
            "Description": "",
            **{name: inputs[key] for key, name in names.items() if key in inputs},
        }
        aws.client("ec2").modify_security_group_rules(
            GroupId=inputs["securityGroupId"],
            SecurityGroupRules=[{"SecurityGroupRuleId": physical_id, "SecurityGroupRule": wanted}],
        )
        retag(aws, physical_id, state, inputs)
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, state: Props, /) -> None:
        """Revokes the rule."""
        with missing_is_fine():
            _rules.revoke(aws, state["securityGroupId"], self.direction, [physical_id])


class SecurityGroupEgressRule(_SecurityGroupRule):
    """One rule for traffic out of a group."""

    token = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
    backed_by = "moto: ec2.authorize_security_group_egress, modify_security_group_rules"
    direction = "egress"


class SecurityGroupIngressRule(_SecurityGroupRule):
    """One rule for traffic into a group."""

    token = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
    backed_by = "moto: ec2.authorize_security_group_ingress, modify_security_group_rules"
    direction = "ingress"


def _permission(inputs: Props) -> dict[str, Any]:
    described = {"Description": inputs["description"]} if inputs.get("description") else {}
    ports = {"fromPort": "FromPort", "toPort": "ToPort"}
    return {
        "IpProtocol": _rules.normal_protocol(inputs["ipProtocol"]),
        **{name: inputs[key] for key, name in ports.items() if key in inputs},
        **{many: [{one: inputs[key], **described}] for key, (many, one) in _PEERS.items() if key in inputs},
    }


RESOURCES: list[Resource] = [SecurityGroupEgressRule(), SecurityGroupIngressRule()]
INVOKES: dict[str, Invoke] = {}
