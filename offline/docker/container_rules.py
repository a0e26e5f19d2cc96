"""What is wrong with a container's inputs, beyond their types: the rules of the real provider and of the engine."""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from offline.aws.check import Failure
from offline.aws.wire import is_unknown
from offline.docker.duration import nanoseconds
from offline.docker.kind import Props

_CHOICES = {
    "restart": ("no", "on-failure", "always", "unless-stopped"),
    "cgroupnsMode": ("private", "host"),
}
_LEAST = {"memory": 0, "memorySwap": -1, "shmSize": 0, "cpuShares": 0, "cpuPeriod": 0, "cpuQuota": 0}
_MOUNT_TYPES = ("bind", "volume", "tmpfs")
_PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_CONTENTS = ("content", "contentBase64", "source")
_PATTERNS = {"cpuSet": r"\d+([,-]\d+)*"}


def failures(inputs: Props) -> Iterator[Failure]:
    """Yields what is wrong; inputs that are not known yet pass."""
    known = {key: value for key, value in inputs.items() if not is_unknown(value)}
    for key, allowed in _CHOICES.items():
        yield from _choice(key, known.get(key), allowed)
    for key, least in _LEAST.items():
        if known.get(key) is not None and known[key] < least:
            yield Failure(key, f"{known[key]}: must be {least} or more")
    for key, pattern in _PATTERNS.items():
        if known.get(key) and not re.fullmatch(pattern, known[key]):
            yield Failure(key, f"{known[key]!r}: must be a list or a range of processors, such as 0-1 or 0,2")
    if known.get("cpus") and not _is_positive(known["cpus"]):
        yield Failure("cpus", f"{known['cpus']!r}: must be a number of processors, such as 1.5")
    if "" in (known.get("command") or []):
        yield Failure("command", "has an empty word; the provider refuses it: leave it out")
    for key, rule in _ENTRY_RULES.items():
        for index, entry in enumerate(known.get(key) or []):
            yield from rule(f"{key}[{index}]", entry)
    yield from _healthcheck(known.get("healthcheck") or {})


def _mount(path: str, entry: dict[str, Any]) -> Iterator[Failure]:
    yield from _choice(f"{path}.type", entry["type"], _MOUNT_TYPES)
    propagation = (entry.get("bindOptions") or {}).get("propagation")
    yield from _choice(f"{path}.bindOptions.propagation", propagation, _PROPAGATIONS)


def _volume(path: str, entry: dict[str, Any]) -> Iterator[Failure]:
    if bool(entry.get("containerPath")) == bool(entry.get("fromContainer")):
        yield Failure(path, "must have one of containerPath and fromContainer, and not both")


def _upload(path: str, entry: dict[str, Any]) -> Iterator[Failure]:
    given = [key for key in _CONTENTS if entry.get(key)]
    if len(given) != 1:
        yield Failure(path, f"has {' and '.join(given) or 'no content'}; give one of {', '.join(_CONTENTS)}, not empty")
    elif "contentBase64" in given:
        try:
            base64.b64decode(entry["contentBase64"], validate=True)
        except binascii.Error:
            yield Failure(f"{path}.contentBase64", "is not base64 (value not shown)")
    if entry.get("permissions") and not re.fullmatch(r"0[0-7]{3}", entry["permissions"]):
        yield Failure(f"{path}.permissions", f"{entry['permissions']!r}: must be four octal digits, such as 0640")
    for key in ("owner", "group"):
        if entry.get(key) and not entry[key].isdecimal():
            yield Failure(
                f"{path}.{key}",
                f"{entry[key]!r}: a name is that of the machine where pulumi runs, not of the image; give the number",
            )


def _healthcheck(check: dict[str, Any]) -> Iterator[Failure]:
    for key in ("interval", "timeout", "startPeriod", "startInterval"):
        try:
            nanoseconds(check.get(key) or "0s")
        except ValueError as error:
            yield Failure(f"healthcheck.{key}", str(error))
    if (check.get("retries") or 0) < 0:
        yield Failure("healthcheck.retries", f"{check['retries']}: must be 0 or more")


def _choice(path: str, value: str | None, allowed: tuple[str, ...]) -> Iterator[Failure]:
    if value and value not in allowed:
        yield Failure(path, f"{value!r}: must be one of {', '.join(allowed)}")


def _is_positive(text: str) -> bool:
    try:
        return Decimal(text) > 0
    except InvalidOperation:
        return False


_ENTRY_RULES: dict[str, Callable[[str, dict[str, Any]], Iterator[Failure]]] = {
    "mounts": _mount,
    "volumes": _volume,
    "uploads": _upload,
}
