"""Compares what a program wants with what is there, as the real provider does."""

import json
from collections.abc import Collection
from typing import Any

from offline.aws.wire import is_unknown
from offline.docker.kind import Kind, Props

# What stands for nothing: a health check's times are `0s` when they are left to the engine.
_EMPTY: tuple[Any, ...] = (None, "", "0s", [], {}, False, 0)


def changed_inputs(kind: Kind, declared: Collection[str], state: Props, new: Props) -> set[str]:
    """Returns the inputs that differ from what is there.

    The state is compared, not the inputs that led to it: so a program that gives an image by its name sees
    a change at each deployment, because the state has the image's id.

    Args:
        kind: the type.
        declared: names of all its inputs.
        state: outputs of the last deployment or refresh.
        new: checked inputs of this one; an unknown counts as different.
    """
    return {
        key
        for key in declared
        if not (key in kind.computed and new.get(key) is None) and not same(kind, key, state.get(key), new.get(key))
    }


def same(kind: Kind, key: str, present: Any, wanted: Any) -> bool:
    """Returns whether an input of the program means what is there."""
    if is_unknown(wanted):
        return False
    if present in _EMPTY and wanted in _EMPTY:
        return True
    if key in kind.same and present is not None and wanted is not None:
        return kind.same[key](present, wanted)
    sort = key not in kind.ordered
    return bool(canonical(present, sort=sort) == canonical(wanted, sort=sort))


def refreshed_inputs(kind: Kind, inputs: Props, state: Props) -> Props:
    """Returns the inputs as they would have to be for the engine to hold what it holds now."""
    refreshed = dict(inputs)
    for key, wanted in inputs.items():
        if key.startswith("__") or same(kind, key, state.get(key), wanted):
            continue
        if state.get(key) in _EMPTY:
            del refreshed[key]
        else:
            refreshed[key] = state[key]
    return refreshed


def canonical(value: Any, *, sort: bool) -> Any:
    """Returns a value in a form in which equal meanings are equal: nothing empty, sets sorted."""
    if isinstance(value, dict):
        items = {key: canonical(item, sort=sort) for key, item in value.items()}
        return {key: item for key, item in items.items() if item not in _EMPTY}
    if isinstance(value, list):
        entries = [canonical(item, sort=sort) for item in value]
        return sorted(entries, key=lambda entry: json.dumps(entry, sort_keys=True)) if sort else entries
    return value
