"""Package strings, each in its own manager's notation.

What is accepted here becomes one argument of the manager's install command, so it can be no option, path, URL or
archive, and holds nothing that a terminal or a shell would act on. It is kept as written: the wire format goes through
unchanged.
"""

import re
from collections.abc import Callable
from typing import Annotated

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import AfterValidator

MAX_LENGTH = 256
"""Characters of one package string."""

_ARCHIVES = (
    ".zip",
    ".whl",
    ".tar",
    ".tar.gz",
    ".tgz",
    ".tar.bz2",
    ".tbz",
    ".tar.xz",
    ".txz",
    ".tar.lz",
    ".tlz",
    ".tar.lzma",
    ".gem",
    ".crate",
)
"""Endings that npm, pip and gem read as a local file even where they stand in a name or a version."""


def _grammar(manager: str, notation: str, example: str, fits: Callable[[str], bool]) -> AfterValidator:
    """A validator of one manager's strings.

    Args:
        manager: Name for error messages.
        notation: The manager's notation, for error messages.
        example: A string that is right.
        fits: Whether a string that is safe to hand over is also well-formed.
    """

    def check(value: str) -> str:
        fault = _unsafe(manager, value)
        if fault is None and not fits(value):
            fault = f"is not written as {manager} writes packages, {notation}"
        if fault is not None:
            raise ValueError(f"{fault}. Fix: write it like {example}")
        return value

    return AfterValidator(check)


def _unsafe(manager: str, value: str) -> str | None:
    """What keeps `value` from being handed to any manager, or None."""
    if not value or value != value.strip():
        return "is empty or has white space around it"
    if len(value) > MAX_LENGTH:
        return f"has {len(value)} characters, and a package string has {MAX_LENGTH} at most"
    if not value.isascii() or not value.isprintable():
        return "holds control characters or characters outside ASCII"
    if value.startswith("-"):
        return f"starts with a hyphen, which makes it an option of {manager} and not a package"
    if "://" in value or value.startswith((".", "/", "~")):
        return "is a path or a URL, and packages come from the registry that the manager is configured with"
    if value.lower().endswith(_ARCHIVES):
        return f"ends like an archive, which {manager} would look for on disk"
    return None


def _regex(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern, re.ASCII | re.VERBOSE)
    return lambda value: compiled.fullmatch(value) is not None


# Debian Policy 5.6.1 (names), 5.6.12 (versions, of which apt takes a glob) and apt-get(8). A name that ends in a hyphen
# tells apt to remove a package. A release is a suite or a code name.
_apt = _regex(
    r"""
    [a-z0-9][a-z0-9+.-]*[a-z0-9+.]
    (?: : [a-z0-9][a-z0-9-]* )?
    (?: = [0-9A-Za-z*][0-9A-Za-z.+~:*-]* | / [a-z][a-z0-9-]* )?
    """
)

_SEMVER_TAIL = r"(?: -[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)* )? (?: \+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)* )?"

# The Cargo Book, "The name field" and `cargo install`: behind `@` a whole version, or a requirement, which cargo tells
# by its operator or its `*`.
_CARGO_PARTIAL = rf"\d+ (?: \.(?:\d+|\*) (?: \.(?:\d+|\*) {_SEMVER_TAIL} )? )?"
_CARGO_COMPARATOR = rf"(?: (?:[<>]=?|=|\^|~)\ ? {_CARGO_PARTIAL} )"
_cargo = _regex(
    rf"""
    [A-Za-z][A-Za-z0-9_-]{{0,63}}
    (?: @ (?:
        \d+\.\d+\.\d+ {_SEMVER_TAIL}
        | \* | \d+\.\* (?: \.\* )? | \d+\.\d+\.\*
        | {_CARGO_COMPARATOR} (?: ,\ ? {_CARGO_COMPARATOR} )*
    ) )?
    """
)

