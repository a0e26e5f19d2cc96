"""Compares what a program wants with what was deployed, and with what AWS holds now."""

import json
from collections.abc import Collection
from typing import Any

from offline.aws.resource import Props, Resource
from offline.aws.schema import Field
from offline.aws.wire import is_unknown

_EMPTY: tuple[Any, ...] = (None, "", [], {}, False, 0)
# Elements of a policy statement that AWS treats as sets of strings, one string standing for a set of one.
_STATEMENT_SETS = frozenset({"Action", "NotAction", "Resource", "NotResource"})


def changed_inputs(resource: Resource, old: Props, new: Props, ignored: Collection[str] = ()) -> list[str]:
    """Returns the inputs that differ, sorted; an unknown new value counts as different."""
    keys = {key for key in (*old, *new) if not key.startswith("__")} - set(ignored)
    return sorted(key for key in keys if not same(resource, key, old.get(key), new.get(key)))


def same(resource: Resource, key: str, one: Any, other: Any) -> bool:
    """Returns whether two values of an input mean the same to AWS."""
    if is_unknown(one) or is_unknown(other):
        return False
    # Leaving an input out and giving the empty list, text or map for it is one and the same to the real provider.
    if _is_empty_container(one) and _is_empty_container(other):
        return True
    if key in resource.json_properties and isinstance(one, str) and isinstance(other, str):
        return same_document(one, other)
    sort = key not in resource.ordered
    return bool(_canonical(one, sort=sort) == _canonical(other, sort=sort))


def same_document(one: str, other: str) -> bool:
    """Returns whether two JSON texts mean the same; policy statements by the rules of IAM."""
    try:
        left, right = json.loads(one), json.loads(other)
    except ValueError:
        return one == other
    return bool(_document(left) == _document(right))


def refreshed_inputs(resource: Resource, declared: dict[str, Field], inputs: Props, actual: Props) -> Props:
    """Returns the inputs as they would have to be for AWS to hold what it holds now.

    Args:
        resource: the handler.
        declared: the declared inputs of its type.
        inputs: the inputs of the last deployment.
        actual: what `Resource.read` returned, with `tags` already reduced to the resource's own.

    Returns:
        The inputs unchanged where nothing drifted, so that the next deployment sees only real differences.
    """
    refreshed = dict(inputs)
    for key, wanted in inputs.items():
        if key in actual and not key.startswith("__"):
            whole = key in declared and declared[key].shape.kind == "map"
            value = actual[key] if whole else _restricted(wanted, actual[key])
            if same(resource, key, wanted, value) or (value is None and wanted in _EMPTY):
                continue
            if value is None:
                del refreshed[key]
            else:
                refreshed[key] = value
    for key in (resource.drift_keys | {"tags"}) - set(inputs):
        if actual.get(key) not in _EMPTY:
            refreshed[key] = actual[key]
    return refreshed


def _restricted(wanted: Any, actual: Any) -> Any:
    """Returns `actual` without the keys of nested objects that the program did not give."""
    if isinstance(wanted, dict) and isinstance(actual, dict):
        return {key: _restricted(value, actual[key]) if key in actual else value for key, value in wanted.items()}
    if isinstance(wanted, list) and isinstance(actual, list) and wanted and all(isinstance(i, dict) for i in wanted):
        keys = {key for item in wanted for key in item}
        return [{k: v for k, v in item.items() if k in keys} if isinstance(item, dict) else item for item in actual]
    return actual


def _is_empty_container(value: Any) -> bool:
    return value is None or value in ("", [], {})


def _canonical(value: Any, *, sort: bool) -> Any:
    if isinstance(value, dict):
        items = {key: _canonical(item, sort=sort) for key, item in value.items()}
        return {key: item for key, item in items.items() if not _is_empty_container(item)}
    if isinstance(value, list):
        entries = [_canonical(item, sort=sort) for item in value]
        return sorted(entries, key=lambda entry: json.dumps(entry, sort_keys=True)) if sort else entries
    return value


def _document(value: Any) -> Any:
    if isinstance(value, dict) and "Statement" in value:
        statements = value["Statement"] if isinstance(value["Statement"], list) else [value["Statement"]]
        return {**value, "Statement": [_statement(statement) for statement in statements]}
    return _canonical(value, sort=False)


def _statement(statement: Any) -> Any:
    if not isinstance(statement, dict):
        return statement
    result: dict[str, Any] = {}
    for key, value in statement.items():
        if key in _STATEMENT_SETS:
            result[key] = _strings(value)
        elif key in ("Principal", "NotPrincipal"):
            whole = {"AWS": "*"} if value == "*" else value
            result[key] = {kind: _strings(names) for kind, names in whole.items()}
        elif key == "Condition":
            result[key] = {
                operator: {name: _strings(values) for name, values in keys.items()} for operator, keys in value.items()
            }
        elif key != "Sid" or value:
            result[key] = value
    return result


def _strings(value: Any) -> list[str]:
    entries = value if isinstance(value, list) else [value]
    return sorted(str(entry).lower() if isinstance(entry, bool) else str(entry) for entry in entries)
