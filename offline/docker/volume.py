"""`docker.Volume`."""

from typing import Any

from offline.docker import labels
from offline.docker.engine import Engine
from offline.docker.kind import Kind, Props


def _create(engine: Engine, inputs: Props) -> tuple[str, Props]:
    with engine.told("unable to create volume"):
        made: dict[str, Any] = engine.api.create_volume(
            inputs["name"],
            driver=inputs.get("driver"),
            driver_opts=inputs.get("driverOpts"),
            labels=labels.to_map(inputs.get("labels")),
        )
    return made["Name"], _observed(made)


def _read(engine: Engine, volume: str, state: Props) -> Props | None:  # noqa: ARG001 (a Kind's signature)
    from docker.errors import NotFound

    with engine.told(f"unable to read volume {volume}"):
        try:
            return _observed(engine.api.inspect_volume(volume))
        except NotFound:
            return None


def _delete(engine: Engine, volume: str, state: Props) -> None:  # noqa: ARG001
    engine.remove(f"volume {volume}", lambda: engine.api.remove_volume(volume, force=True), busy="volume is in use")


def _observed(found: dict[str, Any]) -> Props:
    return {
        "name": found["Name"],
        "driver": found["Driver"],
        "driverOpts": found["Options"] or {},
        "labels": labels.to_list(found["Labels"]),
        "mountpoint": found["Mountpoint"],
    }


VOLUME = Kind(
    token="docker:index/volume:Volume",
    declaration=("volume.py", "VolumeArgs"),
    create=_create,
    read=_read,
    delete=_delete,
    replacing=frozenset({"name", "driver", "driverOpts", "labels"}),
    computed=frozenset({"driver"}),
    outputs=frozenset({"mountpoint"}),
    refused=frozenset({"cluster"}),
)
