"""Lists of requests on credential routes: one language in the stack file and at the gateway, one reading of a path."""

import pytest
from egress_gateway.paths import covers, is_request
from pydantic import ValidationError

from components.models.secrets import Injection
from components.plans.egress import MODEL_REQUESTS

GOOD = [
    *MODEL_REQUESTS,
    "GET /",
    "GET /*",
    "DELETE /a",
    "OPTIONS /a/",
    "PATCH /a/*",
    "PUT /.well-known/..a/b~c(d)=1,2:3@x",
]
BAD = [
    "",
    "/v1",
    "GET",
    "GET v1",
    "get /v1",
    "* /v1",
    "CONNECT /v1",
    "TRACE /v1",
    "GET  /v1",
    "GET /v1 ",
    "GET /v1\n",
    "GET /v1?x=1",
    "GET /v1#x",
    "GET /a%2Fb",
    "GET /a//b",
    "GET //",
    "GET //*",
    "GET /a//*",
    "GET /a/./b",
    "GET /a/..",
    "GET /../*",
    "GET /a*",
    "GET /*/b",
    "GET /a\\b",
    "GET /a;b",
    "GET /\u00e4",
    "GET https://a.test/",
]


def declared(text: str) -> bool:
    try:
        Injection.model_validate({"origin": "https://a.example.com", "header": "x-api-key", "paths": [text]})
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(("text", "good"), [*((text, True) for text in GOOD), *((text, False) for text in BAD)])
def test_what_a_stack_file_may_say_is_what_a_gateway_reads(text: str, *, good: bool) -> None:
    assert (is_request(text), declared(text)) == (good, good)


ALLOWED = ("POST /v1/messages", "GET /v1/models/*", "GET /slash/", "HEAD /")


@pytest.mark.parametrize(
    "request_",
    [
        "POST /v1/messages",
        "POST /v1/messages?beta=true",
        "POST /v1/messages?",
        "POST /v1/messages?x=/../..//%2e",
        "GET /v1/models/a",
        "HEAD /v1/models/a",
        "GET /v1/models/a/b/",
        "GET /slash/",
        "HEAD /",
    ],
)
def test_what_is_on_the_list_is_let_through(request_: str) -> None:
    assert covers(ALLOWED, *request_.split(" ", 1))


@pytest.mark.parametrize(
    "request_",
    [
        "GET /v1/messages",
        "DELETE /v1/messages",
        "HEAD /v1/messages",
        "OPTIONS /v1/messages",
        "POST /v1/messages/",
        "POST /v1/messages/batches",
        "POST /V1/messages",
        "POST //v1/messages",
        "POST /v1//messages",
        "POST /v1/./messages",
        "POST /v1/x/../messages",
        "POST /v1/%6dessages",
        "POST /v1%2Fmessages",
        "POST /v1/messages%3Fx",
        "POST /v1/messages;x",
        "POST /v1\\messages",
        "POST /v1/messages#x",
        "GET /v1/models",
        "GET /v1/models/",
        "GET /v1/models/../files",
        "GET /v1/models/..",
        "GET /v1/models/.",
        "GET /v1/models/%2e%2e/files",
        "GET /v1/models/..%2ffiles",
        "GET /v1/models/..;/files",
        "GET /v1/models//files",
        "GET /v1/models/a//",
        "GET /v1/models/a%00",
        "GET /v1/modelsx",
        "GET /slash",
        "GET /",
        "GET v1/models/a",
        "GET ",
    ],
)
def test_what_is_not_on_the_list_or_not_plain_is_refused(request_: str) -> None:
    assert not covers(ALLOWED, *request_.split(" ", 1))
