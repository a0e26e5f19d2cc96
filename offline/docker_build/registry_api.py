"""The part of the OCI distribution API that the engine's own push lacks: manifests, for the local registry."""

import hashlib
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

_SECONDS = 30.0
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
_ACCEPTED = ", ".join(
    (
        "application/vnd.docker.distribution.manifest.v2+json",
        DOCKER_LIST,
        "application/vnd.oci.image.manifest.v1+json",
        OCI_INDEX,
    )
)


@dataclass(frozen=True)
class Manifest:
    """A manifest as the registry keeps it.

    Attributes:
        data: its bytes, of which the digest is the hash.
        media_type: what it is.
    """

    data: bytes
    media_type: str

    @property
    def digest(self) -> str:
        """`sha256:...` of the bytes."""
        return f"sha256:{hashlib.sha256(self.data).hexdigest()}"

    @property
    def content(self) -> dict[str, Any]:
        """The parsed document."""
        return dict(json.loads(self.data))


def get_manifest(address: str, repository: str, tag_or_digest: str) -> Manifest | None:
    """Returns a manifest of a local registry, or None when it has none by that name.

    Args:
        address: `host:port`.
        repository: path within the registry.
        tag_or_digest: which one.

    Raises:
        OSError: the registry gives no answer.
    """
    url = f"http://{address}/v2/{repository}/manifests/{tag_or_digest}"
    try:
        with _call(url, headers={"Accept": _ACCEPTED}) as response:
            return Manifest(response.read(), response.headers["Content-Type"])
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


def put_manifest(address: str, repository: str, tag: str, manifest: Manifest) -> None:
    """Stores a manifest under a tag; everything that it names must be in the repository already."""
    url = f"http://{address}/v2/{repository}/manifests/{tag}"
    with _call(url, "PUT", manifest.data, {"Content-Type": manifest.media_type}):
        return


def delete_manifest(address: str, repository: str, digest: str) -> None:
    """Deletes a manifest with all its tags; one that is gone already is fine."""
    try:
        with _call(f"http://{address}/v2/{repository}/manifests/{digest}", "DELETE"):
            return
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise


def get_blob(address: str, repository: str, digest: str) -> bytes:
    """Returns a blob, for example an image's configuration."""
    with _call(f"http://{address}/v2/{repository}/blobs/{digest}") as response:
        return bytes(response.read())


def mount_blob(address: str, repository: str, digest: str, source: str) -> None:
    """Makes a blob of the repository `source` available in `repository` of the same registry, without a copy."""
    with _call(f"http://{address}/v2/{repository}/blobs/uploads/?mount={digest}&from={source}", "POST", b""):
        return


def _call(url: str, method: str = "GET", data: bytes | None = None, headers: dict[str, str] | None = None) -> Any:
    # No proxy: the registry is on this machine, whatever the environment says about the world outside.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(urllib.request.Request(url, data, headers or {}, method=method), timeout=_SECONDS)
