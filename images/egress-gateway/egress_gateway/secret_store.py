"""The secrets of credential routes, read when they are needed and kept no longer than they must be."""

import asyncio
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from egress_gateway.aws import client

KEPT_SECONDS = 300.0
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_ARN_PARTS = 7


class SecretUnavailable(Exception):  # noqa: N818 - reads as what it is wherever it is raised
    """The secret cannot be read, or cannot stand in a header. The message never holds a part of it."""


@dataclass(frozen=True)
class _Kept:
    value: str
    until: float = 0.0
    version: tuple[int, int, int] = (0, 0, 0)


class SecretStore:
    """Reads files and Secrets Manager.

    Args:
        fetch: Gives the text of a Secrets Manager secret by ARN, or raises SecretUnavailable; called in a thread.
    """

    def __init__(self, fetch: Callable[[str], str] | None = None) -> None:
        self._fetch = fetch or _from_secrets_manager
        self._kept: dict[str, _Kept] = {}
        self._reading: dict[str, asyncio.Lock] = {}

    async def value(self, reference: str) -> str:
        """The secret, without a line break at its end.

        Args:
            reference: `file:` and an absolute path, read again when the file changes; or an ARN, with `:KEY::` behind
                it for one key of a JSON secret, asked for again after five minutes.

        Raises:
            SecretUnavailable: it cannot be read, or no header can carry it.
        """
        if reference.startswith("file:"):
            return self._from_file(reference)
        async with self._reading.setdefault(reference, asyncio.Lock()):
            kept = self._kept.get(reference)
            if kept is None or kept.until < time.monotonic():
                arn, key = _split(reference)
                text = await asyncio.to_thread(self._fetch, arn)
                kept = _Kept(_usable(_pick(text, key)), time.monotonic() + KEPT_SECONDS)
                self._kept[reference] = kept
            return kept.value

    def drop(self, reference: str) -> None:
        """Forget a secret that an origin did not take: it may have been rotated."""
        self._kept.pop(reference, None)

    def _from_file(self, reference: str) -> str:
        path = Path(reference.removeprefix("file:"))
        try:
            found = path.stat()
            version = (found.st_mtime_ns, found.st_size, found.st_ino)
            kept = self._kept.get(reference)
            if kept is None or kept.version != version:
                kept = _Kept(_usable(path.read_text()), version=version)
                self._kept[reference] = kept
        except (OSError, UnicodeDecodeError) as error:
            raise SecretUnavailable(f"{path}: {type(error).__name__}") from None
        return kept.value


def _usable(text: str) -> str:
    value = text.removesuffix("\n").removesuffix("\r")
    if not _VALUE.fullmatch(value):
        raise SecretUnavailable("the secret is empty or holds what no header can carry")
    return value


def _split(reference: str) -> tuple[str, str | None]:
    """ARN and key of a reference in ECS' notation: the ARN, then key, version stage and version, each after a colon."""
    parts = reference.split(":")
    key = parts[_ARN_PARTS] if len(parts) > _ARN_PARTS else None
    return ":".join(parts[:_ARN_PARTS]), key or None


def _pick(text: str, key: str | None) -> str:
    if key is None:
        return text
    try:
        value = json.loads(text)[key]
    except (ValueError, KeyError, TypeError):
        raise SecretUnavailable("the secret is no JSON object with the key that the policy names") from None
    if not isinstance(value, str):
        raise SecretUnavailable("the secret's key holds no text")
    return value


def _from_secrets_manager(arn: str) -> str:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = client("secretsmanager", arn.split(":")[3]).get_secret_value(SecretId=arn)
    except (BotoCoreError, ClientError) as error:
        raise SecretUnavailable(f"Secrets Manager: {type(error).__name__}") from None
    if "SecretString" not in answer:
        raise SecretUnavailable("the secret is not text")
    return str(answer["SecretString"])
