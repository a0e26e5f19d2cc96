"""DNS Firewall: domain lists, rules in groups, and the groups that VPCs answer by.

moto has none of its calls, so the stand-in keeps the objects itself, with the checks of the real service that a
program can fail: names that do not exist, priorities taken twice, objects that are still used.
"""

from typing import Any, ClassVar

from offline.aws.errors import aws_error
from offline.aws.registry import Invoke
from offline.aws.resource import Aws, Gone, Props, Resource
from offline.aws.services import _kept

_NAME_LIMIT = 64
_RULE_SETTINGS = (
    "action",
    "blockOverrideDnsType",
    "blockOverrideDomain",
    "blockOverrideTtl",
    "blockResponse",
    "firewallDomainRedirectionAction",
    "name",
    "priority",
    "qType",
)
_REDIRECTION_DEFAULT = "INSPECT_REDIRECTION_DOMAIN"


class ResolverFirewallDomainList(Resource):
    """A list of domain names that firewall rules match."""

    token = "aws:route53/resolverFirewallDomainList:ResolverFirewallDomainList"
    backed_by = "kept by the stand-in"
    name_property = "name"
    name_limit = _NAME_LIMIT
    force_new = frozenset({"name"})
    drift_keys = frozenset({"domains"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Keeps the list."""
        list_id = _kept.new_id("rslvr-fdl")
        self._put(aws, list_id, inputs)
        return list_id, self.read(aws, list_id, inputs)

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the list."""
        item = _kept.find(aws, _kept.FIREWALL_DOMAIN_LIST, physical_id)
        return {**item, "arn": _kept.arn(aws, _kept.FIREWALL_DOMAIN_LIST, physical_id)}

    def update(self, aws: Aws, physical_id: str, _state: Props, inputs: Props, /) -> Props:
        """Replaces the names and the tags."""
        self._put(aws, physical_id, inputs)
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Forgets the list, unless a rule uses it."""
        rules = aws.store.items(_kept.FIREWALL_RULE).values()
        if any(rule["firewallDomainListId"] == physical_id for rule in rules):
            raise aws_error(
                "DeleteFirewallDomainList", "ConflictException", f"{physical_id} is used by a firewall rule"
            )
        aws.store.delete(_kept.FIREWALL_DOMAIN_LIST, physical_id)

    def _put(self, aws: Aws, list_id: str, inputs: Props) -> None:
        for domain in inputs.get("domains") or []:
            # The real service's rule: a name, optionally with one leading "*." or "*" alone.
            labels = domain.removeprefix("*").removeprefix(".").removesuffix(".")
            if (domain not in ("*", "*.") and not labels) or "*" in labels or len(domain) > 255:
                raise aws_error("UpdateFirewallDomains", "ValidationException", f"invalid domain {domain!r}")
        item = {"domains": inputs.get("domains") or [], "name": inputs["name"], "tags": aws.tags_all(inputs)}
        aws.store.put(_kept.FIREWALL_DOMAIN_LIST, list_id, item)


class ResolverFirewallRuleGroup(Resource):
    """A set of rules that VPCs can be made to answer by."""

    token = "aws:route53/resolverFirewallRuleGroup:ResolverFirewallRuleGroup"
    backed_by = "kept by the stand-in"
    name_property = "name"
    name_limit = _NAME_LIMIT
    force_new = frozenset({"name"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Keeps the group."""
        group_id = _kept.new_id("rslvr-frg")
        return group_id, self.update(aws, group_id, {}, inputs)

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the group."""
        return {
            **_kept.find(aws, _kept.FIREWALL_RULE_GROUP, physical_id),
            "arn": _kept.arn(aws, _kept.FIREWALL_RULE_GROUP, physical_id),
            "ownerId": aws.account_id,
            "shareStatus": "NOT_SHARED",
        }

    def update(self, aws: Aws, physical_id: str, _state: Props, inputs: Props, /) -> Props:
        """Sets the tags."""
        aws.store.put(_kept.FIREWALL_RULE_GROUP, physical_id, {"name": inputs["name"], "tags": aws.tags_all(inputs)})
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Forgets the group, unless a VPC answers by it."""
        associations = aws.store.items(_kept.FIREWALL_ASSOCIATION).values()
        if any(association["firewallRuleGroupId"] == physical_id for association in associations):
            raise aws_error("DeleteFirewallRuleGroup", "ConflictException", f"{physical_id} is associated with a VPC")
        aws.store.delete(_kept.FIREWALL_RULE_GROUP, physical_id)


class ResolverFirewallRule(Resource):
    """One rule of a group: what happens to queries for the names of a list."""

    token = "aws:route53/resolverFirewallRule:ResolverFirewallRule"
    backed_by = "kept by the stand-in"
    taggable = False
    name_property = "name"
    name_limit = _NAME_LIMIT
    force_new = frozenset({"firewallDomainListId", "firewallRuleGroupId"})
    unsupported = frozenset({"confidenceThreshold", "dnsThreatProtection"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Keeps the rule, if its group and list exist and its priority is free."""
        rule_id = f"{inputs['firewallRuleGroupId']}:{inputs.get('firewallDomainListId')}"
        self._put(aws, "CreateFirewallRule", rule_id, inputs)
        return rule_id, self.read(aws, rule_id, inputs)

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the rule; a rule whose group is gone is gone."""
        item = _kept.find(aws, _kept.FIREWALL_RULE, physical_id)
        _kept.find(aws, _kept.FIREWALL_RULE_GROUP, item["firewallRuleGroupId"])
        return item

    def update(self, aws: Aws, physical_id: str, _state: Props, inputs: Props, /) -> Props:
        """Changes everything but the list and the group."""
        self._put(aws, "UpdateFirewallRule", physical_id, inputs)
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Forgets the rule."""
        aws.store.delete(_kept.FIREWALL_RULE, physical_id)

    def _put(self, aws: Aws, operation: str, rule_id: str, inputs: Props) -> None:
        needs = {"firewallRuleGroupId": _kept.FIREWALL_RULE_GROUP, "firewallDomainListId": _kept.FIREWALL_DOMAIN_LIST}
        for key, kind in needs.items():
            if aws.store.get(kind, str(inputs.get(key))) is None:
                raise aws_error(operation, "ResourceNotFoundException", f"{key} {inputs.get(key)!r} does not exist")
        if inputs["action"] not in ("ALLOW", "ALERT", "BLOCK"):
            raise aws_error(operation, "ValidationException", f"action {inputs['action']!r}: ALLOW, ALERT or BLOCK")
        if inputs["action"] == "BLOCK" and not inputs.get("blockResponse"):
            raise aws_error(operation, "ValidationException", "action BLOCK needs a blockResponse")
        with aws.store.transaction() as content:
            rules = content.setdefault(_kept.FIREWALL_RULE, {})
            for other_id, other in rules.items():
                same_group = other["firewallRuleGroupId"] == inputs["firewallRuleGroupId"]
                if other_id != rule_id and same_group and other["priority"] == inputs["priority"]:
                    raise aws_error(
                        operation, "ConflictException", f"priority {inputs['priority']} is taken by {other_id}"
                    )
            rules[rule_id] = {
                "firewallDomainListId": inputs["firewallDomainListId"],
                "firewallDomainRedirectionAction": _REDIRECTION_DEFAULT,
                "firewallRuleGroupId": inputs["firewallRuleGroupId"],
                **{key: inputs[key] for key in _RULE_SETTINGS if key in inputs},
            }


class ResolverFirewallRuleGroupAssociation(Resource):
    """That a VPC answers by a group."""

    token = "aws:route53/resolverFirewallRuleGroupAssociation:ResolverFirewallRuleGroupAssociation"
    backed_by = "kept by the stand-in; the VPC must exist in moto"
    name_property = "name"
    name_limit = _NAME_LIMIT
    force_new = frozenset({"firewallRuleGroupId", "vpcId"})
    # The priorities that the service leaves to its users.
    priorities: ClassVar[range] = range(101, 9900)

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Keeps the association, if VPC and group exist and its priority is free."""
        association_id = _kept.new_id("rslvr-frgassoc")
        self._put(aws, "AssociateFirewallRuleGroup", association_id, inputs)
        return association_id, self.read(aws, association_id, inputs)

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the association; it ends with its VPC."""
        item = _kept.find(aws, _kept.FIREWALL_ASSOCIATION, physical_id)
        if not _kept.vpc_exists(aws, item["vpcId"]):
            raise Gone
        return {**item, "arn": _kept.arn(aws, _kept.FIREWALL_ASSOCIATION, physical_id)}

    def update(self, aws: Aws, physical_id: str, _state: Props, inputs: Props, /) -> Props:
        """Changes priority, name, protection and tags."""
        self._put(aws, "UpdateFirewallRuleGroupAssociation", physical_id, inputs)
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Ends the association, unless it is protected."""
        item = aws.store.get(_kept.FIREWALL_ASSOCIATION, physical_id) or {}
        if item.get("mutationProtection") == "ENABLED":
            message = f"{physical_id} has mutationProtection ENABLED: set it to DISABLED first"
            raise aws_error("DisassociateFirewallRuleGroup", "ConflictException", message)
        aws.store.delete(_kept.FIREWALL_ASSOCIATION, physical_id)

    def _put(self, aws: Aws, operation: str, association_id: str, inputs: Props) -> None:
        vpc_id, group_id, priority = inputs["vpcId"], inputs["firewallRuleGroupId"], inputs["priority"]
        if aws.store.get(_kept.FIREWALL_RULE_GROUP, group_id) is None:
            raise aws_error(operation, "ResourceNotFoundException", f"firewallRuleGroupId {group_id!r} does not exist")
        if not _kept.vpc_exists(aws, vpc_id):
            raise aws_error(operation, "ResourceNotFoundException", f"vpcId {vpc_id!r} does not exist")
        if priority not in self.priorities:
            bounds = f"{self.priorities.start} to {self.priorities.stop - 1}"
            raise aws_error(operation, "ValidationException", f"priority {priority}: it must be {bounds}")
        with aws.store.transaction() as content:
            associations = content.setdefault(_kept.FIREWALL_ASSOCIATION, {})
            for other_id, other in associations.items():
                if other_id != association_id and other["vpcId"] == vpc_id:
                    if other["priority"] == priority:
                        raise aws_error(operation, "ConflictException", f"priority {priority} is taken by {other_id}")
                    if other["firewallRuleGroupId"] == group_id:
                        raise aws_error(operation, "ConflictException", f"{other_id} associates the two already")
            associations[association_id] = {
                "firewallRuleGroupId": group_id,
                "mutationProtection": inputs.get("mutationProtection", "DISABLED"),
                "name": inputs["name"],
                "priority": priority,
                "tags": aws.tags_all(inputs),
                "vpcId": vpc_id,
            }


class ResolverFirewallConfig(Resource):
    """What a VPC does with queries when the firewall itself does not answer. Each VPC has one; deleting resets it."""

    token = "aws:route53/resolverFirewallConfig:ResolverFirewallConfig"
    backed_by = "kept by the stand-in; the VPC must exist in moto"
    taggable = False
    force_new = frozenset({"resourceId"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Keeps the setting of a VPC."""
        return self._put(aws, _kept.new_id("rslvr-fc"), inputs)

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the setting; it ends with its VPC."""
        item = _kept.find(aws, _kept.FIREWALL_CONFIG, physical_id)
        if not _kept.vpc_exists(aws, item["resourceId"]):
            raise Gone
        return {**item, "ownerId": aws.account_id}

    def update(self, aws: Aws, physical_id: str, _state: Props, inputs: Props, /) -> Props:
        """Changes the setting."""
        return self._put(aws, physical_id, inputs)[1]

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Resets the setting to closed, AWS's own default."""
        aws.store.delete(_kept.FIREWALL_CONFIG, physical_id)

    def _put(self, aws: Aws, config_id: str, inputs: Props) -> tuple[str, Props]:
        vpc_id = inputs["resourceId"]
        if not _kept.vpc_exists(aws, vpc_id):
            raise aws_error(
                "UpdateFirewallConfig", "ResourceNotFoundException", f"resourceId {vpc_id!r} does not exist"
            )
        fail_open: Any = inputs.get("firewallFailOpen", "DISABLED")
        if fail_open not in ("ENABLED", "DISABLED"):
            message = f"firewallFailOpen {fail_open!r}: ENABLED or DISABLED"
            raise aws_error("UpdateFirewallConfig", "ValidationException", message)
        aws.store.put(_kept.FIREWALL_CONFIG, config_id, {"firewallFailOpen": fail_open, "resourceId": vpc_id})
        return config_id, self.read(aws, config_id, inputs)


RESOURCES: list[Resource] = [
    ResolverFirewallConfig(),
    ResolverFirewallDomainList(),
    ResolverFirewallRule(),
    ResolverFirewallRuleGroup(),
    ResolverFirewallRuleGroupAssociation(),
]
INVOKES: dict[str, Invoke] = {}
