"""Functions about the address ranges that AWS publishes for its services."""

from typing import Any

from offline.aws.registry import Invoke
from offline.aws.resource import Aws, Props, Resource


def get_prefix_list(aws: Aws, arguments: Props) -> Props:
    """Returns a service's prefix list, by name (`com.amazonaws.eu-west-1.s3`) or id.

    Raises:
        ValueError: not exactly one list matches.
    """
    found = _one(
        aws.client("ec2").describe_prefix_lists(**_selection(arguments, "prefixListId"))["PrefixLists"], arguments
    )
    return {
        "cidrBlocks": ranges(aws, found["PrefixListId"]),
        "id": found["PrefixListId"],
        "name": found["PrefixListName"],
        "prefixListId": found["PrefixListId"],
        "region": aws.region,
    }


def get_managed_prefix_list(aws: Aws, arguments: Props) -> Props:
    """Returns a managed prefix list with its entries, by name or id.

    Raises:
        ValueError: not exactly one list matches.
    """
    client = aws.client("ec2")
    found = _one(client.describe_managed_prefix_lists(**_selection(arguments, "id"))["PrefixLists"], arguments)
    entries = client.get_managed_prefix_list_entries(PrefixListId=found["PrefixListId"])["Entries"]
    return {
        "addressFamily": found["AddressFamily"],
        "arn": found["PrefixListArn"],
        "entries": [{"cidr": entry["Cidr"], "description": entry.get("Description", "")} for entry in entries],
        "id": found["PrefixListId"],
        "maxEntries": found.get("MaxEntries") or len(entries),
        "name": found["PrefixListName"],
        "ownerId": found["OwnerId"],
        "region": aws.region,
        "tags": {tag["Key"]: tag["Value"] for tag in found.get("Tags") or []},
        "version": found.get("Version") or 1,
    }


def ranges(aws: Aws, prefix_list_id: str) -> list[str]:
    """Returns the address ranges of a prefix list, sorted; moto's describe call leaves them out."""
    entries = aws.client("ec2").get_managed_prefix_list_entries(PrefixListId=prefix_list_id)["Entries"]
    return sorted(entry["Cidr"] for entry in entries)


def _selection(arguments: Props, id_key: str) -> dict[str, Any]:
    filters = [{"Name": entry["name"], "Values": entry["values"]} for entry in arguments.get("filters") or []]
    if arguments.get("name"):
        filters.append({"Name": "prefix-list-name", "Values": [arguments["name"]]})
    ids = {"PrefixListIds": [arguments[id_key]]} if arguments.get(id_key) else {}
    return {"Filters": filters, **ids}


def _one(found: list[Props], arguments: Props) -> Props:
    if len(found) != 1:
        raise ValueError(f"{len(found)} prefix lists match {arguments}, exactly one must: name it in full")
    return found[0]


RESOURCES: list[Resource] = []
INVOKES: dict[str, Invoke] = {
    "aws:ec2/getManagedPrefixList:getManagedPrefixList": get_managed_prefix_list,
    "aws:ec2/getPrefixList:getPrefixList": get_prefix_list,
}
