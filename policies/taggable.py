"""Which resource types take tags: read from the installed `pulumi_aws`, kept in `taggable_types.txt`.

`python -m policies.taggable` writes the list anew after an upgrade of `pulumi_aws`.
"""

import importlib.util
import re
import sys
from functools import cache
from pathlib import Path

TYPES_FILE = Path(__file__).with_name("taggable_types.txt")

_TOKEN = re.compile(r"super\(\w+, __self__\)\.__init__\(\s*'(aws:[\w/]+:\w+)'")
_TAGS_ALL = '__props__.__dict__["tags_all"] = None'
"""The SDK's mark of a resource that the provider's default tags reach."""


@cache
def taggable_types() -> frozenset[str]:
    """Tokens of the resource types that take tags."""
    return frozenset(TYPES_FILE.read_text(encoding="utf-8").split())


def types_of_sdk() -> list[str]:
    """The same from the SDK's source, sorted. Reads 3,000 files and imports none: importing them takes a minute."""
    spec = importlib.util.find_spec("pulumi_aws")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("pulumi_aws is not installed. Fix: install the project's requirements")
    found: list[str] = []
    for source in Path(spec.origin).parent.rglob("*.py"):
        text = source.read_text(encoding="utf-8")
        if _TAGS_ALL in text:
            found += _TOKEN.findall(text)
    return sorted(found)


if __name__ == "__main__":
    TYPES_FILE.write_text("\n".join(types_of_sdk()) + "\n", encoding="utf-8")
    sys.stdout.write(f"wrote {TYPES_FILE}\n")
