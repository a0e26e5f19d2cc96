"""The policy document: parsed strictly, looked up by session, host and port."""

import json
from typing import Any

import pytest
from egress_gateway.denial import Denied
from egress_gateway.document import BrokenPolicy, parse_document
from egress_gateway.policy import PACKAGE_MANAGERS, Policy, load_policy

from tests.unit.gateway.rig import policy

ROUTE = {"name": "model", "origin": "https://model.test", "header": "x-api-key", "secret": "file:/run/secrets/KEY"}


def entry(host: str, **further: Any) -> dict[str, Any]:
    return {"host": host, "port": 443, "field": f"field of {host}"} | further


def loaded(*hosts: dict[str, Any], registries: list[dict[str, Any]] | None = None, **changes: Any) -> Policy:
    text = json.dumps(policy(hosts=[*hosts], **changes)).encode()
    return load_policy(text, json.dumps(registries).encode() if registries is not None else None)


def refusal(found: Policy, host: str, port: int = 443, session: str = "s") -> tuple[str, str | None]:
    with pytest.raises(Denied) as caught:
        found.host(session, host, port)
    return caught.value.rule, caught.value.field


def test_a_host_is_found_by_its_exact_name_and_port() -> None:
    found = loaded(entry("api.example.test"), entry("api.example.test", port=8443, field="second"))
    assert found.host("s", "api.example.test", 443).field == "field of api.example.test"
    assert found.host("s", "api.example.test", 8443).field == "second"
    assert refusal(found, "api.example.test", 80) == ("port-not-allowed", "field of api.example.test")


@pytest.mark.parametrize(
    "host", ["example.test", "xapi.example.test", "api.example.test.evil.test", "example.test.evil.test"]
)
def test_another_name_is_not_allowed(host: str) -> None:
    found = loaded(entry("api.example.test"))
    assert refusal(found, host) == ("host-not-allowed", "config.networking.allowed_hosts")


def test_a_wildcard_takes_any_depth_and_never_the_apex() -> None:
    found = loaded(entry("*.example.test"))
    for host in ("a.example.test", "a.b.c.example.test"):
        assert found.host("s", host, 443).field == "field of *.example.test"
    for host in ("example.test", "xexample.test", "test"):
        assert refusal(found, host)[0] == "host-not-allowed"


def test_the_most_specific_name_decides_whatever_the_order() -> None:
    hosts = [entry("*.example.test"), entry("*.b.example.test", private_range="10.0.0.0/8"), entry("a.b.example.test")]
    for order in (hosts, hosts[::-1]):
        found = loaded(*order)
        assert found.host("s", "a.b.example.test", 443).field == "field of a.b.example.test"
        assert str(found.host("s", "c.b.example.test", 443).private_range) == "10.0.0.0/8"
        assert found.host("s", "c.example.test", 443).private_range is None


def test_a_host_of_some_sessions_is_no_others() -> None:
    found = loaded(entry("mcp.test", sessions=["a", "b"]))
    assert found.host("b", "mcp.test", 443).field == "field of mcp.test"
    assert refusal(found, "mcp.test", session="c")[0] == "host-not-allowed"


def test_registries_are_open_only_where_the_policy_says_so() -> None:
    registries: list[dict[str, Any]] = [
        {"manager": "pip", "host": "packages.test"},
        {"manager": "npm", "host": "modules.test", "port": 4873},
    ]
    closed = loaded(registries=registries)
    assert refusal(closed, "packages.test") == ("host-not-allowed", PACKAGE_MANAGERS)
    opened = loaded(registries=registries, package_managers=True)
    assert opened.host("s", "packages.test", 443).field == PACKAGE_MANAGERS
    assert opened.host("s", "modules.test", 4873).field == PACKAGE_MANAGERS


def test_a_route_is_found_by_name_and_session() -> None:
    mine = ROUTE | {"sessions": ["a"]}
    theirs = ROUTE | {"sessions": ["b"], "origin": "https://other.test:8443"}
    found = loaded(routes=[mine, theirs])
    assert (found.route("a", "model").host, found.route("a", "model").port) == ("model.test", 443)
    assert (found.route("b", "model").host, found.route("b", "model").port) == ("other.test", 8443)
    for session, name, rule in (("c", "model", "route-not-allowed"), ("a", "other", "unknown-route")):
        with pytest.raises(Denied) as caught:
            found.route(session, name)
        assert caught.value.rule == rule
    assert loaded(routes=[ROUTE]).route("anybody", "model").header == "x-api-key"


def test_each_session_has_the_requests_of_its_own_entry() -> None:
    mine, theirs = ({"sessions": [name], "paths": [f"GET /{name}/*"]} for name in ("a", "b"))
    found = loaded(routes=[ROUTE | mine, ROUTE | theirs, ROUTE | {"sessions": ["c"]}])
    taken = {
        session: [found.route(session, "model").takes("GET", target) for target in ("/a/x", "/b/x")]
        for session in ("a", "b", "c")
    }
    assert taken == {"a": [True, False], "b": [False, True], "c": [True, True]}


def test_the_digest_is_that_of_the_canonical_document() -> None:
    document = policy()
    spaced, turned = json.dumps(document, indent=4), json.dumps(dict(reversed(document.items())))
    digests = {load_policy(text.encode()).digest for text in (spaced, turned)}
    assert len(digests) == 1
    assert digests != {load_policy(json.dumps(policy(environment="other")).encode()).digest}


BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("extra", {"extra": 1}),
    ("version", {"version": 2}),
    ("networking", {"networking": "none"}),
    ("package_managers", {"package_managers": "yes"}),
    ("limits.tunnels", {"limits": {"tunnels": 0}}),
    ("limits.tunnel", {"limits": {"tunnel": 5}}),
    ("hosts[0].port", {"hosts": [entry("a.test", port=0)]}),
    ("hosts[0].port", {"hosts": [entry("a.test", port="443")]}),
    ("hosts[0].sessions", {"hosts": [entry("a.test", sessions=[])]}),
    ("hosts[0].private_range", {"hosts": [entry("a.test", private_range="10.0.0.1/8")]}),
    ("hosts[1].field", {"hosts": [entry("a.test"), {"host": "b.test", "port": 443}]}),
    ("routes[0].origin", {"routes": [ROUTE | {"origin": "http://model.test"}]}),
    ("routes[0].origin", {"routes": [ROUTE | {"origin": "https://model.test/"}]}),
    ("routes[0].origin", {"routes": [ROUTE | {"origin": "https://user@model.test"}]}),
    ("routes[0].origin", {"routes": [ROUTE | {"origin": "https://10.0.0.1"}]}),
    ("routes[0].origin", {"routes": [ROUTE | {"origin": "https://MODEL.test"}]}),
    ("routes[0].header", {"routes": [ROUTE | {"header": "x api"}]}),
    ("routes[0].name", {"routes": [ROUTE | {"name": "a/b"}]}),
    ("routes[0].secret", {"routes": [ROUTE | {"secret": "sk-canary"}]}),
    ("routes[0].paths", {"routes": [ROUTE | {"paths": []}]}),
    ("routes[0].paths[1]", {"routes": [ROUTE | {"paths": ["GET /v1", "GET /v1/../x"]}]}),
    ("routes[1]", {"routes": [ROUTE, ROUTE]}),
    ("routes[1]", {"routes": [ROUTE, ROUTE | {"paths": ["GET /v1"]}]}),
    ("identities[0].sources[0]", {"identities": [{"session": "s", "sources": ["10.0.0.1/29"]}]}),
    ("identities[0].token_sha256", {"identities": [{"session": "s", "sources": ["10.0.0.0/29"], "token_sha256": "x"}]}),
]


@pytest.mark.parametrize(("place", "changes"), BROKEN)
def test_what_is_not_understood_breaks_the_policy(place: str, changes: dict[str, Any]) -> None:
    with pytest.raises(BrokenPolicy) as caught:
        load_policy(json.dumps(policy(**changes)).encode())
    assert str(caught.value).startswith(f"{place}: ")
    assert "\n" not in str(caught.value)


def test_the_value_of_a_secret_that_stands_in_the_wrong_place_is_not_shown() -> None:
    with pytest.raises(BrokenPolicy) as caught:
        load_policy(json.dumps(policy(routes=[ROUTE | {"secret": "sk-canary"}])).encode())
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "*",
        "*.com",
        "com",
        "*.*.example.test",
        "a.*.example.test",
        "*example.test",
        "Api.example.test",
        "api.example.test.",
        "bücher.test",
        "xn--a.test",
        "10.0.0.1",
        "*.10.0.0.1",
        "::1",
        "a b.test",
        "https://a.test",
        "a.test:443",
        "",
    ],
)
def test_only_hosts_are_hosts(name: str) -> None:
    with pytest.raises(BrokenPolicy, match=r"hosts\[0\]\.host: "):
        parse_document(json.dumps(policy(hosts=[entry(name)])).encode())


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff", b'{"version": 1}'])
def test_what_is_no_document_is_no_policy(text: bytes) -> None:
    with pytest.raises(BrokenPolicy):
        load_policy(text)


def test_a_broken_list_of_registries_breaks_the_policy() -> None:
    with pytest.raises(BrokenPolicy, match=r"registries: \[0\]\.host"):
        loaded(registries=[{"manager": "pip", "host": "*.test"}], package_managers=True)


TOKEN = "a" * 64


@pytest.mark.parametrize(
    ("sources", "tokens", "good"),
    [
        (("10.0.0.0/29", "10.0.0.8/29"), (None, None), True),
        (("10.0.0.0/29", "10.0.0.0/29"), (None, None), False),
        (("10.0.0.0/24", "10.0.0.8/29"), (TOKEN, None), False),
        (("10.0.0.8/29", "10.0.0.0/24"), (TOKEN, None), False),
        (("10.0.0.0/24", "10.0.0.8/29"), (TOKEN, "b" * 64), True),
        (("10.0.0.0/29", "fd77::/64"), (None, None), True),
    ],
)
def test_two_sessions_share_a_network_only_with_tokens(
    sources: tuple[str, str], tokens: tuple[str | None, str | None], good: bool
) -> None:
    identities = [
        {"session": session, "sources": [source]} | ({"token_sha256": token} if token else {})
        for session, source, token in zip("ab", sources, tokens, strict=True)
    ]
    text = json.dumps(policy(identities=identities)).encode()
    if good:
        assert len(load_policy(text).identities) == 2
    else:
        with pytest.raises(BrokenPolicy, match="share"):
            load_policy(text)
