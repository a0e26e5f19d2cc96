"""What a credential looks like: by the shape of a value, and by the name of a variable."""

import re
from collections.abc import Iterator
from typing import Any

from policies.reading import children
from policies.verdict import Findings

SHAPES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("an AWS access key id", re.compile(r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b")),
    ("an Anthropic key", re.compile(r"\bsk-ant-[A-Za-z0-9_-]{16,}")),
    ("a GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})")),
    ("a Slack token", re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}")),
    ("a private key", re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----")),
    ("a JSON web token", re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}")),
)
"""(what it is, how its issuer writes it). A secret access key of AWS has no shape of its own; its id betrays it."""

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:API)?KEY$|(?:^|_)TOKEN$|(?:^|_)SECRET(?:$|_(?!ARN$|NAME$|ID$))|PASSWORD|PASSWD|PASSPHRASE|(?:^|_)CREDENTIALS?$"
)
_HARMLESS_NAME = re.compile(
    r"(?:^|_)(?:PUBLIC|PRIMARY|FOREIGN|PARTITION|SORT|CACHE|IDEMPOTENCY|PROJECT|KMS|OBJECT)_KEY$|(?:^|_)(?:PAD|EOS|BOS|STOP)_TOKEN$"
)
"""Names that end like a secret's and never hold one: keys of records, caches and projects, tokens of text."""
_REFERENCE = re.compile(r"arn:aws[a-z-]*:(?:secretsmanager|ssm|kms):\S+|file:/\S+|/run/secrets/[\w.-]+")
"""What says where a secret is: an ARN, a file on the Docker host, or where the session finds that file."""


def shape(text: str) -> str | None:
    """What credential `text` holds, None when it holds none that is known."""
    return next((what for what, pattern in SHAPES if pattern.search(text)), None)


def names_secret(name: str, value: Any) -> bool:
    """Whether a variable of this name holds a secret in plain text; an empty value or a reference is none."""
    upper = name.upper()
    if not _SECRET_NAME.search(upper) or _HARMLESS_NAME.search(upper):
        return False
    return bool(value) and not _REFERENCE.fullmatch(str(value))


def credentials(value: Any, at: str, findings: Findings) -> Iterator[tuple[str, str]]:
    """(path, what) of each credential in a nested value; what is unknown in it is deferred, the rest is searched."""
    if isinstance(value, str):
        found = shape(value)
        if found:
            yield at, found
        return
    for suffix, key in children(value):
        with findings.deferring():
            yield from credentials(value[key], at + suffix, findings)
