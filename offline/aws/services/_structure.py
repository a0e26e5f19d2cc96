"""Nested properties between the names of the SDK and the names of AWS's API."""

from collections.abc import Mapping
from typing import Any

from offline.aws.resource import Props

Fields = Mapping[str, "str | tuple[str, Fields]"]
"""The API's name of each property, with the fields of those that are structures or lists of structures."""


def to_api(fields: Fields, value: Props) -> Props:
    """Returns the properties under the API's names, without those that are None.

    Raises:
        ValueError: a property that the handler does not pass on.
    """
    unknown = sorted(key for key in value if key not in fields and value[key] is not None)
    if unknown:
        raise ValueError(
            f"{', '.join(unknown)}: the stand-in for the aws provider does not act on it (it does on "
            f"{', '.join(sorted(fields))}): leave it out, or use the real aws plugin"
        )
    return {_name(fields[key]): _convert(fields[key], item, to_api) for key, item in value.items() if item is not None}


def from_api(fields: Fields, value: Props) -> Props:
    """Returns what the API gave under the SDK's names, without what is None or has no name in the SDK."""
    result = {}
    for key, field in fields.items():
        item = value.get(_name(field))
        if item is not None:
            result[key] = _convert(field, item, from_api)
    return result


def _name(field: Any) -> str:
    return field if isinstance(field, str) else str(field[0])


def _convert(field: Any, item: Any, convert: Any) -> Any:
    if isinstance(field, str):
        return item
    return [convert(field[1], entry) for entry in item] if isinstance(item, list) else convert(field[1], item)
