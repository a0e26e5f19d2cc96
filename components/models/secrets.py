"""Variables and secrets of a session: what they may be called, and where secrets are kept."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from components.models.errors import Model, Problem, show
from components.models.hosts import url_host

RESERVED_VARIABLES = frozenset(
    {
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_BASE_URL",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "CLAUDE_CONFIG_DIR",
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "NODE_USE_ENV_PROXY",
        "NO_PROXY",
    }
)
"""Environment variables that the runtime sets: a session that sets them would step round the fence or its keys."""

HELD_BY_AGENTS = frozenset({"CLAUDE_CODE_OAUTH_TOKEN"})
"""Environment variables by which an agent's program would hold a credential of the model itself."""

UNTOUCHED_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that say where a request goes or how it is framed: a credential never goes into one."""


def _origin(value: str) -> str:
    url_host(value)
    if urlsplit(value).path not in ("", "/") or "?" in value or "#" in value:
        raise ValueError("must be an origin: a scheme and a host. Fix: write it like https://api.example.com")
    return value.removesuffix("/")


def _credential_header(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", value) or value.lower() in UNTOUCHED_HEADERS:
        raise ValueError("is not a header that carries a credential. Fix: write it like authorization or x-api-key")
    return value.lower()


_PATH = r"(?:/|(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~!$&'()+,=:@-]+)+/?)"
_REQUEST = re.compile(rf"(?:DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT) (?:/\*|{_PATH}|{_PATH}/\*)")


def _request(value: str) -> str:
    # The gateway reads the same language: what it would not read, it would refuse with the whole policy.
    if not _REQUEST.fullmatch(value) or "//" in value:
        raise ValueError(
            "is not a method and a plain path, without query, percent-encoding, empty segments or dots for folders. "
            "Fix: write it like POST /v1/messages, or GET /v1/models/* for every path below"
        )
    return value


def _variable(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", value):
        raise ValueError("is not an environment variable's name. Fix: use letters, digits and underscores")
    if value.upper() in HELD_BY_AGENTS:
        raise ValueError(
            "would hand the agent its credential of the model. Fix: write a secret ANTHROPIC_API_KEY with inject, "
            "which the gateway adds to its requests"
        )
    if value.upper() in RESERVED_VARIABLES or value.upper().startswith(("AGENTENV_", "LD_")):
        raise ValueError("is set by the runtime and cannot be set by a session. Fix: choose another name")
    return value


VariableName = Annotated[str, AfterValidator(_variable)]

MODEL_SECRETS: Mapping[str, str] = {"ANTHROPIC_API_KEY": "x-api-key", "ANTHROPIC_AUTH_TOKEN": "authorization"}
"""Names of the secret that pays for the model, each with the header that carries it: the gateway adds it, no session
holds it."""


def _secret_name(value: str) -> str:
    return value if value in MODEL_SECRETS else _variable(value)


SecretName = Annotated[str, AfterValidator(_secret_name)]

_SECRET_ARN = re.compile(
    r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[A-Za-z0-9/_+=.@-]{1,512}(?::[A-Za-z0-9_.-]+::)?"
)


_SECRET_FILE = re.compile(r"file:(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9_.@+-]{1,255}){1,32}")


def _secret_reference(value: str) -> str:
    if not _SECRET_ARN.fullmatch(value) and not _SECRET_FILE.fullmatch(value):
        raise ValueError(
            "must be a reference to a secret, never a secret's value: nothing secret belongs in a stack file, state or "
            "image. Fix: store the value in Secrets Manager and write its ARN "
            "(arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME), or in a file on the Docker host and write "
            "file:/etc/agentenv/NAME"
        )
    return value


SecretReference = Annotated[str, AfterValidator(_secret_reference)]
"""ARN of a Secrets Manager secret, with `:KEY::` behind it for one key of a JSON secret; or `file:` and the absolute
path of a file on the Docker host, whose content without its last line break is the secret."""


class Injection(Model):
    """Where the gateway puts a secret on the way out, so that the session never holds it."""

    origin: Annotated[str, AfterValidator(_origin)]
    """The one https origin that the secret is sent to."""
    header: Annotated[str, AfterValidator(_credential_header)]
    """Request header that carries it, e.g. `x-api-key` or `authorization`."""
    paths: Annotated[tuple[Annotated[str, AfterValidator(_request)], ...], Field(min_length=1)] | None = None
    """The requests that get it, like `POST /v1/messages` or `GET /v1/models/*`; all others on the route are refused.
    When not given: what agents ask, for the model's secret of a session with agents, and everything for any other."""

    def covers(self, request: str) -> bool:
        """Whether `paths`, as far as they are given, let a request through: `METHOD /path`."""
        return self.paths is None or any(
            request == one or (one.endswith("/*") and request.startswith(one[:-1]) and request != one[:-1])
            for one in self.paths
        )


class Secret(Model):
    """A secret that a session uses, by reference."""

    name: SecretName
    """The environment variable that holds it, or with `inject` the name of the gateway's route."""
    source: SecretReference
    inject: Injection | None = None


def route_problems(secrets: Sequence[Secret]) -> list[Problem]:
    """What is wrong with how a session's secrets pay for its model."""
    found = []
    known: str | None = None
    for index, secret in enumerate(secrets):
        header = MODEL_SECRETS.get(secret.name)
        if header is None:
            continue
        if secret.inject is None:
            found.append(
                Problem(
                    f"secrets[{index}].inject",
                    "",
                    f"{secret.name} stays with the gateway, which adds it to the agent's requests",
                    f'write inject: {{origin: "https://api.anthropic.com", header: {header}}}',
                )
            )
        elif secret.inject.header != header:
            found.append(
                Problem(
                    f"secrets[{index}].inject.header",
                    show(secret.inject.header),
                    f"the model's API takes {secret.name} in the header {header}",
                    f"write header: {header}"
                    + (", and keep `Bearer ` in front of the token in the secret" if header == "authorization" else ""),
                )
            )
        if known is not None:
            found.append(
                Problem(
                    f"secrets[{index}].name",
                    show(secret.name),
                    f"the model is reached by {known} already",
                    "keep one of the two",
                )
            )
        known = secret.name
    return found


def refused_to_agents(secrets: Sequence[Secret], files: Sequence[str]) -> Iterator[Problem]:
    """Where the declared paths of the model's secret leave out what an agent cannot do without.

    Args:
        secrets: Of a session with agents.
        files: Requests for the files that it mounts.
    """
    for index, secret in enumerate(secrets):
        if secret.name in MODEL_SECRETS and secret.inject is not None:
            missing = [one for one in ("POST /v1/messages", *files) if not secret.inject.covers(one)]
            if missing:
                yield Problem(
                    f"secrets[{index}].inject.paths",
                    "",
                    f"they leave out what the session's agents and mounts ask: {', '.join(missing)}",
                    "add that, or leave paths out for just what agents ask",
                )
