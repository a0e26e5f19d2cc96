"""Checks what a program gives against the SDK's declaration and the stand-in's reach, and fills in names."""

import functools
import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from offline.aws.check import DEFAULTS_KEY, Failure, check
from offline.aws.schema import Field, Fields
from offline.docker.container import CONTAINER
from offline.docker.kind import Kind, Props
from offline.docker.network import NETWORK
from offline.docker.remote_image import REMOTE_IMAGE
from offline.docker.volume import VOLUME

PROVIDER = "provider docker"
_KINDS = {kind.token: kind for kind in (CONTAINER, NETWORK, REMOTE_IMAGE, VOLUME)}
_COVERED_SETTINGS = frozenset({"host"})
_NAME_LIMIT = 255
_RANDOM_DIGITS = 7


def kind_of(token: str) -> Kind:
    """Returns what is known of a type.

    Args:
        token: e.g. `docker:index/network:Network`.

    Raises:
        LookupError: the stand-in does not cover it.
    """
    if token not in _KINDS:
        raise LookupError(
            f"{token}: the stand-in for the docker provider has {', '.join(sorted(_KINDS))} only: "
            "leave it out, or use the real docker plugin"
        )
    return _KINDS[token]


@functools.cache
def declared(kind: Kind) -> dict[str, Field]:
    """Returns the declared inputs of a type by their name on the wire."""
    return _declaration(*kind.declaration)


def checked(kind: Kind, properties: Props) -> tuple[Props, list[Failure]]:
    """Returns the properties in the declared types with the provider's defaults, and what is wrong with them.

    Args:
        kind: the type.
        properties: what the program gave; unknowns pass.
    """
    inputs, failures = check(declared(kind), properties, kind.token)
    if not failures:
        failures = [*_refused(kind, inputs), *kind.rules(inputs)]
    missing = sorted(key for key in kind.defaults if inputs.get(key) is None)
    return {**inputs, **{key: kind.defaults[key] for key in missing}, DEFAULTS_KEY: missing}, failures


def name_automatically(inputs: Props, old: Props, logical_name: str, seed: bytes) -> list[Failure]:
    """Fills in the name if the program left it out; keeps the one given at creation.

    Args:
        inputs: the checked inputs; changed in place.
        old: the checked inputs of the last deployment, empty at creation.
        logical_name: the resource's name in the program.
        seed: the engine's random seed; equal seeds give equal names.
    """
    if inputs.get("name") is not None:
        return []
    if "name" in old.get(DEFAULTS_KEY, ()):
        inputs["name"] = old["name"]
    else:
        digits = hashlib.sha256(seed + logical_name.encode()).hexdigest()[:_RANDOM_DIGITS]
        inputs["name"] = f"{logical_name}-{digits}"
    inputs[DEFAULTS_KEY] = sorted({"name", *inputs[DEFAULTS_KEY]})
    if len(inputs["name"]) > _NAME_LIMIT:
        return [Failure("name", f"the automatic name has more than {_NAME_LIMIT} characters; give a shorter one")]
    return []


def check_settings(settings: Props) -> list[Failure]:
    """Returns what is wrong with the provider's own settings."""
    known = _declaration("provider.py", "ProviderArgs")
    values, failures = check(known, settings, PROVIDER)
    return failures or [
        Failure(key, f"the stand-in for the docker provider does not act on {key!r}: leave it out")
        for key in sorted(set(known) - _COVERED_SETTINGS)
        if values.get(key)
    ]


def _declaration(file: str, class_name: str) -> dict[str, Field]:
    spec = importlib.util.find_spec("pulumi_docker")
    if spec is None or spec.origin is None:
        raise LookupError("the Python package pulumi-docker is not installed: install the project's requirements")
    return Fields(Path(spec.origin).parent / file, class_name).by_name


def _refused(kind: Kind, inputs: Props) -> Iterator[Failure]:
    for path in sorted(kind.refused):
        for place in _places(inputs, path.split("."), ""):
            yield Failure(
                place,
                f"the stand-in for the docker provider does not act on the input {path!r} of {kind.token}: "
                "leave it out, or use the real docker plugin",
            )


def _places(value: Any, keys: list[str], place: str) -> Iterator[str]:
    """Yields where in a value something is given at a path, through any lists on the way."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _places(item, keys, f"{place}[{index}]")
    elif keys and isinstance(value, dict):
        yield from _places(value.get(keys[0]), keys[1:], f"{place}.{keys[0]}" if place else keys[0])
    elif not keys and value not in (None, False, 0, "", {}):
        yield place
