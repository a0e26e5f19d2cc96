"""Cases of the rules that hold a session on a Docker host behind its fence, one object at a time."""

from policies.docker_host import CONTAINER, NETWORK, VOLUME
from policies.rules.docker_session_waits import WAIT
from tests.policies.docker_objects import (
    FENCE,
    GATEWAY,
    LABELS,
    LIMITED_NETWORK,
    OF_FENCE,
    OF_SESSION,
    OPEN_NETWORK,
    RULESET,
    SESSION,
    UNRESTRICTED,
    Change,
    Object,
    case,
    cases,
    labels,
)
from tests.policies.judging import UNKNOWN

NETWORKING = {"label": "agentenv.networking", "value": UNKNOWN}
OPEN = {"label": "agentenv.networking", "value": "open"}


def _labels_but(named: dict[str, str], missing: str) -> list[dict[str, str]]:
    return [pair for pair in labels(named) if pair["label"] != missing]


CONTAINERS: dict[str, dict[str, Change]] = {
    "docker-no-shared-network": {
        "host's": (GATEWAY | {"networkMode": "host"}, ("networkMode is the host's",)),
        "host's by name": (FENCE | {"networksAdvanced": [{"name": "host"}]}, ("networksAdvanced[0].name is 'host'",)),
        "silent": (GATEWAY | {"networkMode": None}, ("networkMode leaves",)),
        "named": (GATEWAY | {"networkMode": "default"}, ("networkMode",)),
        "beside": (FENCE | {"networksAdvanced": [{"name": "n"}, {"name": "bridge"}]}, ("networksAdvanced[1].name",)),
    },
    "docker-session-behind-fence": {
        "silent": (SESSION | {"networkMode": None}, ("networkMode is missing",)),
        "bridge": (SESSION | {"networkMode": "bridge"}, ("networkMode is 'bridge'",)),
        "host's": (SESSION | {"networkMode": "host"}, ("networkMode is 'host'",)),
        "network": (
            SESSION | {"networkMode": "bridge", "networksAdvanced": [{"name": "network"}]},
            ("networkMode", "networksAdvanced"),
        ),
        "no role": (FENCE | {"labels": labels(LABELS)}, ("networkMode", "networksAdvanced")),
    },
    "docker-session-waits-for-fence": {
        "silent": (SESSION | {"entrypoints": None}, ("entrypoints is missing",)),
        "own program": (SESSION | {"entrypoints": ["/bin/sh", "-c"]}, ("entrypoints is ['/bin/sh'",)),
        "not isolated": (SESSION | {"entrypoints": [WAIT[0], WAIT[-1]]}, ("entrypoints",)),
    },
    "docker-fence-refuses-by-default": {
        "none": (FENCE | {"envs": []}, ("envs[FENCE_RULES] is missing",)),
        "empty": (FENCE | {"envs": ["FENCE_RULES="]}, ("envs[FENCE_RULES] lets", "envs[FENCE_RULES] lets")),
        "limited lets out": (
            FENCE | {"envs": ["FENCE_RULES=" + RULESET % ("accept", "drop")]},
            ("envs[FENCE_RULES] lets through what its output",),
        ),
        "unrestricted lets in": (
            FENCE
            | {"labels": labels(OF_FENCE | UNRESTRICTED), "envs": ["FENCE_RULES=" + RULESET % ("accept", "accept")]},
            ("envs[FENCE_RULES] lets through what its input",),
        ),
    },
    "docker-ports-on-loopback": {
        "silent": (FENCE | {"ports": [{"internal": 80.0}]}, ("ports[0].ip is missing",)),
        "every address": (FENCE | {"ports": [{"internal": 80.0, "ip": "0.0.0.0"}]}, ("ports[0].ip is '0.0.0.0'",)),
        "every IPv6 address": (FENCE | {"ports": [{"internal": 80.0, "ip": "::"}]}, ("ports[0].ip",)),
        "an address": (FENCE | {"ports": [{"internal": 80.0, "ip": "198.51.100.1"}]}, ("ports[0].ip",)),
        "a name": (FENCE | {"ports": [{"internal": 80.0, "ip": "localhost"}]}, ("ports[0].ip",)),
        "all ports": (FENCE | {"publishAllPorts": True}, ("publishAllPorts",)),
    },
    "docker-labels": {
        "none": (
            SESSION | {"labels": None},
            ("labels[agentenv.stack]", "labels[agentenv.team]", "labels[agentenv.role]"),
        ),
        "session": (
            SESSION | {"labels": labels({"agentenv.stack": "s", "agentenv.team": "t", "agentenv.role": "session"})},
            ("labels[agentenv.environment]", "labels[agentenv.session]"),
        ),
        "gateway": (
            GATEWAY | {"labels": labels({"agentenv.stack": "s", "agentenv.team": "t", "agentenv.role": "gateway"})},
            ("labels[agentenv.environment]",),
        ),
        "twice": (
            SESSION | {"labels": [*labels(OF_SESSION), {"label": "agentenv.team", "value": "other"}]},
            ("labels[agentenv.team]",),
        ),
        "role of AWS": (
            SESSION | {"labels": labels(LABELS | {"agentenv.role": "endpoint"})},
            ("labels[agentenv.role]",),
        ),
        "networking": (
            SESSION | {"labels": labels(OF_SESSION | {"agentenv.networking": "open"})},
            ("labels[agentenv.networking] is 'open'",),
        ),
    },
}

