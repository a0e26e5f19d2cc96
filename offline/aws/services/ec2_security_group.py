"""Security groups, the default group of a VPC, and the guard that keeps foreign rules out of a group."""

from typing import ClassVar, Literal, get_args

from offline.aws.errors import missing_is_fine
from offline.aws.registry import Invoke
from offline.aws.resource import Aws, Props, Resource
from offline.aws.services import _rules
from offline.aws.services._ec2 import arn, describe_one, retag, tag_specifications, tags_of

_DIRECTIONS: tuple[Literal["ingress", "egress"], ...] = get_args(_rules.Direction)


class SecurityGroup(Resource):
    """A security group. The rule that AWS adds to a new one, everything out, is removed, as the real provider does."""

    token = "aws:ec2/securityGroup:SecurityGroup"
    backed_by = "moto: ec2.create_security_group"
    name_property = "name"
    defaults: ClassVar[Props] = {"description": "Managed by Pulumi"}
    force_new = frozenset({"description", "name", "vpcId"})
    unsupported = frozenset({"namePrefix"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Makes the group with its inline rules only."""
        client = aws.client("ec2")
        vpc = {"VpcId": inputs["vpcId"]} if "vpcId" in inputs else {}
        group_id = client.create_security_group(
            GroupName=inputs["name"],
            Description=inputs["description"],
            TagSpecifications=tag_specifications("security-group", aws.tags_all(inputs)),
            **vpc,
        )["GroupId"]
        try:
            for direction in _DIRECTIONS:
                _rules.replace_inline(aws, group_id, direction, inputs.get(direction) or [])
            return group_id, self.read(aws, group_id, inputs)
        except Exception:
            client.delete_security_group(GroupId=group_id)
            raise

    def read(self, aws: Aws, physical_id: str, state: Props, /) -> Props:
        """Returns the group; its rules only where the program states them here, as rule resources may add others."""
        group = describe_one(aws, "describe_security_groups", "SecurityGroups", GroupIds=[physical_id])
        rules: Props = {
            direction: _rules.inline_entries(aws, physical_id, direction, state[direction])
            for direction in _DIRECTIONS
            if state.get(direction) is not None
        }
        return {
            **rules,
            "arn": arn(aws, "security-group", physical_id),
            "description": group["Description"],
            "name": group["GroupName"],
            "ownerId": group["OwnerId"],
            "tags": tags_of(group),
            "vpcId": group.get("VpcId"),
        }

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Brings the inline rules and the tags to what is wanted."""
        for direction in _DIRECTIONS:
            if direction in inputs:
                _rules.replace_inline(aws, physical_id, direction, inputs[direction])
        retag(aws, physical_id, state, inputs)
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, state: Props, /) -> None:
        """Deletes the group; before that its rules, if the program asked for it."""
        with missing_is_fine():
            if state.get("revokeRulesOnDelete"):
                for direction in _DIRECTIONS:
                    _rules.replace_inline(aws, physical_id, direction, [])
            aws.client("ec2").delete_security_group(GroupId=physical_id)


class DefaultSecurityGroup(Resource):
    """The default group of a VPC: adopted, and left with the stated rules only. Deleting it only forgets it."""

    token = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"
    backed_by = "moto: ec2.describe_security_groups, revoke_security_group_ingress and _egress"
    force_new = frozenset({"vpcId"})
    drift_keys = frozenset({"egress", "ingress"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Finds the group and makes the stated rules its only ones."""
        vpc_id = inputs.get("vpcId") or self._default_vpc(aws)
        group = describe_one(
            aws,
            "describe_security_groups",
            "SecurityGroups",
            Filters=[{"Name": "vpc-id", "Values": [vpc_id]}, {"Name": "group-name", "Values": ["default"]}],
        )
        return group["GroupId"], self._bring(aws, group["GroupId"], {"tagsAll": tags_of(group)}, inputs)

    def read(self, aws: Aws, physical_id: str, state: Props, /) -> Props:
        """Returns the group and every rule in it."""
        group = describe_one(aws, "describe_security_groups", "SecurityGroups", GroupIds=[physical_id])
        rules: Props = {
            direction: _rules.inline_entries(aws, physical_id, direction, state.get(direction))
            for direction in _DIRECTIONS
        }
        return {
            **rules,
            "arn": arn(aws, "security-group", physical_id),
            "description": group["Description"],
            "name": group["GroupName"],
            "ownerId": group["OwnerId"],
            "tags": tags_of(group),
            "vpcId": group["VpcId"],
        }

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Makes the stated rules the only ones again."""
        return self._bring(aws, physical_id, state, inputs)

    def delete(self, aws: Aws, physical_id: str, state: Props, /) -> None:
        """Leaves the group, which AWS does not let one delete, as it is."""

    def _bring(self, aws: Aws, group_id: str, state: Props, inputs: Props) -> Props:
        for direction in _DIRECTIONS:
            _rules.replace_inline(aws, group_id, direction, inputs.get(direction) or [])
        retag(aws, group_id, state, inputs)
        return self.read(aws, group_id, inputs)

    def _default_vpc(self, aws: Aws) -> str:
        vpc = describe_one(aws, "describe_vpcs", "Vpcs", Filters=[{"Name": "is-default", "Values": ["true"]}])
        return str(vpc["VpcId"])


class VpcSecurityGroupRulesExclusive(Resource):
    """The only rules that a group may have: every other one is revoked, and found again by each refresh."""

    token = "aws:ec2/vpcSecurityGroupRulesExclusive:VpcSecurityGroupRulesExclusive"
    backed_by = "moto: ec2.describe_security_group_rules, revoke_security_group_ingress and _egress"
    force_new = frozenset({"securityGroupId"})
    taggable = False

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Revokes every rule that is not listed."""
        return inputs["securityGroupId"], self._revoke_others(aws, inputs)

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the ids of the rules that the group has now."""
        describe_one(aws, "describe_security_groups", "SecurityGroups", GroupIds=[physical_id])
        return {
            "securityGroupId": physical_id,
            **{
                f"{direction}RuleIds": sorted(
                    rule["SecurityGroupRuleId"] for rule in _rules.rules_of(aws, physical_id, direction)
                )
                for direction in _DIRECTIONS
            },
        }

    def update(self, aws: Aws, _physical_id: str, _state: Props, inputs: Props, /) -> Props:
        """Revokes every rule that is not listed."""
        return self._revoke_others(aws, inputs)

    def delete(self, aws: Aws, physical_id: str, state: Props, /) -> None:
        """Ends the guard; the rules stay."""

    def _revoke_others(self, aws: Aws, inputs: Props) -> Props:
        group_id = inputs["securityGroupId"]
        for direction in _DIRECTIONS:
            listed = inputs[f"{direction}RuleIds"]
            others = [
                rule["SecurityGroupRuleId"]
                for rule in _rules.rules_of(aws, group_id, direction)
                if rule["SecurityGroupRuleId"] not in listed
            ]
            _rules.revoke(aws, group_id, direction, others)
        return {}


RESOURCES: list[Resource] = [SecurityGroup(), DefaultSecurityGroup(), VpcSecurityGroupRulesExclusive()]
INVOKES: dict[str, Invoke] = {}
