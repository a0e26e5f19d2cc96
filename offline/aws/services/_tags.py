"""Tags in the forms that the APIs other than EC2's take."""

from offline.aws.resource import Aws, Props


def tag_list(tags: dict[str, str], key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """Returns tags as a list of pairs, with the names that the service gives the two fields."""
    return [{key: name, value: text} for name, text in tags.items()]


def tag_map(tags: list[dict[str, str]] | None, key: str = "Key", value: str = "Value") -> dict[str, str]:
    """Returns a list of pairs as tags by name."""
    return {tag[key]: tag[value] for tag in tags or []}


def tag_changes(aws: Aws, state: Props, inputs: Props) -> tuple[list[str], dict[str, str]]:
    """Returns which tags must be removed and which written to get from those in `state` to the wanted ones."""
    old, new = state.get("tagsAll") or {}, aws.tags_all(inputs)
    removed = sorted(key for key in old if key not in new)
    return removed, {key: value for key, value in new.items() if old.get(key) != value}
