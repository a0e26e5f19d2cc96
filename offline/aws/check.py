"""Checks the inputs of a program against what the SDK declares, and fills in names, as the real provider does."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from offline.aws.resource import Props, Resource
from offline.aws.schema import Field, Shape
from offline.aws.wire import UNKNOWN

DEFAULTS_KEY = "__defaults"
"""Where Pulumi's providers note which inputs they filled in themselves."""

# What the engine itself adds to the inputs of a resource or of the provider.
_ENGINE_KEYS = frozenset({DEFAULTS_KEY, "__internal", "version", "pluginDownloadURL", "parameterization"})
_RANDOM_DIGITS = 7


@dataclass(frozen=True)
class Failure:
    """One refused input: the path of the property (`egress[0].fromPort`) and why."""

    path: str
    reason: str


def check(declared: dict[str, Field], properties: Props, owner: str) -> tuple[Props, list[Failure]]:
    """Compares properties with their declaration.

    Args:
        declared: the declared properties by name on the wire.
        properties: what the program gave; unknowns pass.
        owner: the type that the properties belong to, for messages.

    Returns:
        The properties in the declared types ("443" for a number becomes 443, a policy document given as an
        object becomes its JSON), and what is wrong with them.
    """
    failures: list[Failure] = []
    return _check_fields(declared, properties, owner, "", failures), failures


def fill_defaults(resource: Resource, properties: Props) -> None:
    """Fills in the inputs that the real provider sets itself, and notes which; changes `properties`."""
    missing = [key for key in resource.defaults if properties.get(key) is None]
    if missing:
        properties.update({key: resource.defaults[key] for key in missing})
        properties[DEFAULTS_KEY] = sorted({*missing, *properties.get(DEFAULTS_KEY, ())})


def refuse_unsupported(resource: Resource, properties: Props) -> list[Failure]:
    """Refuses the inputs that the handler would ignore: a program must not seem to work because of that."""
    return [
        Failure(
            key,
            f"the stand-in for the aws provider does not act on the input {key!r} of {resource.token}: "
            f"leave it out, or use the real aws plugin",
        )
        for key in sorted(resource.unsupported & set(properties))
        if properties[key] not in (None, False, 0, "", [], {})
    ]


def name_automatically(
    resource: Resource, properties: Props, old: Props, logical_name: str, seed: bytes
) -> list[Failure]:
    """Fills in the name that AWS demands, if the program left it out; keeps the one given at creation.

    Args:
        resource: the handler, which says which property is the name.
        properties: the checked inputs; changed in place.
        old: the checked inputs of the last deployment, empty at creation.
        logical_name: the resource's name in the program.
        seed: the engine's random seed; equal seeds give equal names.
    """
    key = resource.name_property
    if key is None or properties.get(key) is not None:
        return []
    if key in old.get(DEFAULTS_KEY, ()):
        properties[key] = old[key]
    else:
        digits = hashlib.sha256(seed + logical_name.encode()).hexdigest()[:_RANDOM_DIGITS]
        properties[key] = f"{logical_name}-{digits}{resource.name_suffix}"
    properties[DEFAULTS_KEY] = sorted({key, *properties.get(DEFAULTS_KEY, ())})
    if len(properties[key]) > resource.name_limit:
        return [
            Failure(
                key,
                f"the automatic name {properties[key]!r} has {len(properties[key])} characters, {resource.token} "
                f"takes {resource.name_limit}: shorten the resource's name, or set {key!r}",
            )
        ]
    return []


def _check_fields(
    declared: dict[str, Field], properties: Props, owner: str, path: str, failures: list[Failure]
) -> Props:
    checked: Props = {}
    for key, value in properties.items():
        place = f"{path}.{key}" if path else key
        if key in _ENGINE_KEYS:
            if key == DEFAULTS_KEY:
                continue
            checked[key] = value
        elif key not in declared:
            failures.append(
                Failure(place, f"{owner} has no input {key!r} in the installed SDK; it has {_known(declared)}")
            )
        elif value is not None:
            checked[key] = _check_value(declared[key].shape, value, owner, place, failures)
    for field in declared.values():
        if field.required and properties.get(field.name) is None:
            place = f"{path}.{field.name}" if path else field.name
            failures.append(Failure(place, f"{owner} requires the input {field.name!r}: set it"))
    return checked


def _check_value(shape: Shape, value: Any, owner: str, path: str, failures: list[Failure]) -> Any:
    if value == UNKNOWN or shape.kind == "any" or value is None:
        return value
    match shape.kind, value:
        case "string", str():
            return value
        case "string", bool():
            return "true" if value else "false"
        case "string", int() | float():
            return str(value)
        case "string", dict() | list() if shape.document:
            return json.dumps(value)
        case "number", int() | float() if not isinstance(value, bool):
            return value
        case "number", str() if _is_number(value):
            return float(value) if "." in value else int(value)
        case "boolean", bool():
            return value
        case "boolean", "true" | "false":
            return value == "true"
        case (("list" | "object" | "map"), str()) if owner == "provider aws":
            # The SDK sends the provider's own nested settings as JSON text.
            return _check_value(shape, json.loads(value), owner, path, failures) if _is_json(value) else value
        case "list", list():
            item = shape.item or Shape("any")
            return [_check_value(item, entry, owner, f"{path}[{i}]", failures) for i, entry in enumerate(value)]
        case "map", dict():
            item = shape.item or Shape("any")
            return {key: _check_value(item, entry, owner, f"{path}.{key}", failures) for key, entry in value.items()}
        case "object", dict():
            return _check_fields(shape.fields.by_name if shape.fields else {}, value, owner, path, failures)
    failures.append(Failure(path, f"{owner} takes a {shape.kind} here, not {value!r}: change the value"))
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _known(declared: dict[str, Field]) -> str:
    return ", ".join(sorted(declared))
