"""What the installed `pulumi_aws` SDK declares: the inputs and outputs of resources, the arguments of functions.

The declarations are read from the SDK's generated source files, one class at a time, and never imported:
importing one service of `pulumi_aws` takes seconds, and each engine run starts this process anew.
"""

import ast
import functools
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

# A deprecation may stand between the two, as one more decorator.
_GETTER = re.compile(r"@pulumi\.getter(?:\(name=\"(\w+)\"\))?(?:\n    @.*)*\n    def (\w+)\(self\)")
_ARGUMENT = re.compile(r"^    __args__\['(\w+)'\] = (\w+)$", re.MULTILINE)
_SCALARS: dict[str, "Kind"] = {"str": "string", "int": "number", "float": "number", "bool": "boolean"}

Kind = Literal["string", "number", "boolean", "list", "map", "object", "any"]


@dataclass(frozen=True)
class Shape:
    """The shape of a value.

    Attributes:
        kind: what the value is.
        item: the shape of a list's or map's values.
        fields: the properties of an object.
        document: whether an object may stand where a string is, to be written as JSON (policy documents).
    """

    kind: Kind
    item: "Shape | None" = None
    fields: "Fields | None" = None
    document: bool = False


@dataclass(frozen=True)
class Field:
    """One declared property: its name on the wire (camelCase), whether it must be given, and its shape."""

    name: str
    required: bool
    shape: Shape


@dataclass(frozen=True)
class Fields:
    """The declared properties of a class, by name on the wire; read when first asked for, as types nest."""

    source: Path
    class_name: str

    @property
    def by_name(self) -> dict[str, Field]:
        """The properties by their name on the wire."""
        return _declared(self.source, self.class_name)


class UndeclaredTypeError(LookupError):
    """The SDK has no such type or function."""


def resource_inputs(token: str) -> dict[str, Field]:
    """Returns the declared inputs of a resource type.

    Args:
        token: e.g. `aws:ec2/vpc:Vpc`.

    Raises:
        UndeclaredTypeError: the installed SDK has no such type.
    """
    source, name = _source(token), f"{_leaf(token)}Args"
    # The SDK gives the class this other name where a nested type has taken the first.
    alternative = f"{_leaf(token)}InitArgs"
    return _declared(source, alternative if f"\nclass {alternative}:" in _text(source) else name)


def resource_outputs(token: str) -> dict[str, Field]:
    """Returns the declared outputs of a resource type (inputs included), without `id`."""
    return _declared(_source(token), f"_{_leaf(token)}State")


def provider_inputs() -> dict[str, Field]:
    """Returns the declared inputs of the provider itself."""
    return _declared(_sdk() / "provider.py", "ProviderArgs")


@functools.cache
def function_arguments(token: str) -> frozenset[str]:
    """Returns the names of a function's declared arguments, e.g. of `aws:ec2/getPrefixList:getPrefixList`."""
    return frozenset(wire for wire, _ in _ARGUMENT.findall(_text(_source(token))))


def _leaf(token: str) -> str:
    return token.rpartition(":")[2]


@functools.cache
def _sdk() -> Path:
    spec = importlib.util.find_spec("pulumi_aws")
    if spec is None or spec.origin is None:
        raise UndeclaredTypeError("the Python package pulumi-aws is not installed: install the project's requirements")
    return Path(spec.origin).parent


def _source(token: str) -> Path:
    try:
        package, module, _ = token.split(":")
        folder, _, name = module.partition("/")
    except ValueError:
        raise UndeclaredTypeError(f"{token!r} is no type token of the form aws:module/name:Name") from None
    file = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower() + ".py"
    path = (_sdk() if folder == "index" else _sdk() / folder) / file
    if package != "aws" or not path.is_file():
        raise UndeclaredTypeError(f"{token!r} is not in the installed pulumi-aws SDK ({path.name} not found)")
    return path


@functools.cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@functools.cache
def _declared(path: Path, class_name: str) -> dict[str, Field]:
    text = _text(path)
    start = re.search(rf"^class {class_name}:\n", text, re.MULTILINE)
    if start is None:
        raise UndeclaredTypeError(f"class {class_name} is not in {path.name} of the installed pulumi-aws SDK")
    end = re.compile(r"^\S", re.MULTILINE).search(text, start.end())
    body = text[start.start() : end.start() if end else len(text)]
    wire_names = {python: wire or python for wire, python in _GETTER.findall(body)}
    constructor = next(
        node for node in ast.walk(ast.parse(body)) if isinstance(node, ast.FunctionDef) and node.name == "__init__"
    )
    arguments = zip(constructor.args.kwonlyargs, constructor.args.kw_defaults, strict=True)
    nested = path.parent / "_inputs.py"
    return {
        wire_names[argument.arg]: Field(wire_names[argument.arg], default is None, _shape(argument.annotation, nested))
        for argument, default in arguments
    }


def _shape(annotation: ast.expr | None, nested: Path) -> Shape:
    match annotation:
        case ast.Subscript(value=outer, slice=inner):
            name = _name(outer)
            if name in ("Input", "Optional"):
                return _shape(inner, nested)
            if name == "Sequence":
                return Shape("list", item=_shape(inner, nested))
            if name == "Mapping" and isinstance(inner, ast.Tuple):
                return Shape("map", item=_shape(inner.elts[1], nested))
            if name == "Union" and isinstance(inner, ast.Tuple):
                # An enumeration or, in a few places, a document that may be given as text or as an object.
                text = any(_name(choice) == "str" for choice in inner.elts)
                return Shape("string", document=True) if text else Shape("any")
        case ast.Constant(value=str(reference)):
            if reference.endswith("Args") and "." not in reference:
                return Shape("object", fields=Fields(nested, reference))
        case ast.Attribute() | ast.Name():
            return Shape(_SCALARS.get(_name(annotation), "any"))
    return Shape("any")


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
