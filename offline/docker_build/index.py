"""What creating, reading and deleting an `Index` (a list of images under one tag) does, in the local registry."""

import json
from typing import Any

from offline.docker_build import ecr
from offline.docker_build.build import BuildError
from offline.docker_build.reference import Reference, is_local, parse, registry_address
from offline.docker_build.registry_api import (
    DOCKER_LIST,
    OCI_INDEX,
    Manifest,
    get_blob,
    get_manifest,
    mount_blob,
    put_manifest,
)

COMPUTED = ("ref",)


def make(inputs: dict[str, Any]) -> dict[str, Any]:
    """Joins the sources under the tag, and pushes the list unless `push` is false.

    Args:
        inputs: checked inputs without unknowns: `sources`, `tag`, `push`.

    Returns:
        The computed outputs.

    Raises:
        BuildError: a source does not exist, or a registry is not the local one.
        PushRefusedError: the emulated ECR takes no such image.
    """
    target = parse(inputs["tag"])
    if inputs.get("push") is False:
        return {"ref": inputs["tag"]}
    address = registry_address(target)
    if not is_local(address):
        raise BuildError(
            f"tag: {inputs['tag']!r}: the stand-in for docker-build makes lists in the local registry only"
        )
    children = [child for source in inputs["sources"] for child in _entries(address, target, source)]
    oci = any(child["mediaType"].startswith("application/vnd.oci.") for child in children)
    media_type = OCI_INDEX if oci else DOCKER_LIST
    document = {"schemaVersion": 2, "mediaType": media_type, "manifests": children}
    manifest = Manifest(json.dumps(document, sort_keys=True).encode(), media_type)
    emulated = ecr.client(target.ecr) if target.ecr and ecr.is_emulated() else None
    if emulated is not None:
        ecr.check_push(emulated, target, manifest.digest)
    put_manifest(address, target.repository, target.tag, manifest)
    if emulated is not None:
        ecr.record(emulated, target, manifest)
    return {"ref": f"{inputs['tag']}@{manifest.digest}"}


def _entries(address: str, target: Reference, source: str) -> list[dict[str, Any]]:
    """Returns the list entries of one source, whose content is then available in the target's repository."""
    reference = parse(source)
    if registry_address(reference) != address:
        raise BuildError(f"sources: {source!r}: must be in the registry of the tag, {target.host}")
    manifest = get_manifest(address, reference.repository, reference.digest or reference.tag)
    if manifest is None:
        raise BuildError(f"sources: {source!r}: there is no such image; push it first")
    content = manifest.content
    if "manifests" in content:
        return [
            entry for child in content["manifests"] for entry in _entries(address, target, _child(reference, child))
        ]
    if reference.repository != target.repository:
        for blob in (content["config"], *content["layers"]):
            mount_blob(address, target.repository, blob["digest"], reference.repository)
        put_manifest(address, target.repository, manifest.digest, manifest)
    config = json.loads(get_blob(address, reference.repository, content["config"]["digest"]))
    platform = {key: config[key] for key in ("architecture", "os", "variant") if config.get(key)}
    return [
        {
            "mediaType": manifest.media_type,
            "digest": manifest.digest,
            "size": len(manifest.data),
            "platform": platform,
        }
    ]


def _child(reference: Reference, entry: dict[str, Any]) -> str:
    return f"{reference.name}@{entry['digest']}"
