"""Reading properties that may be unknown: each function touches only what it is asked for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard


def get(value: Any, *path: str) -> Any:
    """The property at `path`, None when it or anything above it is absent.

    Raises:
        UnknownValueError: a value on the way is known only at `up`.
    """
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def is_list(value: Any) -> TypeGuard[Sequence[Any]]:
    """Whether `value` is a list, be it plain or the SDK's checking proxy."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def items(value: Any) -> list[Any]:
    """`value` as a list: absent is empty, one is a list of one. Raises UnknownValueError for an unknown element."""
    if value is None:
        return []
    return list(value) if is_list(value) else [value]


def plain(value: Any) -> Any:
    """A copy in plain dicts and lists. Raises UnknownValueError when anything inside is unknown."""
    if isinstance(value, Mapping):
        return {key: plain(value[key]) for key in value}
    if is_list(value):
        return [plain(element) for element in value]
    return value


def children(value: Any) -> Iterator[tuple[str, Any]]:
    """(path suffix, key or index) of what a dict or list holds, without touching the values."""
    if isinstance(value, Mapping):
        for key in value:
            yield f".{key}", key
    elif is_list(value):
        for index in range(len(value)):
            yield f"[{index}]", index


def shown(value: Any, limit: int = 80) -> str:
    """`value` for a message: quoted, control characters escaped, cut at `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}…"
