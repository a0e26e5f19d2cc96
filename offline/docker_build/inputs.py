"""Checks what a program gives for an `Image` or an `Index` against the SDK's declaration and the stand-in's reach."""

import functools
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offline.aws.check import Failure, check
from offline.aws.schema import Field, Fields
from offline.aws.wire import is_unknown
from offline.docker_build.context_hash import is_remote
from offline.docker_build.reference import parse

IMAGE = "docker-build:index:Image"
INDEX = "docker-build:index:Index"
_SOURCES = {IMAGE: ("image.py", "ImageArgs"), INDEX: ("index.py", "IndexArgs")}
# Exports that are another way to say `push` or `load`, or that store nothing.
_PUSHING, _LOADING, _STORING_NOTHING = frozenset({"registry"}), frozenset({"docker"}), frozenset({"cacheonly"})


@dataclass(frozen=True)
class Dockerfile:
    """Where the instructions come from: `text`, and `path` unless they are inline."""

    text: str
    path: Path | None


def checked(token: str, properties: dict[str, Any]) -> tuple[dict[str, Any], list[Failure]]:
    """Returns the properties in the declared types, and what is wrong with them.

    Args:
        token: `docker-build:index:Image` or `docker-build:index:Index`.
        properties: what the program gave; unknowns pass.

    Raises:
        LookupError: no such type.
    """
    inputs, failures = check(declared(token), properties, token)
    if not failures:
        failures = list(_image_failures(inputs) if token == IMAGE else _index_failures(inputs))
    return inputs, failures


@functools.cache
def declared(token: str) -> dict[str, Field]:
    """Returns the declared inputs of a type by their name on the wire.

    Raises:
        LookupError: the stand-in has no such type.
    """
    if token not in _SOURCES:
        raise LookupError(f"{token}: the stand-in for docker-build has {' and '.join(_SOURCES)} only")
    spec = importlib.util.find_spec("pulumi_docker_build")
    if spec is None or spec.origin is None:
        raise LookupError("the Python package pulumi-docker-build is not installed: install the project's requirements")
    file, class_name = _SOURCES[token]
    return Fields(Path(spec.origin).parent / file, class_name).by_name


def context_location(inputs: dict[str, Any]) -> str:
    """Returns the build context: a folder, relative to where the engine runs the program, or a URL."""
    return str(inputs.get("context", {}).get("location") or ".")


def dockerfile_of(inputs: dict[str, Any]) -> Dockerfile:
    """Returns the Dockerfile: inline, at `dockerfile.location`, or the context's own.

    Raises:
        OSError: the file cannot be read.
    """
    given = inputs.get("dockerfile") or {}
    if given.get("inline"):
        return Dockerfile(given["inline"], None)
    context = context_location(inputs)
    if is_remote(context):
        return Dockerfile(str(given.get("location", "")), None)
    path = Path(given.get("location") or Path(context, "Dockerfile"))
    return Dockerfile(path.read_text(), path)


def is_pushed(inputs: dict[str, Any]) -> bool:
    """Says whether the image goes to a registry."""
    return bool(inputs.get("push")) or bool(_export_kinds(inputs) & _PUSHING)


def is_loaded(inputs: dict[str, Any]) -> bool:
    """Says whether the image is kept in the engine under its tags."""
    return bool(inputs.get("load")) or bool(_export_kinds(inputs) & _LOADING)


def _export_kinds(inputs: dict[str, Any]) -> set[str]:
    entries = (export for export in inputs.get("exports") or [] if not export.get("disabled"))
    return {kind for entry in entries for kind in entry if kind != "disabled"}


def _image_failures(inputs: dict[str, Any]) -> Iterator[Failure]:
    for key, rule in _IMAGE_RULES.items():
        if not is_unknown(inputs.get(key)):
            yield from rule(inputs)


def _tag_failures(inputs: dict[str, Any]) -> Iterator[Failure]:
    tags = inputs.get("tags") or []
    if not tags and is_pushed(inputs):
        yield Failure("tags", "[]: a pushed image needs a name; give at least one tag")
    for index, tag in enumerate(tags):
        try:
            parse(tag)
        except ValueError as error:
            yield Failure(f"tags[{index}]", str(error))


def _export_failures(inputs: dict[str, Any]) -> Iterator[Failure]:
    for kind in sorted(_export_kinds(inputs) - _PUSHING - _LOADING - _STORING_NOTHING):
        yield Failure("exports", f"{kind!r} is not covered by the stand-in for docker-build; use push or load")


def _platform_failures(inputs: dict[str, Any]) -> Iterator[Failure]:
    platforms = inputs.get("platforms") or []
    if len(platforms) > 1:
        yield Failure(
            "platforms",
            f"{', '.join(platforms)}: the stand-in for docker-build builds one platform at a time; "
            "declare one Image for each and join them in an Index",
        )


def _builder_failures(inputs: dict[str, Any]) -> Iterator[Failure]:
    if (inputs.get("builder") or {}).get("name"):
        yield Failure("builder.name", "the stand-in for docker-build has the engine's own builder only; leave it out")


def _context_failures(inputs: dict[str, Any]) -> Iterator[Failure]:
    location = context_location(inputs)
    if not is_remote(location) and not Path(location).is_dir():
        yield Failure("context.location", f"{location!r} is no folder (looked in {Path.cwd()}); name one that exists")


def _dockerfile_failures(inputs: dict[str, Any]) -> Iterator[Failure]:
    given = inputs.get("dockerfile") or {}
    if given.get("inline") and given.get("location"):
        yield Failure("dockerfile", "has both inline and location; give one of them")
        return
    if is_unknown(inputs.get("context")):
        return
    try:
        text = dockerfile_of(inputs).text
    except OSError as error:
        yield Failure(
            "dockerfile", f"{error.filename}: {error.strerror}; give dockerfile.inline or dockerfile.location"
        )
        return
    if not text.strip() and not is_remote(context_location(inputs)):
        yield Failure("dockerfile", "is empty; it needs at least a FROM instruction")


_IMAGE_RULES: dict[str, Callable[[dict[str, Any]], Iterator[Failure]]] = {
    "tags": _tag_failures,
    "exports": _export_failures,
    "platforms": _platform_failures,
    "builder": _builder_failures,
    "context": _context_failures,
    "dockerfile": _dockerfile_failures,
}


def _index_failures(inputs: dict[str, Any]) -> Iterator[Failure]:
    sources = [] if is_unknown(inputs["sources"]) else inputs["sources"]
    named = [("tag", inputs["tag"]), *((f"sources[{i}]", source) for i, source in enumerate(sources))]
    for path, text in named:
        if is_unknown(text):
            continue
        try:
            parse(text)
        except ValueError as error:
            yield Failure(path, str(error))
