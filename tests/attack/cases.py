"""The suite's cases: each has an id that is its test's id too, a title, and what is expected of the gateway.

`python -m tests.attack.catalogue` prints them all, from this registry.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        id: Lower-case words with hyphens, unique in the suite.
        title: What is tried, in plain words.
        expected: What happens then.
    """

    id: str
    title: str
    expected: str


CATALOGUE: dict[str, list[Case]] = {}
"""All cases by topic, in the order of the modules that define them."""


def table(topic: str, cases: Iterable[Case]) -> pytest.MarkDecorator:
    """A test function that takes each of these as its argument `case`.

    Raises:
        ValueError: An id is taken already.
    """
    taken = {case.id for known in CATALOGUE.values() for case in known}
    known = CATALOGUE.setdefault(topic, [])
    cases = list(cases)
    for case in cases:
        if case.id in taken:
            raise ValueError(f"{topic}: two cases have the id {case.id}")
        taken.add(case.id)
        known.append(case)
    return pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in cases])


def single(topic: str, name: str, title: str, expected: str) -> pytest.MarkDecorator:
    """A test function for one case that needs steps of its own."""
    return table(topic, [Case(name, title, expected)])
