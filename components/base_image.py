"""Pins the image that environments start from to its digest."""

from components.models.errors import InvalidInput


def pinned(reference: str) -> str:
    """`name:tag` as `name:tag@sha256:...`, by asking the registry through the Docker engine.

    A reference that carries a digest is returned as it is, without asking anyone.

    Raises:
        InvalidInput: no engine or no registry answers.
    """
    if "@sha256:" in reference:
        return reference
    # Imported here: a stack file that names the digest needs no engine, and the SDK takes a tenth of a second to load.
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=60)
        try:
            digest = client.images.get_registry_data(reference).id
        finally:
            client.close()
    except DockerException as error:
        raise InvalidInput.of(
            "base_image",
            reference,
            f"its digest cannot be found out: {str(error).splitlines()[0]}",
            f"start a Docker engine that reaches the registry, or write the digest: {reference}@sha256:...",
        ) from None
    return f"{reference}@{digest}"
