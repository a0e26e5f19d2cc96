"""Routes that are for some requests: whatever the spelling, no other one reaches the origin with the credential."""

from dataclasses import dataclass

from tests.attack.cases import Case, single, table
from tests.attack.checks import assert_denial, assert_untouched, decision_since
from tests.attack.rig.gateway import PORT, Gateway
from tests.attack.rig.world import ALLOWED, GATEWAY, SECRET, World
from tests.attack.test_routes import request, values

TOPIC = "Routes that are for some requests"
RULE = "route-path-not-allowed"
REFUSED = f"403 {RULE}"
ABSOLUTE = f"http://{GATEWAY}:{PORT}"


@dataclass(frozen=True)
class Asked(Case):
    """A request on desk's route `listed`.

    Attributes:
        method: Its method.
        target: Its target behind the route's name.
    """

    method: str
    target: str


LET_THROUGH = [
    Asked("listed-exact", "a request on the list", "reaches the origin", "POST", "/v1/messages"),
    Asked("listed-query", "the same with a query", "reaches the origin", "POST", "/v1/messages?beta=true&x=/../y"),
    Asked("listed-below", "a path below one of the list", "reaches the origin", "GET", "/v1/models/a"),
    Asked("listed-file", "a file that the session mounts", "reaches the origin", "GET", "/v1/files/file_desk/content"),
]


@table(TOPIC, LET_THROUGH)
def test_let_through(case: Asked, world: World, gateway: Gateway) -> None:
    with world.watch() as seen:
        reply = request(world.desk, f"/listed{case.target}", method=case.method)
    assert seen.addresses == {ALLOWED}
    assert (reply.json()["target"], values(reply, "x-api-key")) == (case.target, [SECRET])


OTHERS = [
    Asked("unlisted-list", "the list of all files", REFUSED, "GET", "/v1/files"),
    Asked("unlisted-delete", "to delete the session's own file", REFUSED, "DELETE", "/v1/files/file_desk"),
    Asked("unlisted-other-file", "the file of another session", REFUSED, "GET", "/v1/files/file_lab/content"),
    Asked("unlisted-batches", "a path below an exact one", REFUSED, "POST", "/v1/messages/batches"),
    Asked("unlisted-method", "another method on a path of the list", REFUSED, "DELETE", "/v1/messages"),
    Asked("unlisted-head", "HEAD where the list has POST", REFUSED, "HEAD", "/v1/messages"),
    Asked("unlisted-options", "OPTIONS on a path of the list", REFUSED, "OPTIONS", "/v1/messages"),
    Asked("unlisted-root", "the route alone", REFUSED, "GET", ""),
    Asked("unlisted-slash-after", "a slash behind a path of the list", REFUSED, "POST", "/v1/messages/"),
    Asked("unlisted-prefix", "the path above what is on the list", REFUSED, "GET", "/v1/models/"),
    Asked("unlisted-sibling", "a path that only begins like one of the list", REFUSED, "GET", "/v1/modelsx/a"),
    Asked("unlisted-case", "a path of the list in upper case", REFUSED, "POST", "/V1/MESSAGES"),
    Asked("unlisted-double-slash", "two slashes in a row", REFUSED, "POST", "//v1/messages"),
    Asked("unlisted-dots", "dots up and out of what is allowed", REFUSED, "GET", "/v1/models/../files"),
    Asked("unlisted-dot", "a dot for the same folder", REFUSED, "POST", "/v1/./messages"),
    Asked("unlisted-encoded-dots", "the dots percent-encoded", REFUSED, "GET", "/v1/models/%2e%2E/files"),
    Asked("unlisted-encoded-slash", "the slash percent-encoded", REFUSED, "GET", "/v1/models/..%2ffiles"),
    Asked("unlisted-twice-encoded", "the percent sign encoded too", REFUSED, "GET", "/v1/models/%252e%252e/files"),
    Asked("unlisted-encoded-letter", "a letter percent-encoded", REFUSED, "GET", "/v1/models/%61"),
    Asked("unlisted-encoded-query", "the question mark encoded", REFUSED, "POST", "/v1/messages%3Fx"),
    Asked("unlisted-null", "an encoded zero byte", REFUSED, "GET", "/v1/models/a%00"),
    Asked("unlisted-backslash", "backslashes for slashes", REFUSED, "GET", "/v1/models/..\\files"),
    Asked("unlisted-parameter", "dots with a parameter that some servers drop", REFUSED, "GET", "/v1/models/..;/files"),
    Asked("unlisted-url", "a URL behind the route", REFUSED, "GET", "/https://model.test/v1/models/a"),
]


