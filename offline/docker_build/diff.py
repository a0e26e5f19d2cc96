"""Which changes of inputs call for a new build."""

from typing import Any

from offline.aws.wire import is_unknown
from offline.docker_build.inputs import INDEX

_EMPTY: tuple[Any, ...] = (None, False, [], {}, "")


def changed_inputs(old: dict[str, Any], new: dict[str, Any]) -> set[str]:
    """Returns the inputs that differ in a way that matters to the build or the push.

    Passwords of registries do not: tokens are issued anew for each run. Neither do secrets that the program
    lists in `ignoreSecretsInDiffCalculation` and that exist before and after.

    Args:
        old: checked inputs of the last deployment.
        new: checked inputs of this one; an unknown counts as different.
    """
    ignored = set(new.get("ignoreSecretsInDiffCalculation") or []) & set(old.get("secrets") or {})
    return {key for key in (*old, *new) if not _same(_relevant(key, old, ignored), _relevant(key, new, ignored))}


def replacing(token: str, changed: set[str]) -> set[str]:
    """Returns those changes that make another resource of it: an index is its tag."""
    return changed & {"tag"} if token == INDEX else set()


def _relevant(key: str, inputs: dict[str, Any], ignored_secrets: set[str]) -> Any:
    value = inputs.get(key)
    if key in ("registries", "registry") and not is_unknown(value) and value:
        entries = value if isinstance(value, list) else [value]
        return [{name: item for name, item in entry.items() if name != "password"} for entry in entries]
    if key == "secrets" and isinstance(value, dict):
        return {name: None if name in ignored_secrets else item for name, item in value.items()}
    return value


def _same(one: Any, other: Any) -> bool:
    if is_unknown(one) or is_unknown(other):
        return False
    return one == other or (one in _EMPTY and other in _EMPTY)
