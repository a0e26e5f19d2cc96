"""Why something is refused, in words for the agent that meets the refusal."""

import json
from dataclasses import dataclass
from http import HTTPStatus

FINAL = "Retrying, a mirror, another port or the address in place of the name will not help."
OWNER = "The owner of the environment can change it in the stack file"
ALLOWED_HOSTS = "config.networking.allowed_hosts"


@dataclass(frozen=True)
class Rule:
    """One reason to refuse.

    Attributes:
        status: HTTP status of the answer, where one can still be given.
        message: What is wrong and what would change it; `{host}` and `{port}` are filled in.
        retry: Whether the same request may succeed later.
    """

    status: HTTPStatus
    message: str
    retry: bool = False


# Some clients, git among them, keep what they know to themselves until they are asked for it.
_CHALLENGE = 'proxy-authenticate: Basic realm="egress-gateway"\r\n'
_FORBIDDEN = HTTPStatus.FORBIDDEN
_BUSY = HTTPStatus.SERVICE_UNAVAILABLE
_BAD = HTTPStatus.BAD_REQUEST
_UPSTREAM = HTTPStatus.BAD_GATEWAY

RULES: dict[str, Rule] = {
    # The request
    "malformed-request": Rule(_BAD, "This is no HTTP request that a proxy can read. Retrying will not help."),
    "head-too-large": Rule(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "The request's head is too large. Retrying will not help; send fewer headers.",
    ),
    "head-too-slow": Rule(HTTPStatus.REQUEST_TIMEOUT, "The request's head did not arrive in time.", retry=True),
    "plain-http": Rule(
        _FORBIDDEN,
        "Only https leaves this environment: use an https URL, for which the client sends CONNECT to this proxy. "
        "Retrying over plain http will not help.",
    ),
    "method-refused": Rule(_FORBIDDEN, "This gateway does not serve the method. Retrying will not help."),
    "upgrade-refused": Rule(
        _FORBIDDEN,
        "A route that adds a credential does not switch protocols. Retrying will not help; a WebSocket works through "
        "CONNECT to an allowed host.",
    ),
    # The gateway
    "no-policy": Rule(
        _BUSY,
        "The gateway has no policy yet, so nothing leaves the environment. A retry in a minute may help.",
        retry=True,
    ),
    "broken-policy": Rule(
        _BUSY,
        "The gateway's policy is broken, so nothing leaves the environment. Retrying will not help until the owner of "
        "the environment has deployed a good one.",
    ),
    "too-many-tunnels": Rule(
        _BUSY, "Too many connections are open. Close some, or wait; then a retry will help.", retry=True
    ),
    "stopping": Rule(_BUSY, "The gateway is stopping. A retry in a moment may help.", retry=True),
    "internal-error": Rule(
        HTTPStatus.INTERNAL_SERVER_ERROR, "The gateway failed on this request, and let nothing out.", retry=True
    ),
    # Who asks
    "unknown-session": Rule(
        _FORBIDDEN,
        "The gateway does not know who is asking: this address belongs to no session of the environment. Retrying "
        "will not help; use the proxy address and credentials that the session was started with.",
    ),
    "unknown-agent": Rule(
        HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
        "Several agents share this session, and the gateway does not know which one is asking. Retrying will not help; "
        "use the proxy address that this agent was started with, its name and token included.",
    ),
    # What is asked for
    "bad-authority": Rule(
        _FORBIDDEN, f"CONNECT takes a host name and a port, like api.example.com:443, and nothing else. {FINAL}"
    ),
    "address-literal": Rule(_FORBIDDEN, f"Addresses are never connected to, host names only. {FINAL} {OWNER}."),
    "bad-host": Rule(_FORBIDDEN, f"This is no valid host name; write others than ASCII ones as A-labels. {FINAL}"),
    "host-not-allowed": Rule(
        _FORBIDDEN, f"{{host}} is not among the hosts that this session may reach. {FINAL} {OWNER}."
    ),
    "port-not-allowed": Rule(
        _FORBIDDEN,
        f"{{host}} may be reached, but not on port {{port}}: use https on the allowed port. {FINAL} {OWNER}.",
    ),
    "unknown-route": Rule(
        _FORBIDDEN, "No route has this name. Retrying will not help. Paths of this gateway begin with a route's name."
    ),
    "route-not-allowed": Rule(_FORBIDDEN, f"This session may not use the route. Retrying will not help. {OWNER}."),
    "route-path-not-allowed": Rule(
        _FORBIDDEN,
        "The session may use this route, but not for this request: the route has a list of methods and paths. "
        f"Retrying, another method or another spelling of the path will not help. {OWNER}.",
    ),
    # Where it leads
    "dns-failed": Rule(_UPSTREAM, "The name {host} could not be resolved. A retry may help.", retry=True),
    "address-not-allowed": Rule(
        _FORBIDDEN,
        f"{{host}} is allowed, but it resolves to an address that this environment must not reach. {FINAL} {OWNER}, "
        "if the host is meant to lie in a private range.",
    ),
    "connect-failed": Rule(_UPSTREAM, "{host} did not accept a connection. A retry may help.", retry=True),
    "connect-timeout": Rule(
        HTTPStatus.GATEWAY_TIMEOUT, "{host} did not accept a connection in time. A retry may help.", retry=True
    ),
    "certificate-refused": Rule(
        _UPSTREAM, "{host} showed no valid certificate, so nothing was sent to it. Retrying will not help."
    ),
    "upstream-failed": Rule(_UPSTREAM, "{host} broke off or gave no valid answer. A retry may help.", retry=True),
    "upstream-timeout": Rule(
        HTTPStatus.GATEWAY_TIMEOUT, "{host} did not answer in time. A retry may help.", retry=True
    ),
    "secret-unavailable": Rule(
        _BUSY, "The gateway cannot read the credential of this route. Retrying may help once it is there.", retry=True
    ),
}