@table(TOPIC, OTHERS)
def test_refused(case: Asked, world: World, gateway: Gateway) -> None:
    with world.watch() as seen:
        reply = request(world.desk, f"/listed{case.target}", method=case.method)
    assert_untouched(seen)
    assert (reply.status, reply.rule) == (403, RULE)
    with world.watch() as seen:
        assert request(world.desk, "/listed/v1/messages", method="POST").status == 200
    assert seen.addresses == {ALLOWED}


@single(TOPIC, "unlisted-told", "a request that is not on the list", "refusal and log name route, request and field")
def test_told(case: Case, world: World, gateway: Gateway) -> None:
    start = len(gateway.raw_log())
    body = assert_denial(request(world.desk, "/listed/v1/files?key=private"), RULE)
    told = {"route": "listed", "request": "GET /v1/files", "field": "secrets[listed].inject.paths"}
    line = decision_since(gateway, start, RULE)
    assert {name: body[name] for name in told} == {name: line[name] for name in told} == told
    assert (line["verdict"], line["rule"], line["session"]) == ("denied", RULE, "desk")


@single(TOPIC, "listed-absolute-form", "the gateway's whole URL in the request line", "403 plain-http; nothing arrives")
def test_absolute_form(case: Case, world: World, gateway: Gateway) -> None:
    for target in ("/listed/v1/messages", "/listed/v1/files"):
        with world.watch() as seen:
            assert_denial(request(world.desk, f"{ABSOLUTE}{target}"), "plain-http")
        assert_untouched(seen)
    assert request(world.desk, "/listed/v1/models/a").status == 200


OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X_HTTP_Method_Override")
REWRITES = ("X-Original-URL", "X-Rewrite-URL", "X-Original-URI")


@single(
    TOPIC,
    "listed-override",
    "headers that some servers take for the method or the path",
    "removed; a route without a list passes them on",
)
def test_overrides(case: Case, world: World, gateway: Gateway) -> None:
    headers = [*(f"{name}: DELETE" for name in OVERRIDES), *(f"{name}: /v1/files" for name in REWRITES)]
    listed = request(world.desk, "/listed/v1/messages", *headers, method="POST")
    free = request(world.desk, "/model/v1/messages", *headers, method="POST")
    for name in (*OVERRIDES, *REWRITES):
        assert (values(listed, name.lower()), len(values(free, name.lower()))) == ([], 1)


@single(
    TOPIC,
    "listed-second-request",
    "a request that is not on the list behind one that is, on one connection",
    "the first is answered, the second 403; nothing of it arrives",
)
def test_second_request(case: Case, world: World, gateway: Gateway) -> None:
    rest = f"HTTP/1.1\r\nHost: {GATEWAY}:{PORT}\r\n\r\n"
    with world.desk.dial() as connection:
        connection.sendall(f"GET /listed/v1/models/a {rest}GET /listed/v1/files {rest}".encode())
        answers = b""
        while data := connection.recv(65536):
            answers += data
    assert answers.count(b"HTTP/1.1 200") == 1
    assert f"x-egress-rule: {RULE}".encode() in answers
    targets = [seen.target for seen in world.upstreams.requests[-1:]]
    assert targets == ["/v1/models/a"]


@single(
    TOPIC,
    "listed-of-another",
    "a route of one name that is for different requests of two sessions",
    "each has its own list: neither widens the other's",
)
def test_two_sessions(case: Case, world: World, gateway: Gateway) -> None:
    for own, other in ((world.desk, world.lab), (world.lab, world.desk)):
        path = f"/listed/v1/files/{'file_desk' if own is world.desk else 'file_lab'}/content"
        assert request(own, path).status == 200
        with world.watch() as seen:
            assert_denial(request(other, path), RULE)
        assert_untouched(seen)
