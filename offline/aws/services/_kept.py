"""Objects of Route 53 Resolver that the stand-in keeps itself, as moto has no interface for them."""

import secrets
from typing import Any

from offline.aws.resource import Aws, Gone, Props

FIREWALL_DOMAIN_LIST = "firewall-domain-list"
FIREWALL_RULE_GROUP = "firewall-rule-group"
FIREWALL_RULE = "firewall-rule"
FIREWALL_ASSOCIATION = "firewall-rule-group-association"
FIREWALL_CONFIG = "firewall-config"
QUERY_LOG_CONFIG = "resolver-query-log-config"
QUERY_LOG_ASSOCIATION = "resolver-query-log-config-association"


def new_id(prefix: str) -> str:
    """Returns a fresh id as Route 53 Resolver makes them, e.g. `rslvr-fdl-0123456789abcdef0`."""
    return f"{prefix}-{secrets.token_hex(9)[:17]}"


def arn(aws: Aws, kind: str, physical_id: str) -> str:
    """Returns the ARN of an object of Route 53 Resolver."""
    return f"arn:{aws.partition}:route53resolver:{aws.region}:{aws.account_id}:{kind}/{physical_id}"


def find(aws: Aws, kind: str, physical_id: str) -> Props:
    """Returns a kept object.

    Raises:
        Gone: there is none.
    """
    item = aws.store.get(kind, physical_id)
    if item is None:
        raise Gone
    return item


def vpc_exists(aws: Aws, vpc_id: str) -> bool:
    """Returns whether the emulated EC2 has a VPC."""
    found: list[Any] = aws.client("ec2").describe_vpcs(Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])["Vpcs"]
    return bool(found)
