"""Docker objects as they should be, and how tables of cases about them are written."""

from typing import Any

from policies.docker_host import CONTAINER, NETWORK, VOLUME
from policies.rules.docker_session_waits import WAIT
from tests.policies.judging import Case, State

LABELS = {"agentenv.stack": "demo", "agentenv.team": "research", "agentenv.environment": "e"}
OF_SESSION = LABELS | {"agentenv.role": "session", "agentenv.session": "s"}
OF_FENCE = OF_SESSION | {"agentenv.role": "fence"}
OF_GATEWAY = LABELS | {"agentenv.role": "gateway"}
UNRESTRICTED = {"agentenv.networking": "unrestricted"}
RULESET = (
    "table inet agentenv {\n  chain output {\n    type filter hook output priority filter; policy %s;\n  }\n"
    "  chain input {\n    type filter hook input priority filter; policy %s;\n  }\n}\n"
)


def labels(named: dict[str, str]) -> list[dict[str, str]]:
    return [{"label": name, "value": value} for name, value in named.items()]


SESSION: dict[str, Any] = {
    "name": "session",
    "image": "agentenv-e:" + "0a" * 16,
    "labels": labels(OF_SESSION),
    "user": "10100:10001",
    "readOnly": True,
    "capabilities": {"drops": ["ALL"]},
    "securityOpts": ["no-new-privileges"],
    "memory": 6144.0,
    "memorySwap": 6144.0,
    "cpus": "1.0",
    "ulimits": [{"name": "nproc", "soft": 1024.0, "hard": 1024.0}],
    "networkMode": "container:fence",
    "entrypoints": WAIT,
    "mounts": [{"type": "bind", "source": "/etc/agentenv/crm", "target": "/run/secrets/CRM", "readOnly": True}],
    "logDriver": "json-file",
    "logOpts": {"max-size": "10m"},
    "envs": ["AGENTENV_ENVIRONMENT=e", "AGENTENV_GATEWAY=http://10.200.0.2:3128"],
    "tmpfs": {"/tmp": "size=2g"},
}
FENCE: dict[str, Any] = SESSION | {
    "name": "fence",
    "labels": labels(OF_FENCE),
    "user": "0:0",
    "capabilities": {"drops": ["ALL"], "adds": ["CAP_NET_ADMIN", "CAP_SETGID", "CAP_SETUID"]},
    "ulimits": None,
    "networkMode": "bridge",
    "networksAdvanced": [{"name": "network", "ipv4Address": "10.200.0.3"}],
    "entrypoints": None,
    "envs": ["FENCE_RULES=" + RULESET % ("drop", "drop")],
    "ports": [{"internal": 8080.0, "external": 8080.0, "ip": "127.0.0.1", "protocol": "tcp"}],
}
GATEWAY: dict[str, Any] = SESSION | {
    "labels": labels(OF_GATEWAY),
    "user": "10002:10002",
    "ulimits": None,
    "entrypoints": None,
    "mounts": [{"type": "volume", "source": "policy", "target": "/policy", "readOnly": True}],
    "volumes": [{"volumeName": "state", "containerPath": "/state"}],
}
WRITER: dict[str, Any] = GATEWAY | {
    "readOnly": False,
    "networkMode": "none",
    "uploads": [{"file": "/policy/incoming.json", "content": "{}"}],
}
FORWARDER: dict[str, Any] = FENCE | {"user": "65534:65534", "capabilities": {"drops": ["all"]}, "envs": None}
LIMITED_NETWORK: dict[str, Any] = {"name": "network", "labels": labels(OF_SESSION), "internal": True}
OPEN_NETWORK: dict[str, Any] = {
    "name": "network",
    "driver": "bridge",
    "labels": labels(OF_SESSION | UNRESTRICTED),
    "options": {"com.docker.network.bridge.gateway_mode_ipv4": "nat"},
}
EGRESS_NETWORK: dict[str, Any] = {"name": "egress", "labels": labels(OF_GATEWAY)}
PAIR: dict[str, Any] = SESSION | {
    "user": "0:10001",
    "capabilities": {"drops": ["ALL"], "adds": ["CAP_SETGID", "CAP_SETUID"]},
    "command": ["/opt/agentenv/bin/python", "-I", "/usr/local/lib/agentenv/session.py"],
    "envs": ["AGENTENV_ENVIRONMENT=e", 'AGENTENV_SESSION={"name":"s","agents":[{"name":"a"},{"name":"b"}]}'],
}
"""Several agents in one container."""
ONE_AGENT = 'AGENTENV_SESSION={"name":"s","agents":[{"name":"a"}]}'
STATE_VOLUME: dict[str, Any] = {"name": "state", "labels": labels(OF_GATEWAY)}

COMPLIANT = {
    CONTAINER: {
        "session": SESSION,
        "several agents": PAIR,
        "fence": FENCE,
        "gateway": GATEWAY,
        "writer": WRITER,
        "forwarder": FORWARDER,
    },
    NETWORK: {"limited": LIMITED_NETWORK, "unrestricted": OPEN_NETWORK, "egress": EGRESS_NETWORK},
    VOLUME: {"state": STATE_VOLUME},
}

Lines = tuple[str, ...]
Change = tuple[dict[str, Any], Lines]
"""Inputs, and for each expected violation how its message begins."""
Object = tuple[str, dict[str, Any], Lines]
"""The same with a type before it."""


def case(rule: str, state: State, label: str, kind: str, props: dict[str, Any], at: Lines = ()) -> Case:
    """A case without the inputs that are None."""
    return Case(rule, state, label, kind, {key: value for key, value in props.items() if value is not None}, at=at)


def cases(
    kinds: dict[str, tuple[str, ...]],
    containers: dict[str, dict[str, Change]],
    others: dict[str, dict[str, Object]],
    unknowns: dict[str, list[Object]],
) -> list[Case]:
    """Cases by rule: every object of COMPLIANT, then containers and others that violate it, then unknown values.

    Args:
        kinds: Types that the rule is about, containers alone when it is not named here.
        containers: Rule -> label -> container.
        others: Rule -> label -> object of another type.
        unknowns: Rule -> objects; what is known of them is judged all the same.
    """
    return [
        *(
            case(rule, "compliant", label, kind, props)
            for rule in {**containers, **others}
            for kind in kinds.get(rule, (CONTAINER,))
            for label, props in COMPLIANT[kind].items()
        ),
        *(
            case(rule, "violating", label, CONTAINER, props, at)
            for rule, found in containers.items()
            for label, (props, at) in found.items()
        ),
        *(
            case(rule, "violating", label, kind, props, at)
            for rule, found_others in others.items()
            for label, (kind, props, at) in found_others.items()
        ),
        *(
            case(rule, "unknown", str(number), kind, props, at)
            for rule, objects in unknowns.items()
            for number, (kind, props, at) in enumerate(objects, 1)
        ),
    ]
