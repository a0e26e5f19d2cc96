"""`docker.Network`: nothing of a network can be changed, so each change makes a new one."""

from typing import Any

from offline.docker import labels
from offline.docker.engine import Engine
from offline.docker.kind import Kind, Props

_IPAM = {"subnet": "Subnet", "ipRange": "IPRange", "gateway": "Gateway", "auxAddress": "AuxiliaryAddresses"}


def _create(engine: Engine, inputs: Props) -> tuple[str, Props]:
    ipam = {
        "Driver": inputs.get("ipamDriver") or "default",
        "Config": [
            {name: entry[key] for key, name in _IPAM.items() if entry.get(key)}
            for entry in inputs.get("ipamConfigs") or []
        ],
        "Options": inputs.get("ipamOptions") or None,
    }
    api = engine.api
    with engine.told("unable to create network"):
        made = api.create_network(
            inputs["name"],
            driver=inputs.get("driver"),
            options=inputs.get("options"),
            ipam=ipam,
            # Without it an engine before 25 makes a second network of the same name.
            check_duplicate=True,
            internal=bool(inputs.get("internal")),
            labels=labels.to_map(inputs.get("labels")),
            enable_ipv6=bool(inputs.get("ipv6")),
            attachable=inputs.get("attachable"),
            ingress=inputs.get("ingress"),
        )
        return str(made["Id"]), _observed(api.inspect_network(made["Id"]))


def _read(engine: Engine, network: str, state: Props) -> Props | None:  # noqa: ARG001 (a Kind's signature)
    from docker.errors import NotFound

    with engine.told(f"unable to read network {network}"):
        try:
            return _observed(engine.api.inspect_network(network))
        except NotFound:
            return None


def _delete(engine: Engine, network: str, state: Props) -> None:  # noqa: ARG001
    engine.remove(f"network {network}", lambda: engine.api.remove_network(network), busy="has active endpoints")


def _observed(found: dict[str, Any]) -> Props:
    ipam = found["IPAM"]
    return {
        "name": found["Name"],
        "driver": found["Driver"],
        "scope": found["Scope"],
        "internal": found["Internal"],
        "attachable": found["Attachable"],
        "ingress": found["Ingress"],
        "ipv6": found["EnableIPv6"],
        "options": found["Options"] or {},
        "labels": labels.to_list(found["Labels"]),
        "ipamDriver": ipam["Driver"],
        "ipamOptions": ipam["Options"] or {},
        "ipamConfigs": [
            {key: entry[name] for key, name in _IPAM.items() if entry.get(name)} for entry in ipam["Config"] or []
        ],
    }


NETWORK = Kind(
    token="docker:index/network:Network",
    declaration=("network.py", "NetworkArgs"),
    create=_create,
    read=_read,
    delete=_delete,
    replacing=frozenset(
        {
            *("name", "driver", "internal", "attachable", "ingress", "ipv6", "options", "labels"),
            *("ipamDriver", "ipamOptions", "ipamConfigs"),
        }
    ),
    computed=frozenset({"driver", "internal", "options", "ipamOptions", "ipamConfigs"}),
    outputs=frozenset({"scope"}),
    defaults={"ipamDriver": "default"},
)
