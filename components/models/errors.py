"""One shape for everything that can be wrong with what a team wrote: path, value, rule, fix."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

MAX_VALUE_CHARACTERS = 120
# Beginnings of the usual kinds of credential.
_CREDENTIAL = re.compile(r"sk[-_]|gh[pousr]_|github_pat_|xox[a-z]-|AKIA|ASIA|eyJ|-----BEGIN")
# Whatever stands below these fields is not shown, even where it is only a name.
_PRIVATE_FIELDS = frozenset({"secrets", "token_sha256", "variables"})
M = TypeVar("M", bound=BaseModel)
NOT_SHOWN = "(value not shown)"


class Model(BaseModel):
    """Base of every model: unknown fields are errors, instances do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and how to mend it.

    Attributes:
        path: Field path as written in the stack file, e.g. `sessions[0].resources.cpu`.
        value: The offending value as shown to a person; a secret is never in it.
        rule: What the value must be and is not.
        fix: What to write instead.
    """

    path: str
    value: str
    rule: str
    fix: str

    def __str__(self) -> str:
        where = f"{self.path} = {self.value}" if self.value else self.path
        return f"{where}: {self.rule.rstrip('.')}. Fix: {self.fix.rstrip('.')}."


class InvalidInput(ValueError):  # noqa: N818 - reads as what it is wherever it is raised
    """What a team declared breaks at least one rule; nothing has been created.

    Attributes:
        problems: All of them, in the order of the file, so that one run shows everything to mend.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @classmethod
    def of(cls, path: str, value: object, rule: str, fix: str) -> "InvalidInput":
        """One problem. `value` is shown as `show` shows it."""
        return cls([Problem(path, show(value), rule, fix)])


def show(value: object) -> str:
    """A value for an error message: control characters escaped, long ones cut, nothing in it that may be secret.

    Lists and mappings are named, not shown: anything may be inside. Credentials and query of a URL are left out.
    """
    if isinstance(value, Mapping):
        return f"(a mapping of {len(value)})"
    if isinstance(value, list | tuple) and not all(isinstance(item, int | float) for item in value):
        return f"(a list of {len(value)})"
    text = repr(value)
    if _CREDENTIAL.search(text):
        return NOT_SHOWN
    text = re.sub(r"//[^/\s]*@", "//...@", text)
    text = re.sub(r"(://[^?\s]*)\?.*", r"\1?...", text)
    return text if len(text) <= MAX_VALUE_CHARACTERS else f"{text[:MAX_VALUE_CHARACTERS]}... ({len(text)} characters)"


def dotted(location: Sequence[str | int]) -> str:
    """`("sessions", 0, "agent")` -> `sessions[0].agent`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path or "(top level)"


def problems_of(error: ValidationError, data: object, model: type[BaseModel]) -> list[Problem]:
    """Pydantic's errors as problems.

    Args:
        error: What validation raised.
        data: The input that was validated; used to drop the names of union members, which pydantic puts into
            locations although nobody wrote them.
        model: The model at the top, to suggest field names.
    """
    found: list[Problem] = []
    for line in error.errors(include_url=False):
        location = _as_written(line["loc"], data)
        cause = line.get("ctx", {}).get("error")
        if isinstance(cause, InvalidInput):
            prefix = dotted(location) if location else ""
            for nested in cause.problems:
                path = f"{prefix}.{nested.path}" if prefix else nested.path
                value = NOT_SHOWN if nested.value and _is_private(path) else nested.value
                found.append(Problem(path, value, nested.rule, nested.fix))
            continue
        rule, fix = _rule_and_fix(line, model)
        hidden = line["type"] == "extra_forbidden" or _is_private(dotted(location))
        value = "" if line["type"] == "missing" else NOT_SHOWN if hidden else show(line["input"])
        found.append(Problem(dotted(location), value, rule, fix))
    return found


def validate(model: type[M], data: object) -> M:
    """Validate `data` as `model`.

    Raises:
        InvalidInput: with every problem found.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InvalidInput(problems_of(error, data, model)) from None


def _as_written(location: Sequence[str | int], data: object) -> tuple[str | int, ...]:
    written: list[str | int] = []
    at: Any = data
    for index, part in enumerate(location):
        inside = part in at if isinstance(at, Mapping) else isinstance(at, list | tuple) and isinstance(part, int)
        if inside:
            at = at[part]
        elif index < len(location) - 1 or not isinstance(at, Mapping) or part == "[key]":
            continue
        written.append(part)
    return tuple(written)


def _is_private(path: str) -> bool:
    return not _PRIVATE_FIELDS.isdisjoint(re.split(r"[.\[\]]", path))


_PLAIN_RULES = {
    "tuple_type": ("a list is wanted here", "write a list, like [one, two]"),
    "dict_type": ("a mapping is wanted here", "write its fields below it, like name: value"),
    "model_type": ("a mapping is wanted here", "write its fields below it, like name: value"),
    "model_attributes_type": ("a mapping is wanted here", "write its fields below it, like name: value"),
    "string_type": ("text is wanted here", "put it into quotes"),
    "string_pattern_mismatch": ("does not have the form that this field takes", "see this field in the README"),
    "ip_v4_network": (
        "is not an IPv4 range",
        "write its first address and its length, like 10.64.0.0/20",
    ),
}
"""Pydantic's error type -> rule and fix, where its own words would not help."""


def _rule_and_fix(line: Any, model: type[BaseModel]) -> tuple[str, str]:
    kind, message, context = line["type"], str(line["msg"]), line.get("ctx", {})
    if kind == "value_error":
        rule, _, fix = str(context["error"]).partition(" Fix: ")
        return rule, fix or "write a value that keeps to this rule"
    if kind == "extra_forbidden":
        name = str(line["loc"][-1])
        near = difflib.get_close_matches(name, sorted(_field_names(model) - {name}), n=1)
        return "there is no such field here", f"did you mean {near[0]!r}?" if near else "remove it"
    if kind in _PLAIN_RULES:
        return _PLAIN_RULES[kind]
    if kind == "missing":
        return "this field is required", "add it"
    if kind in ("literal_error", "enum"):
        return message, f"use one of {context['expected']}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        expected = context.get("expected_tags", "")
        return message, f"give `type` one of {expected}" if expected else "give it a `type`"
    return message, "write a value of this kind"


def _field_names(model: type[BaseModel], seen: set[type[BaseModel]] | None = None) -> set[str]:
    seen = seen if seen is not None else set()
    if model in seen:
        return set()
    seen.add(model)
    names = set(model.model_fields)
    for field in model.model_fields.values():
        for nested in _models_in(field.annotation):
            names |= _field_names(nested, seen)
    return names


def _models_in(annotation: Any) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models_in(argument)