OTHERS: dict[str, dict[str, Object]] = {
    "docker-limited-network-internal": {
        "missing": (NETWORK, LIMITED_NETWORK | {"internal": None}, ("internal",)),
        "false": (NETWORK, LIMITED_NETWORK | {"internal": False}, ("internal",)),
        "no labels": (NETWORK, {"name": "network"}, ("internal",)),
        "stated": (
            NETWORK,
            {"labels": labels(OF_SESSION | {"agentenv.networking": "limited"})},
            ("internal",),
        ),
        "driver": (NETWORK, LIMITED_NETWORK | {"driver": "macvlan"}, ("driver is 'macvlan'",)),
    },
    "docker-ports-on-loopback": {
        f"{mode} network, {family}": (
            NETWORK,
            OPEN_NETWORK | {"options": {f"com.docker.network.bridge.gateway_mode_{family}": mode}},
            (f"options[com.docker.network.bridge.gateway_mode_{family}]",),
        )
        for mode in ("routed", "nat-unprotected")
        for family in ("ipv4", "ipv6")
    },
    "docker-labels": {
        "network": (NETWORK, {"labels": labels(LABELS)}, ("labels[agentenv.role]",)),
        "volume": (VOLUME, {"name": "x", "labels": []}, ("labels[", "labels[", "labels[")),
    },
}

UNKNOWNS: dict[str, list[Object]] = {
    "docker-no-shared-network": [
        (CONTAINER, GATEWAY | {"networkMode": UNKNOWN}, ()),
        (
            CONTAINER,
            FENCE | {"networkMode": UNKNOWN, "networksAdvanced": [{"name": UNKNOWN}, {"name": "bridge"}]},
            ("networksAdvanced[1]",),
        ),
    ],
    "docker-session-behind-fence": [
        (
            CONTAINER,
            SESSION | {"networkMode": UNKNOWN, "networksAdvanced": [{"name": "x"}]},
            ("networksAdvanced",),
        )
    ],
    "docker-session-waits-for-fence": [(CONTAINER, SESSION | {"entrypoints": [UNKNOWN]}, ())],
    "docker-fence-refuses-by-default": [(CONTAINER, FENCE | {"envs": [UNKNOWN]}, ())],
    "docker-ports-on-loopback": [
        (
            CONTAINER,
            FENCE | {"ports": [{"ip": UNKNOWN}, {"internal": 1.0}]},
            ("ports[1].ip",),
        ),
        (CONTAINER, FENCE | {"publishAllPorts": UNKNOWN, "ports": [{"internal": 1.0}]}, ("ports[0].ip",)),
        (
            NETWORK,
            {
                "options": {
                    f"com.docker.network.bridge.gateway_mode_ipv{v}": m for v, m in ((4, UNKNOWN), (6, "routed"))
                }
            },
            ("options[com.docker.network.bridge.gateway_mode_ipv6]",),
        ),
    ],
    "docker-labels": [
        (CONTAINER, SESSION | {"labels": [{"label": "agentenv.team", "value": UNKNOWN}]}, ("labels[", "labels[")),
        (
            CONTAINER,
            SESSION | {"labels": [*_labels_but(OF_SESSION, "agentenv.session"), NETWORKING]},
            ("labels[agentenv.session]",),
        ),
        (CONTAINER, SESSION | {"labels": [{"label": "agentenv.role", "value": UNKNOWN}, OPEN]}, ("labels[",) * 3),
    ],
    "docker-limited-network-internal": [
        (
            NETWORK,
            LIMITED_NETWORK | {"internal": UNKNOWN, "driver": "macvlan"},
            ("driver",),
        ),
        (NETWORK, LIMITED_NETWORK | {"internal": None, "driver": UNKNOWN}, ("internal",)),
    ],
}

KINDS = {
    "docker-limited-network-internal": (NETWORK,),
    "docker-ports-on-loopback": (CONTAINER, NETWORK),
    "docker-labels": (CONTAINER, NETWORK, VOLUME),
}

CASES = [
    *cases(KINDS, CONTAINERS, OTHERS, UNKNOWNS),
    case(
        "docker-fence-refuses-by-default",
        "compliant",
        "unrestricted",
        CONTAINER,
        FENCE | {"labels": labels(OF_FENCE | UNRESTRICTED), "envs": ["FENCE_RULES=" + RULESET % ("accept", "drop")]},
    ),
    case(
        "docker-fence-refuses-by-default",
        "compliant",
        "a gateway's",
        CONTAINER,
        FENCE
        | {
            "labels": labels(LABELS | {"agentenv.role": "fence"}),
            "envs": ["FENCE_RULES=" + RULESET % ("accept", "drop")],
        },
    ),
    case("docker-no-shared-network", "compliant", "session's", CONTAINER, SESSION | {"networkMode": UNKNOWN}),
]
