"""Security-group rules: between Pulumi's inline entries, EC2's permissions, and single rules as AWS stores them."""

from collections.abc import Callable
from typing import Any, Literal

from offline.aws.resource import Aws, Props

Direction = Literal["ingress", "egress"]

# Inline list property, EC2's list in a permission, its key there, and the single rule's property.
_PEERS = (
    ("cidrBlocks", "IpRanges", "CidrIp", "CidrIpv4"),
    ("ipv6CidrBlocks", "Ipv6Ranges", "CidrIpv6", "CidrIpv6"),
    ("prefixListIds", "PrefixListIds", "PrefixListId", "PrefixListId"),
    ("securityGroups", "UserIdGroupPairs", "GroupId", "GroupId"),
)
_PROTOCOLS = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6", "all": "-1"}


def rules_of(aws: Aws, group_id: str, direction: Direction | None = None) -> list[Props]:
    """Returns the rules of a group as EC2 describes them, of one direction or both."""
    found: list[Props] = aws.client("ec2").describe_security_group_rules(
        Filters=[{"Name": "group-id", "Values": [group_id]}]
    )["SecurityGroupRules"]
    return [rule for rule in found if direction is None or rule["IsEgress"] == (direction == "egress")]


def authorize(aws: Aws, group_id: str, direction: Direction, entries: list[Props]) -> None:
    """Adds inline entries to a group."""
    client = aws.client("ec2")
    add: Callable[..., Any] = getattr(client, f"authorize_security_group_{direction}")
    permissions = [permission(entry, group_id) for entry in entries]
    if permissions:
        add(GroupId=group_id, IpPermissions=permissions)


def revoke(aws: Aws, group_id: str, direction: Direction, rule_ids: list[str]) -> None:
    """Removes rules from a group by their ids."""
    if rule_ids:
        getattr(aws.client("ec2"), f"revoke_security_group_{direction}")(
            GroupId=group_id, SecurityGroupRuleIds=rule_ids
        )


def replace_inline(aws: Aws, group_id: str, direction: Direction, entries: list[Props]) -> None:
    """Makes the inline entries the only rules of one direction, touching only what differs."""
    actual = {atom(rule): rule["SecurityGroupRuleId"] for rule in rules_of(aws, group_id, direction)}
    wanted = atoms(entries, group_id)
    revoke(aws, group_id, direction, [rule_id for key, rule_id in actual.items() if key not in wanted])
    missing = [
        entry
        for key, entry in ((atoms([single], group_id), single) for single in split(entries))
        if not key <= set(actual)
    ]
    authorize(aws, group_id, direction, missing)


def inline_entries(aws: Aws, group_id: str, direction: Direction, known: list[Props] | None) -> list[Props]:
    """Returns the rules of one direction as inline entries; in the program's own grouping when nothing differs."""
    actual = rules_of(aws, group_id, direction)
    if known is not None and {atom(rule) for rule in actual} == atoms(known, group_id):
        return known
    return [_entry(rule, group_id) for rule in actual]


def permission(entry: Props, group_id: str) -> dict[str, Any]:
    """Returns the EC2 permission of an inline entry."""
    protocol = normal_protocol(entry["protocol"])
    described = {"Description": entry["description"]} if entry.get("description") else {}
    result: dict[str, Any] = {"IpProtocol": protocol}
    if protocol != "-1":
        result |= {"FromPort": entry["fromPort"], "ToPort": entry["toPort"]}
    for inline, many, one, _ in _PEERS:
        peers = [*(entry.get(inline) or ())]
        if inline == "securityGroups" and entry.get("self"):
            peers.append(group_id)
        if peers:
            result[many] = [{one: peer, **described} for peer in peers]
    return result


def split(entries: list[Props]) -> list[Props]:
    """Returns inline entries with one peer each."""
    single = []
    for entry in entries:
        bare = {key: value for key, value in entry.items() if key not in {"self", *(peer[0] for peer in _PEERS)}}
        single += [{**bare, inline: [peer]} for inline, *_ in _PEERS for peer in entry.get(inline) or ()]
        if entry.get("self"):
            single.append({**bare, "self": True})
    return single


def atoms(entries: list[Props], group_id: str) -> set[tuple[Any, ...]]:
    """Returns what identifies each single rule of inline entries: protocol, ports and peer."""
    found = set()
    for entry in entries:
        ec2 = permission(entry, group_id)
        for _, many, one, single in _PEERS:
            for peer in ec2.get(many, ()):
                ports = (ec2.get("FromPort"), ec2.get("ToPort"))
                found.add((ec2["IpProtocol"], *ports, single, peer[one]))
    return found


def atom(rule: Props) -> tuple[Any, ...]:
    """Returns what identifies a rule as EC2 describes it; comparable with `atoms`."""
    kind, peer = _peer(rule)
    everything = rule["IpProtocol"] == "-1"
    ports = (None, None) if everything else (rule.get("FromPort"), rule.get("ToPort"))
    return (rule["IpProtocol"], *ports, kind, peer)


def normal_protocol(protocol: Any) -> str:
    """Returns the name that EC2 gives a protocol, or its number where it has none."""
    text = str(protocol).lower()
    return _PROTOCOLS.get(text, text)


def _peer(rule: Props) -> tuple[str, str]:
    for key in ("CidrIpv4", "CidrIpv6", "PrefixListId"):
        if rule.get(key):
            return key, str(rule[key])
    return "GroupId", str((rule.get("ReferencedGroupInfo") or {}).get("GroupId"))


def _entry(rule: Props, group_id: str) -> Props:
    kind, peer = _peer(rule)
    everything = rule["IpProtocol"] == "-1"
    entry = {
        "protocol": rule["IpProtocol"],
        "fromPort": 0 if everything else rule["FromPort"],
        "toPort": 0 if everything else rule["ToPort"],
        "description": rule.get("Description") or "",
    }
    if kind == "GroupId" and peer == group_id:
        return {**entry, "self": True}
    return {**entry, next(inline for inline, _, _, single in _PEERS if single == kind): [peer]}