# Gem::Specification::VALID_NAME_PATTERN, with a letter or digit in front and a letter somewhere as RubyGems demands;
# Gem::Requirement::PATTERN_RAW behind the colon.
_gem = _regex(
    r"""
    (?= [^:]*[A-Za-z] ) [A-Za-z0-9][A-Za-z0-9._-]*
    (?: : (?: (?:=|!=|>=?|<=?|~>)\ ? )? [0-9]+ (?: \.[0-9A-Za-z]+ )* (?: -[0-9A-Za-z-]+ (?: \.[0-9A-Za-z-]+ )* )? )?
    """
)

# Go Modules Reference, "Module paths" and "Version queries"; a branch whose name holds a slash is named by its commit.
_go = _regex(
    r"""
    (?=[^/@]*\.) [a-z0-9] (?: [a-z0-9.-]*[a-z0-9] )?
    (?: / [A-Za-z0-9_~+] (?: [A-Za-z0-9._~+-]*[A-Za-z0-9_~+-] )? )*
    (?: @ (?:[<>]=?)? [0-9A-Za-z] [0-9A-Za-z._+-]* )?
    """
)

# validate-npm-package-name and node-semver's range grammar; capitals only live on in old names without a scope. What
# follows `@` is one range, without `||`, or else a tag. Aliases, git and file specs need a colon or a slash.
_NPM_PARTIAL = rf"[v=]{{0,2}} (?:\d+|[xX*]) (?: \.(?:\d+|[xX*]) (?: \.(?:\d+|[xX*]) {_SEMVER_TAIL} )? )?"
_NPM_SIMPLE = rf"(?: (?:[<>]=?|=|~>?|\^)?\ ? {_NPM_PARTIAL} )"
_NPM_RANGE = rf"(?: {_NPM_PARTIAL}\ -\ {_NPM_PARTIAL} | {_NPM_SIMPLE} (?: \ {_NPM_SIMPLE} )* )"
_npm_shape = _regex(
    rf"""
    (?: @ [a-z0-9][a-z0-9._-]* / [a-z0-9][a-z0-9._-]* | [A-Za-z0-9][A-Za-z0-9._-]* )
    (?: @ (?: {_NPM_RANGE} | [A-Za-z][A-Za-z0-9._-]* ) )?
    """
)
_NPM_NAME_LENGTH = 214
_NPM_RESERVED = {"node_modules", "favicon.ico"}


def _npm(value: str) -> bool:
    at = value.find("@", 1)
    name = value if at < 0 else value[:at]
    # npm takes a bare name that ends like an archive for a file, with a version behind it too.
    return (
        _npm_shape(value)
        and len(name) <= _NPM_NAME_LENGTH
        and name.lower() not in _NPM_RESERVED
        and not name.lower().endswith(_ARCHIVES)
    )


_pip_characters = _regex(r"[A-Za-z0-9._,<>=!~*+\[\]\ -]+")


def _pip(value: str) -> bool:
    # These characters make no marker and no URL; PEP 508 alone would let any text stand behind `===`.
    if not _pip_characters(value):
        return False
    try:
        Requirement(value)
    except InvalidRequirement:
        return False
    return True


AptPackage = Annotated[
    str, _grammar("apt", "name[:architecture][=version or /release]", "ffmpeg or ffmpeg=7:5.1*", _apt)
]
"""Debian package; a version may hold apt's `*`."""
CargoPackage = Annotated[
    str, _grammar("cargo", "crate[@version or requirement]", "ripgrep, ripgrep@14.0.0 or ripgrep@^14", _cargo)
]
"""Crate that holds a program."""
GemPackage = Annotated[str, _grammar("gem", "name[:version or requirement]", "rails or rails:7.1.0", _gem)]
"""Ruby gem."""
GoPackage = Annotated[
    str, _grammar("go", "path[@version]", "golang.org/x/tools/cmd/goimports@latest or the same with @v0.30.0", _go)
]
"""Path of a Go program; without `@version` the latest is meant."""
NpmPackage = Annotated[str, _grammar("npm", "[@scope/]name[@version, range or tag]", "express or express@4.18.0", _npm)]
"""npm package."""
PipPackage = Annotated[
    str,
    _grammar("pip", "name[extras] and version specifiers (PEP 508) without marker", "pandas or pandas==2.2.0", _pip),
]
"""Python package; no marker and no direct reference."""