class Denied(Exception):  # noqa: N818 - reads as what it is wherever it is raised
    """Something is refused.

    Attributes:
        rule: Key of `RULES`.
        field: Field of the stack file that would change it; None where none would.
    """

    def __init__(self, rule: str, field: str | None = None) -> None:
        super().__init__(rule)
        self.rule, self.field = rule, field


@dataclass(frozen=True)
class Subject:
    """What a decision is about, as far as it is known.

    Attributes:
        session: Name of the session that asks.
        agent: Name of the one of its agents that asks, where they are told apart.
        host: Host asked for, an A-label in lower case.
        port: TCP port asked for.
        route: Name of the credential route asked for.
        request: Method and path at the origin, where the route is not for them.
    """

    session: str | None = None
    host: str | None = None
    port: int | None = None
    route: str | None = None
    agent: str | None = None
    request: str | None = None


def response(denied: Denied, subject: Subject, *, head_only: bool = False) -> bytes:
    """The whole HTTP answer to a refused request; the connection ends after it."""
    rule = RULES[denied.rule]
    message = rule.message.format(host=subject.host or "the host", port=subject.port)
    if denied.field:
        message = f"{message} Field: {denied.field}."
    told: dict[str, object] = {
        "rule": denied.rule,
        "host": subject.host,
        "port": subject.port,
        "session": subject.session,
        "retry": rule.retry,
        "message": message,
    }
    if denied.field:
        told["field"] = denied.field
    if subject.route:
        told["route"] = subject.route
    if subject.request:
        told["request"] = subject.request
    if subject.agent:
        told["agent"] = subject.agent
    body = json.dumps(told).encode() + b"\n"
    head = (
        f"HTTP/1.1 {rule.status.value} {rule.status.phrase}\r\n"
        f"x-egress-rule: {denied.rule}\r\n"
        f"{_CHALLENGE if rule.status is HTTPStatus.PROXY_AUTHENTICATION_REQUIRED else ''}"
        "content-type: application/json\r\n"
        "cache-control: no-store\r\n"
        f"content-length: {len(body)}\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode() + (b"" if head_only else body)
