"""What creating, reading and deleting an `Image` does, on checked inputs and states in the names of the wire."""

from collections.abc import Callable
from typing import Any

from offline.docker_build import ecr
from offline.docker_build.build import Builder
from offline.docker_build.context_hash import hash_context
from offline.docker_build.inputs import context_location, dockerfile_of, is_loaded, is_pushed
from offline.docker_build.reference import (
    Reference,
    host_of,
    is_local,
    is_qualified,
    local_name,
    parse,
    registry_address,
)
from offline.docker_build.registry_api import Manifest, delete_manifest, get_manifest

COMPUTED = ("contextHash", "digest", "ref")


def context_hash(inputs: dict[str, Any]) -> str:
    """Returns the hash of everything that the build reads from disk."""
    dockerfile = dockerfile_of(inputs)
    return hash_context(context_location(inputs), dockerfile.text, dockerfile.path)


def make(
    builder: Builder,
    inputs: dict[str, Any],
    registries: list[dict[str, str]],
    *,
    preview: bool,
    on_line: Callable[[str], None],
) -> dict[str, Any]:
    """Builds the image and, unless this is a preview, pushes or loads it under its tags.

    Args:
        builder: runs the build.
        inputs: checked inputs without unknowns.
        registries: log-ins, the provider's and the image's own.
        preview: whether the image is only built, to find out whether it can be.
        on_line: receives each line of the build's output.

    Returns:
        The computed outputs.

    Raises:
        BuildError: the build or the push failed.
        PushRefusedError: the emulated ECR takes no such image.
    """
    digest_of_context = context_hash(inputs)
    tags = list(inputs.get("tags") or [])
    loaded = is_loaded(inputs) and not preview
    foreign = [r for r in registries if not is_local(_real_address(r))]
    image_id = builder.build(inputs, tags=tags if loaded else [], registries=foreign, on_line=on_line)
    outputs = {"contextHash": digest_of_context, "digest": "", "ref": tags[0] if tags else ""}
    if preview:
        return outputs
    if is_pushed(inputs):
        digests = [_push(builder, image_id, parse(tag), registries) for tag in tags]
        return {**outputs, "digest": digests[0], "ref": f"{tags[0]}@{digests[0]}"}
    if not loaded:
        return outputs
    # As the real provider does. `name@digest` is for registries: an engine finds its own images by tag or by id.
    qualified = next((tag for tag in tags if is_qualified(tag)), None)
    return {**outputs, "digest": image_id, "ref": f"{qualified}@{image_id}" if qualified else outputs["ref"]}


def present_tags(tags: list[str], digest: str) -> list[str]:
    """Returns those tags of a pushed image whose registry still has it.

    A registry that is not on this machine is not asked: its tags count as present.
    """
    return [tag for tag in tags if _is_present(parse(tag), digest)]


def remove(tags: list[str], digest: str) -> list[str]:
    """Deletes a pushed manifest from the local registry, with its tags in the emulated ECR.

    Returns:
        The tags that stay, because their registry is not on this machine.
    """
    left = []
    for tag in tags:
        reference = parse(tag)
        address = registry_address(reference)
        if not is_local(address):
            left.append(tag)
            continue
        if reference.ecr and ecr.is_emulated():
            ecr.forget(ecr.client(reference.ecr), reference)
        delete_manifest(address, reference.repository, digest)
    return left


def _push(builder: Builder, image_id: str, reference: Reference, registries: list[dict[str, str]]) -> str:
    """Pushes to one tag and returns the manifest's digest."""
    address = registry_address(reference)
    if not is_local(address):
        login = next((r for r in registries if host_of(r["address"]) == reference.host), None)
        return builder.push(image_id, local_name(reference), reference.tag, login)
    present = get_manifest(address, reference.repository, reference.tag)
    same = present is not None and _is_image(present, image_id)
    emulated = ecr.client(reference.ecr) if reference.ecr and ecr.is_emulated() else None
    if emulated is not None:
        _forget_stale(emulated, reference, address)
        ecr.check_push(emulated, reference, present.digest if present and same else None)
    if present is None or not same:
        digest = builder.push(image_id, local_name(reference), reference.tag, None)
        present = get_manifest(address, reference.repository, digest)
        if present is None:
            raise OSError(f"{address} has no manifest {digest} of {reference.repository} right after its push")
    if emulated is not None:
        ecr.record(emulated, reference, present)
    return present.digest


def _forget_stale(emulated: Any, reference: Reference, address: str) -> None:
    """Takes a tag out of the emulated ECR whose manifest the registry has lost: nobody could pull it."""
    listed = ecr.tagged_digest(emulated, reference)
    if listed and get_manifest(address, reference.repository, listed) is None:
        ecr.forget(emulated, reference)


def _real_address(registry: dict[str, str]) -> str:
    return registry_address(Reference(host_of(registry["address"]), "", ""))


def _is_image(manifest: Manifest, image_id: str) -> bool:
    """Says whether a manifest is that of an image in the engine.

    An engine names an image by the digest of its configuration, or of its manifest where it keeps images in
    containerd's store.
    """
    return image_id in (manifest.digest, manifest.content.get("config", {}).get("digest"))


def _is_present(reference: Reference, digest: str) -> bool:
    address = registry_address(reference)
    if not is_local(address):
        return True
    manifest = get_manifest(address, reference.repository, reference.tag)
    if manifest is None or manifest.digest != digest:
        return False
    if reference.ecr and ecr.is_emulated():
        return ecr.tagged_digest(ecr.client(reference.ecr), reference) == digest
    return True
