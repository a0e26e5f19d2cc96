"""What the EC2 handlers share: tags, and looking up one object by its id."""

from typing import Any

from offline.aws.errors import missing_is_gone
from offline.aws.resource import Aws, Gone, Props


def tag_specifications(kind: str, tags: dict[str, str]) -> list[dict[str, Any]]:
    """Returns the `TagSpecifications` of a create call, none for no tags (AWS refuses an empty one)."""
    return [{"ResourceType": kind, "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}] if tags else []


def tags_of(described: Props) -> dict[str, str]:
    """Returns the tags of a described object."""
    return {tag["Key"]: tag["Value"] for tag in described.get("Tags") or []}


def retag(aws: Aws, physical_id: str, state: Props, inputs: Props) -> None:
    """Brings the tags of an EC2 object from those in `state` to the wanted ones."""
    old, new = state.get("tagsAll") or {}, aws.tags_all(inputs)
    client = aws.client("ec2")
    dropped = [{"Key": key} for key in old if key not in new]
    written = [{"Key": key, "Value": value} for key, value in new.items() if old.get(key) != value]
    if dropped:
        client.delete_tags(Resources=[physical_id], Tags=dropped)
    if written:
        client.create_tags(Resources=[physical_id], Tags=written)


def describe_one(aws: Aws, operation: str, result: str, **arguments: Any) -> Props:
    """Returns the one object that a describe call finds.

    Args:
        aws: the account.
        operation: the client's method, e.g. `describe_vpcs`.
        result: the list in its answer, e.g. `Vpcs`.
        arguments: what selects the object.

    Raises:
        Gone: it finds none.
    """
    with missing_is_gone():
        found: list[Props] = getattr(aws.client("ec2"), operation)(**arguments)[result]
    if not found:
        raise Gone
    return found[0]


def arn(aws: Aws, kind: str, physical_id: str) -> str:
    """Returns the ARN of an EC2 object of this account, e.g. of kind `vpc`."""
    return f"arn:{aws.partition}:ec2:{aws.region}:{aws.account_id}:{kind}/{physical_id}"
