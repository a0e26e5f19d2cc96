"""What all parts of a Fargate stack share: where it is, how things are named and tagged, how rules are made."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import pulumi
from pulumi_aws import ec2, vpc

from components.models.tags import Role, Tag, tag_value
from components.plans.account import Account
from components.plans.documents import Document
from components.plans.names import physical_name


class Flow(TypedDict, total=False):
    """One permitted flow: a description, a TCP port (absent: everything), and one other side."""

    description: str
    port: int
    cidr_ipv4: str
    group: pulumi.Input[str]
    prefix_list: pulumi.Input[str]


@dataclass(frozen=True)
class Scope:
    """Shared facts of one stack.

    Attributes:
        stack: Pulumi stack name as a DNS label, a part of every physical name.
        account: Account and region.
    """

    stack: str
    account: pulumi.Output[Account]

    def name(self, kind: str, *parts: str, room: int = 0) -> str:
        """Physical name, within the limits of that kind of thing.

        Given by us, not by Pulumi: documents name roles, groups and repositories, and must be known at preview.
        `room` characters are left for what the caller appends.
        """
        return physical_name(kind, "agentenv", self.stack, *parts, suffix_room=room)

    def tags(
        self,
        role: Role,
        networking: str | None = None,
        *,
        name: str | None = None,
        environment: str | None = None,
        session: str | None = None,
    ) -> dict[str, str]:
        """Tags of one resource; the provider's default tags add stack, team and cost centre."""
        given = {
            Tag.ROLE: role,
            Tag.NETWORKING: networking,
            Tag.ENVIRONMENT: environment,
            Tag.SESSION: session,
            "Name": name,
        }
        return {str(key): tag_value(value) for key, value in given.items() if value is not None}

    def document(self, make: Callable[[Account], Document]) -> pulumi.Output[str]:
        """A policy document as JSON text."""
        return self.account.apply(lambda account: json.dumps(make(account)))

    def rules(
        self,
        name: str,
        group: ec2.SecurityGroup,
        tags: Mapping[str, str],
        parent: pulumi.Resource,
        *,
        ingress: Mapping[str, Flow] | None = None,
        egress: Mapping[str, Flow] | None = None,
        depends_on: Sequence[pulumi.Resource] = (),
    ) -> list[pulumi.Resource]:
        """Exactly these flows for `group`, one described rule each; whatever else is opened is closed at the next `up`.

        Returns:
            What must stand before the group's fence is whole.
        """
        opts = pulumi.ResourceOptions(parent=parent, depends_on=depends_on)
        ins = [
            vpc.SecurityGroupIngressRule(f"{name}-from-{key}", **_rule(group, flow, tags), opts=opts)
            for key, flow in (ingress or {}).items()
        ]
        outs = [
            vpc.SecurityGroupEgressRule(f"{name}-to-{key}", **_rule(group, flow, tags), opts=opts)
            for key, flow in (egress or {}).items()
        ]
        exclusive = ec2.VpcSecurityGroupRulesExclusive(
            name,
            security_group_id=group.id,
            ingress_rule_ids=[rule.id for rule in ins],
            egress_rule_ids=[rule.id for rule in outs],
            opts=opts,
        )
        return [*ins, *outs, exclusive]


def _rule(group: ec2.SecurityGroup, flow: Flow, tags: Mapping[str, str]) -> dict[str, Any]:
    side = {
        "cidr_ipv4": flow.get("cidr_ipv4"),
        "referenced_security_group_id": flow.get("group"),
        "prefix_list_id": flow.get("prefix_list"),
    }
    ports = {"from_port": flow["port"], "to_port": flow["port"]} if "port" in flow else {}
    return {
        "security_group_id": group.id,
        "description": flow["description"],
        "ip_protocol": "tcp" if ports else "-1",
        "tags": dict(tags),
        **ports,
        **{key: value for key, value in side.items() if value is not None},
    }
