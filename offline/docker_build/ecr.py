"""Keeps the emulated ECR in step with the registry behind it: the emulator itself stores no image."""

import os
from typing import Any

from offline.docker_build.reference import EcrHost, Reference
from offline.docker_build.registry_api import Manifest

_MUTABLE = "MUTABLE"


class PushRefusedError(Exception):
    """ECR takes no such image; the message is its own."""


def is_emulated() -> bool:
    """Says whether there is an emulated AWS to keep in step."""
    return bool(os.environ.get("AWS_ENDPOINT_URL"))


def client(host: EcrHost) -> Any:
    """Returns the boto3 client for a registry's region."""
    import boto3

    return boto3.client("ecr", region_name=host.region)


def check_push(ecr: Any, reference: Reference, digest: str | None) -> None:
    """Refuses a push as ECR would.

    Args:
        ecr: the client.
        reference: the tag to push to.
        digest: digest of what is pushed; None when it differs from what the tag has, or is not known.

    Raises:
        PushRefusedError: no such repository, or the tag exists, has other content and is immutable.
    """
    try:
        repository = ecr.describe_repositories(repositoryNames=[reference.repository])["repositories"][0]
    except ecr.exceptions.RepositoryNotFoundException as error:
        raise PushRefusedError(error.response["Error"]["Message"]) from error
    present = tagged_digest(ecr, reference)
    if present is None or present == digest or repository.get("imageTagMutability") == _MUTABLE:
        return
    raise PushRefusedError(
        f"the image tag {reference.tag!r} already exists in the {reference.repository!r} repository and cannot be "
        f"overwritten because the tag is immutable (it is {present})"
    )


def tagged_digest(ecr: Any, reference: Reference) -> str | None:
    """Returns the digest that a tag has in the emulated ECR, or None when there is no such tag or repository."""
    missing = (ecr.exceptions.ImageNotFoundException, ecr.exceptions.RepositoryNotFoundException)
    try:
        images = ecr.describe_images(repositoryName=reference.repository, imageIds=[{"imageTag": reference.tag}])[
            "imageDetails"
        ]
    except missing:
        return None
    return str(images[0]["imageDigest"]) if images else None


def record(ecr: Any, reference: Reference, manifest: Manifest) -> None:
    """Enters a pushed manifest under its tag."""
    if tagged_digest(ecr, reference) == manifest.digest:
        return
    ecr.put_image(
        repositoryName=reference.repository,
        imageManifest=manifest.data.decode(),
        imageManifestMediaType=manifest.media_type,
        imageTag=reference.tag,
        imageDigest=manifest.digest,
    )


def forget(ecr: Any, reference: Reference) -> None:
    """Deletes a tag; one that is gone already, or whose repository is, is fine."""
    try:
        ecr.batch_delete_image(repositoryName=reference.repository, imageIds=[{"imageTag": reference.tag}])
    except ecr.exceptions.RepositoryNotFoundException:
        return
