"""Cases of the rules about the objects of a Docker host together."""

from typing import Any

from policies.docker_host import CONTAINER, NETWORK, VOLUME
from tests.policies.docker_objects import (
    EGRESS_NETWORK,
    FENCE,
    GATEWAY,
    LABELS,
    LIMITED_NETWORK,
    OF_FENCE,
    OF_GATEWAY,
    OF_SESSION,
    OPEN_NETWORK,
    PAIR,
    SESSION,
    STATE_VOLUME,
    UNRESTRICTED,
    labels,
)
from tests.policies.judging import UNKNOWN, Case, Node

OWN_FENCE, OWN_USER, AGREES = "docker-namespace-is-own-fence", "docker-user-of-its-own", "docker-networking-agrees"
OWN_VOLUME = "docker-volume-is-own"
OTHER = {"agentenv.session": "other"}
ANCHOR = FENCE | {"name": "anchor", "labels": labels(LABELS | {"agentenv.role": "fence"})}


def session(**changes: Any) -> Node:
    """The session's container, by names that are written out."""
    return Node(CONTAINER, "session", SESSION | changes)


def fence(name: str = "fence", **changes: Any) -> Node:
    """A fence on the network `network`."""
    return Node(CONTAINER, name, FENCE | {"name": name} | changes)


def network(**changes: Any) -> Node:
    """The session's network."""
    return Node(NETWORK, "network", LIMITED_NETWORK | changes)


def mounting(source: str | None, **changes: Any) -> Node:
    """The session's container with a volume."""
    mount = {"type": "volume", "source": source, "target": "/var/lib/agentenv/state", "readOnly": False}
    return session(mounts=[*SESSION["mounts"], mount], **changes)


def volume(name: str = "kept", **other_labels: str) -> Node:
    """A volume of the session's own."""
    changed = {f"agentenv.{key}": value for key, value in other_labels.items()}
    return Node(VOLUME, name, {"name": name, "labels": labels(OF_SESSION | changed)})


def own_fence(state: Any, label: str, *nodes: Node, at: tuple[str, ...] = ()) -> Case:
    return Case(OWN_FENCE, state, label, nodes=nodes, at=at)


def by_reference(node: Node, **deps: list[str]) -> Node:
    """The same where the engine knows only what its properties come from."""
    unknown = {prop: UNKNOWN if prop == "networkMode" else [{"name": UNKNOWN}] for prop in deps}
    return Node(node.type, node.name, node.props | unknown, dict(deps))


