"""The policy document as the plan writes it, parsed strictly: what is not understood is refused, never skipped."""

import re
from ipaddress import ip_network
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, TypeAdapter, ValidationError

from egress_gateway.addresses import Network
from egress_gateway.denial import Denied
from egress_gateway.names import canonical_host
from egress_gateway.paths import is_request

HTTPS_PORT = 443
_TOKEN = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$"  # noqa: S105 - the grammar of a header's name
_SHOWN = 80
# A value that stands in their place by mistake may be the secret itself.
_PRIVATE = frozenset({"secret", "token_sha256"})


class BrokenPolicy(ValueError):  # noqa: N818 - reads as what it is wherever it is raised
    """The document is no policy; the message is one line with the place, what is wrong, and the value."""


def _exact(name: str) -> str:
    try:
        same = canonical_host(name) == name
    except Denied as denied:
        same = False
        if denied.rule == "address-literal":
            raise ValueError("is an address, and a policy names hosts") from None
    if not same:
        raise ValueError("is no host name, written as an A-label in lower case without a trailing dot")
    if "." not in name:
        raise ValueError("is a single label: a whole top-level domain or a local name")
    return name


def _pattern(value: str) -> str:
    _exact(value.removeprefix("*."))
    return value


def _origin(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError("is no https origin")
    port = parts.port or HTTPS_PORT
    if value not in {f"https://{parts.hostname}", f"https://{parts.hostname}:{port}"}:
        raise ValueError("is more than an origin: https, a host in lower case and at most a port")
    _exact(parts.hostname)
    return value


def _secret(value: str) -> str:
    if not re.fullmatch(r"file:/[^\x00-\x1f]+|arn:aws[a-z-]*:secretsmanager:[^\s]+", value):
        raise ValueError("is neither file: with an absolute path nor the ARN of a Secrets Manager secret")
    return value


def _request(value: str) -> str:
    if not is_request(value):
        raise ValueError("is no request: a method, a space and a plain path, with /* at its end for all below it")
    return value


def _network(value: object) -> Network:
    if not isinstance(value, str):
        raise ValueError("is no network")  # noqa: TRY004 - pydantic makes a problem of a ValueError
    try:
        return ip_network(value)
    except ValueError as error:
        raise ValueError(f"is no network ({error})") from None


Request = Annotated[str, AfterValidator(_request)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, Field(min_length=1, max_length=256)]
Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
AnyNetwork = Annotated[Network, PlainValidator(_network)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class HostEntry(_Model):
    """One host that sessions may reach; `*.x` is any name below x, never x itself."""

    host: Pattern
    port: Port
    field: Name
    sessions: Annotated[list[Name], Field(min_length=1)] | None = None
    private_range: AnyNetwork | None = None


class RouteEntry(_Model):
    """A credential that is added to requests for one https origin: to all of them, or to those in `paths`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
    origin: Annotated[str, AfterValidator(_origin)]
    header: Annotated[str, Field(pattern=_TOKEN)]
    secret: Annotated[str, AfterValidator(_secret)]
    sessions: Annotated[list[Name], Field(min_length=1)] | None = None
    paths: Annotated[list[Request], Field(min_length=1)] | None = None
    private_range: AnyNetwork | None = None


class IdentityEntry(_Model):
    """A session and the networks it speaks from."""

    session: Name
    sources: Annotated[list[AnyNetwork], Field(min_length=1)]
    token_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None


class Limits(_Model):
    """What one client can take of the gateway: counts, bytes, seconds."""

    tunnels_per_session: Count = 256
    tunnels: Count = 8192
    head_bytes: Count = 16 * 1024
    head_seconds: Seconds = 5
    hello_bytes: Count = 16 * 1024
    hello_seconds: Seconds = 5
    connect_seconds: Seconds = 10
    idle_seconds: Seconds = 15 * 60
    total_seconds: Seconds = 12 * 3600


class Document(_Model):
    """The policy of one environment."""

    version: Literal[1]
    environment: Name
    networking: Literal["limited", "unrestricted"]
    hosts: list[HostEntry]
    package_managers: bool
    routes: list[RouteEntry]
    identities: list[IdentityEntry] = []
    limits: Limits = Limits()


class Registry(_Model):
    """A package registry that a manager of the environment's image uses."""

    manager: Name
    host: Annotated[str, AfterValidator(_exact)]
    port: Port = HTTPS_PORT


_REGISTRIES = TypeAdapter(list[Registry])


def parse_document(text: bytes) -> Document:
    """The policy document in `text`.

    Raises:
        BrokenPolicy: it is none.
    """
    try:
        return Document.model_validate_json(text)
    except ValidationError as error:
        raise BrokenPolicy(_first_problem(error)) from None


def parse_registries(text: bytes) -> list[Registry]:
    """The image's list of package registries.

    Raises:
        BrokenPolicy: it is none.
    """
    try:
        return _REGISTRIES.validate_json(text)
    except ValidationError as error:
        raise BrokenPolicy(f"registries: {_first_problem(error)}") from None


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_context=False)[0]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]).lstrip(".")
    shown = isinstance(problem["input"], str | int | float) and not _PRIVATE.intersection(problem["loc"])
    value = f" (value {problem['input']!r:.{_SHOWN}})" if shown and problem["type"] != "json_invalid" else ""
    more = f"; {error.error_count() - 1} more" if error.error_count() > 1 else ""
    return f"{place or 'document'}: {problem['msg'].removeprefix('Value error, ')}{value}{more}"
