"""The cases of this tier; a registry of its own, since an attack may be tried at the gateway process as well."""

from collections.abc import Iterable

import pytest

from tests.attack.cases import Case

INSIDE: dict[str, list[Case]] = {}
"""All cases by topic, in the order of the modules that define them."""
AT_GATEWAY = {
    "curl-allowed": "exact",
    "curl-denied": "unknown-name",
    "curl-address": "ipv4",
    "curl-other-port": "port-8443",
    "curl-plain-http": "absolute-allowed",
    "own-mcp": "scope-own-desk",
    "others-mcp": "scope-other-desk",
    "injected-route": "route-api-key",
    "others-route": "route-of-another",
    "gateway-admin": "admin-on-session-side",
    "gateway-killed": "gateway-killed",
    "dns-down": "dns-down",
    "policy-tightened": "tightened-host",
}
"""The same attack in the other tier: case of this one -> case there."""


def table(topic: str, cases: Iterable[Case]) -> pytest.MarkDecorator:
    """A test function that takes each of these as its argument `case`.

    Raises:
        ValueError: An id is taken already.
    """
    taken = {case.id for known in INSIDE.values() for case in known}
    known = INSIDE.setdefault(topic, [])
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