CASES = [
    own_fence("compliant", "by name", session(), fence(), network()),
    own_fence(
        "compliant",
        "by reference",
        by_reference(session(), networkMode=["fence"]),
        by_reference(fence(), networksAdvanced=["network"]),
        network(),
    ),
    own_fence(
        "compliant",
        "gateway at its anchor",
        Node(CONTAINER, "gateway", GATEWAY | {"networkMode": "container:anchor"}),
        Node(CONTAINER, "anchor", ANCHOR | {"networksAdvanced": [{"name": "egress"}, {"name": "network"}]}),
        Node(NETWORK, "egress", EGRESS_NETWORK),
        network(),
    ),
    own_fence("compliant", "on no one's", Node(CONTAINER, "writer", GATEWAY | {"networkMode": "none"})),
    own_fence(
        "violating",
        "of nobody",
        session(networkMode="container:elsewhere"),
        fence(),
        network(),
        at=("networkMode of session names a container that this stack does not hold",),
    ),
    own_fence(
        "violating",
        "another session's",
        session(),
        fence(labels=labels(OF_FENCE | OTHER)),
        network(labels=labels(OF_SESSION | OTHER)),
        at=("networkMode of session joins fence, whose label agentenv.session is 'other', not 's'",),
    ),
    own_fence(
        "violating",
        "another environment's",
        session(),
        fence(labels=labels(OF_FENCE | {"agentenv.environment": "f"})),
        network(labels=labels(OF_SESSION | {"agentenv.environment": "f"})),
        at=("networkMode of session joins fence, whose label agentenv.environment is 'f', not 'e'",),
    ),
    own_fence(
        "violating",
        "the gateway's",
        session(networkMode="container:anchor"),
        Node(CONTAINER, "anchor", ANCHOR | {"networksAdvanced": [{"name": "egress"}]}),
        Node(NETWORK, "egress", EGRESS_NETWORK),
        at=(
            "networkMode of session joins anchor, whose label agentenv.session is None",
            "networksAdvanced of anchor names egress",
        ),
    ),
    own_fence(
        "violating",
        "one without rules",
        session(),
        fence(capabilities={"drops": ["ALL"]}),
        network(),
        at=("networkMode of session joins fence, which sets no rules",),
    ),
    own_fence(
        "violating",
        "a session",
        session(),
        fence(labels=labels(OF_SESSION)),
        network(),
        at=("networkMode of session joins fence, which sets no rules (role 'session')",),
    ),
    own_fence(
        "violating",
        "its fence is on another network too",
        session(),
        fence(networksAdvanced=[{"name": "network"}, {"name": "egress"}]),
        network(),
        Node(NETWORK, "egress", EGRESS_NETWORK),
        at=("networksAdvanced of fence names egress",),
    ),
    own_fence(
        "violating",
        "its fence is on a foreign network too",
        session(),
        fence(networksAdvanced=[{"name": "network"}, {"name": "elsewhere"}]),
        network(),
        at=("networksAdvanced of fence names a network that this stack does not hold",),
    ),
    own_fence(
        "violating",
        "its network is an open one",
        session(),
        fence(),
        Node(NETWORK, "network", OPEN_NETWORK),
        at=("networksAdvanced of fence names network",),
    ),
    own_fence(
        "violating",
        "its fence is on no network",
        session(),
        fence(networksAdvanced=None, capabilities={"drops": ["ALL"]}),
        at=("networkMode of session joins fence, which sets no rules",),
    ),
    own_fence(
        "violating",
        "its network is another session's",
        session(),
        fence(),
        network(labels=labels(OF_SESSION | OTHER)),
        at=("networksAdvanced of fence names network",),
    ),
    own_fence(
        "unknown",
        "mode",
        session(networkMode=UNKNOWN),
        Node(CONTAINER, "second", SESSION | {"networkMode": "container:elsewhere"}),
        at=("networkMode of second",),
    ),
    own_fence("unknown", "networks", session(), fence(networksAdvanced=[{"name": UNKNOWN}]), network()),
    own_fence(
        "unknown",
        "what the fence may",
        session(),
        fence(capabilities=UNKNOWN),
        network(labels=labels(OF_SESSION | OTHER)),
        at=("networksAdvanced of fence",),
    ),
    own_fence(
        "unknown",
        "label of the fence",
        session(),
        fence(
            labels=[*labels(OF_FENCE | OTHER), {"label": "agentenv.environment", "value": UNKNOWN}],
            networksAdvanced=[{"name": "elsewhere"}],
        ),
        at=("networkMode of session joins fence, whose label agentenv.session", "networksAdvanced of fence"),
    ),
    own_fence(
        "unknown",
        "labels of one network",
        session(),
        fence(networksAdvanced=[{"name": "second"}, {"name": "network"}]),
        Node(NETWORK, "second", LIMITED_NETWORK | {"name": "second", "labels": UNKNOWN}),
        network(labels=labels(OF_SESSION | OTHER)),
        at=("networksAdvanced of fence names network",),
    ),
    Case(
        OWN_USER,
        "compliant",
        "apart",
        nodes=(session(), Node(CONTAINER, "other", SESSION | {"user": "10101:10001"}), fence(), fence("second")),
    ),
    Case(
        OWN_USER,
        "violating",
        "two sessions",
        nodes=(session(), Node(CONTAINER, "other", SESSION | {"user": "010100"})),
        at=("user of session is '10100', as in other", "user of other is '10100', as in session"),
    ),
    Case(
        OWN_USER,
        "violating",
        "the gateway's",
        nodes=(session(user="10002:10001"), Node(CONTAINER, "gateway", GATEWAY)),
        at=("user of session is '10002', as in gateway",),
    ),
    Case(
        OWN_USER,
        "violating",
        "the image's",
        nodes=(Node(CONTAINER, "one", {}), Node(CONTAINER, "two", {"user": ""})),
        at=("user of one is '', as in two", "user of two is ''"),
    ),
    Case(
        OWN_USER,
        "unknown",
        "one",
        nodes=(Node(CONTAINER, "third", {"user": UNKNOWN}), session(), Node(CONTAINER, "other", SESSION)),
        at=("user of session", "user of other"),
    ),
    Case(
        OWN_USER,
        "unknown",
        "whose",
        nodes=(Node(CONTAINER, "third", SESSION | {"labels": UNKNOWN}), session()),
        at=("user of session",),
    ),
    Case(
        OWN_USER,
        "compliant",
        "several agents in each of two",
        nodes=(Node(CONTAINER, "pair", PAIR), Node(CONTAINER, "other", PAIR), fence()),
    ),
    Case(OWN_VOLUME, "compliant", "by name", nodes=(mounting("kept"), volume(), Node(CONTAINER, "gateway", GATEWAY))),
    Case(
        OWN_VOLUME,
        "compliant",
        "by reference",
        nodes=(
            Node(CONTAINER, "session", mounting(UNKNOWN).props, {"mounts": ["kept"]}),
            volume(),
        ),
    ),
    Case(OWN_VOLUME, "compliant", "none", nodes=(session(), fence())),
    *(
        Case(
            OWN_VOLUME,
            "violating",
            f"of another {key}",
            nodes=(mounting("kept"), volume(**{key: "other"})),
            at=(f"mounts of session names kept, whose label agentenv.{key} is 'other', not ",),
        )
        for key in ("stack", "environment", "session")
    ),
    Case(
        OWN_VOLUME,
        "violating",
        "the gateway's",
        nodes=(session(volumes=[{"volumeName": "state", "containerPath": "/x"}]), Node(VOLUME, "state", STATE_VOLUME)),
        at=("volumes of session names state, whose label agentenv.session", "volumes of session names state"),
    ),
    Case(
        OWN_VOLUME,
        "violating",
        "a session's in the gateway",
        nodes=(
            Node(CONTAINER, "gateway", GATEWAY | {"mounts": [{"type": "volume", "source": "kept", "target": "/x"}]}),
            volume(),
        ),
        at=("mounts of gateway names kept, whose label agentenv.session", "mounts of gateway names kept"),
    ),
    Case(
        OWN_VOLUME,
        "violating",
        "of nobody",
        nodes=(mounting("elsewhere"), volume()),
        at=("mounts of session names 'elsewhere', a volume that this stack does not hold",),
    ),
    Case(
        OWN_VOLUME,
        "violating",
        "without a name",
        nodes=(mounting(None), volume()),
        at=("mounts of session names None, a volume that this stack does not hold",),
    ),
    Case(
        OWN_VOLUME,
        "unknown",
        "name",
        nodes=(mounting(UNKNOWN, volumes=[{"volumeName": "elsewhere", "containerPath": "/x"}]), volume()),
        at=("volumes of session names 'elsewhere'",),
    ),
    Case(
        OWN_VOLUME,
        "unknown",
        "labels of one",
        nodes=(
            session(volumes=[{"volumeName": name, "containerPath": f"/{name}"} for name in ("kept", "second")]),
            Node(VOLUME, "kept", {"name": "kept", "labels": UNKNOWN}),
            volume("second", session="other"),
        ),
        at=("volumes of session names second",),
    ),
    Case(
        AGREES,
        "compliant",
        "one of each",
        nodes=(
            Node(NETWORK, "limited", {"labels": labels(OF_SESSION | {"agentenv.networking": "limited"})}),
            Node(NETWORK, "open", {"labels": labels(OF_SESSION | UNRESTRICTED | {"agentenv.environment": "f"})}),
            Node(VOLUME, "state", STATE_VOLUME),
            Node(VOLUME, "other", {"labels": labels(OF_GATEWAY | {"agentenv.environment": "f"})}),
        ),
    ),
    Case(
        AGREES,
        "violating",
        "a network that lies",
        nodes=(
            Node(CONTAINER, "gateway", {"labels": labels(OF_GATEWAY | {"agentenv.networking": "limited"})}),
            Node(NETWORK, "network", OPEN_NETWORK),
        ),
        at=("label agentenv.networking of network is unrestricted, while the environment 'e' is limited",),
    ),
    Case(
        AGREES,
        "unknown",
        "labels of one",
        nodes=(
            Node(VOLUME, "state", {"labels": UNKNOWN}),
            Node(CONTAINER, "gateway", {"labels": labels(OF_GATEWAY | {"agentenv.networking": "limited"})}),
            Node(NETWORK, "network", OPEN_NETWORK),
        ),
        at=("label agentenv.networking of network",),
    ),
]
