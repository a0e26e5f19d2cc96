"""Variables and secrets of a session: what they may be called, and where secrets are kept."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from components.models.errors import Model
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


def _variable(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", value):
        raise ValueError("is not an environment variable's name. Fix: use letters, digits and underscores")
    if value.upper() in RESERVED_VARIABLES or value.upper().startswith(("AGENTENV_", "LD_")):
        raise ValueError("is set by the runtime and cannot be set by a session. Fix: choose another name")
    return value


VariableName = Annotated[str, AfterValidator(_variable)]

MODEL_SECRETS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
"""Names of the secret that pays for the model: the gateway adds it, no session holds it."""


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


class Secret(Model):
    """A secret that a session uses, by reference."""

    name: SecretName
    """The environment variable that holds it, or with `inject` the name of the gateway's route."""
    source: SecretReference
    inject: Injection | None = None
