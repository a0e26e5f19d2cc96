"""`docker.RemoteImage`: an image that the engine has or pulls; `imageId` is what a container is best given."""

from typing import Any

from offline.docker.engine import Engine
from offline.docker.kind import Kind, Props


def find(engine: Engine, name: str) -> dict[str, Any]:
    """Returns the engine's record of an image, after pulling it if the engine does not have it.

    Args:
        engine: where.
        name: name or id.

    Raises:
        EngineError: it is neither there nor to be had.
    """
    from docker.errors import ImageNotFound

    with engine.told(f"unable to find image {name}"):
        try:
            return dict(engine.api.inspect_image(name))
        except ImageNotFound:
            # An id is no name: asking a registry for it would end in an error about a log-in.
            if name.startswith("sha256:"):
                raise
        for event in engine.api.pull(*_parts(name), stream=True, decode=True):
            if "error" in event:
                break
        return dict(engine.api.inspect_image(name))


def _create(engine: Engine, inputs: Props) -> tuple[str, Props]:
    found = find(engine, inputs["name"])
    return f"{found['Id']}{inputs['name']}", _observed(found)


def _read(engine: Engine, image: str, state: Props) -> Props | None:  # noqa: ARG001 (a Kind's signature)
    from docker.errors import ImageNotFound

    with engine.told(f"unable to read image {state['name']}"):
        try:
            return _observed(engine.api.inspect_image(state["name"]))
        except ImageNotFound:
            return None


def _delete(engine: Engine, image: str, state: Props) -> None:  # noqa: ARG001
    if state.get("keepLocally"):
        return
    name, force = state["name"], bool(state.get("forceRemove"))
    engine.remove(f"image {name}", lambda: engine.api.remove_image(name, force=force), busy="is using its referenced")


def _observed(found: dict[str, Any]) -> Props:
    digests = found.get("RepoDigests") or [""]
    return {"imageId": found["Id"], "repoDigest": digests[0]}


def _parts(name: str) -> tuple[str, str]:
    """Returns repository and tag or digest."""
    if "@" in name:
        repository, _, digest = name.partition("@")
        return repository, digest
    repository, colon, tag = name.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (name, "latest")


REMOTE_IMAGE = Kind(
    token="docker:index/remoteImage:RemoteImage",
    declaration=("remote_image.py", "RemoteImageArgs"),
    create=_create,
    read=_read,
    delete=_delete,
    replacing=frozenset({"name", "pullTriggers", "triggers"}),
    recorded=frozenset({"keepLocally", "forceRemove"}),
    outputs=frozenset({"imageId", "repoDigest"}),
    refused=frozenset({"build", "platform"}),
    is_named=False,
)
