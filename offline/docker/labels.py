"""Labels: a list of label and value for Pulumi, a map for the engine."""

from typing import Any


def to_map(labels: list[dict[str, str]] | None) -> dict[str, str]:
    """Returns the map of `[{"label": ..., "value": ...}]`."""
    return {entry["label"]: entry["value"] for entry in labels or []}


def to_list(labels: dict[str, str] | None) -> list[dict[str, Any]]:
    """Returns the list of a map, sorted."""
    return [{"label": label, "value": value} for label, value in sorted((labels or {}).items())]
