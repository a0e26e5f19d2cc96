"""Objects on a Docker host: their types, and how they name things that AWS resources name otherwise.

Inputs are those of `pulumi_docker`, in camel case; the package itself is not needed to judge them.
"""

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from pulumi_policy import ResourceValidationArgs

from policies.reading import get, is_list, items
from policies.verdict import Findings

CONTAINER = "docker:index/container:Container"
NETWORK = "docker:index/network:Network"
VOLUME = "docker:index/volume:Volume"
OBJECTS = (CONTAINER, NETWORK, VOLUME)

CONTAINER_MODE = "container:"
"""How `networkMode` begins when a container joins the network namespace of another."""


def elements(args: ResourceValidationArgs, prop: str, findings: Findings) -> Iterator[tuple[str, Any]]:
    """(path, element) of the list `prop`; an element that is unknown is deferred, the others are judged."""
    with findings.deferring():
        listed = get(args.props, prop)
        for index in range(len(listed) if is_list(listed) else 0):
            with findings.deferring():
                yield f"{prop}[{index}]", listed[index]


def label(props: Mapping[str, Any], name: str) -> str | None:
    """Value of one label; None when there is none, and when two of this name contradict each other.

    Raises:
        UnknownValueError: the value, or the name of any label, is known only at `up`.
    """
    listed = get(props, "labels")
    found = {
        str(get(pair, "value"))
        for pair in (listed if is_list(listed) else [])
        if get(pair, "label") == name and get(pair, "value") is not None
    }
    return found.pop() if len(found) == 1 else None


def network_mode(props: Mapping[str, Any]) -> str:
    """`networkMode`, empty when the engine decides."""
    return str(get(props, "networkMode") or "")


def capabilities(props: Mapping[str, Any], prop: str) -> set[str]:
    """Names under `adds` or `drops`. The engine takes them in any case, with and without CAP_ before them."""
    return {str(name).upper().removeprefix("CAP_") for name in items(get(props, "capabilities", prop))}


def host_path(text: Any) -> str | None:
    """A path of the host, brought to one spelling; None for what is no absolute path, such as a volume's name."""
    if not isinstance(text, str) or not text.startswith("/"):
        return None
    path = posixpath.normpath("/" + text.lstrip("/"))
    # /var/run is a link to /run on every current distribution.
    return path.removeprefix("/var") if path == "/var/run" or path.startswith("/var/run/") else path
