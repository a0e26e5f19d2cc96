"""Spans of time as Go writes them (`1m30s`), which is what the provider takes and gives."""

import re

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")


def nanoseconds(text: str) -> int:
    """Returns the nanoseconds of a duration.

    Args:
        text: e.g. `10s`, `1m30s`, `1.5h`, `0`.

    Raises:
        ValueError: it is no duration, or a negative one.
    """
    if text == "0":
        return 0
    if not re.fullmatch(f"({_PART.pattern})+", text):
        raise ValueError(f"{text!r} is no duration; write it as 10s, 1m30s or 500ms")
    return sum(round(float(number) * _UNITS[unit]) for number, unit in _PART.findall(text))


def written(span: int) -> str:
    """Returns nanoseconds as Go writes them: `1m0s`, `1.5s`, `500ms`, `0s`."""
    if span < _UNITS["s"]:
        unit = next((unit for unit in ("ms", "µs", "ns") if span >= _UNITS[unit]), "s")
        return f"{span / _UNITS[unit]:.9f}".rstrip("0").rstrip(".") + unit
    minutes, rest = divmod(span, _UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest / _UNITS['s']:.9f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds
