"""What the demo's stack file names on this machine: a key for the played model, and an authority for its host."""

import os
import secrets
from pathlib import Path

from docker import DockerClient
from docker.types import Mount

from components.plans.image import GATEWAY_UID
from offline.model_api.authority import Authority

KEY = Path("/etc/agentenv/demo-model-key")


class NotPrepared(Exception):  # noqa: N818 - reads as what it is
    """The key cannot be put where the stack file says; the message says what to type."""


def prepare(key: Path = KEY) -> None:
    """Make what is not there yet; what is there stays, since a changed file would be another container.

    Raises:
        NotPrepared: This user may not write there.
    """
    Authority.shared()
    if _is_ready(key):
        return
    try:
        key.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        # Whole or not at all: a gateway reads it as soon as it is there.
        unfinished = key.with_name(f".{key.name}.new")
        unfinished.touch(0o600)
        unfinished.write_text(f"demo-{secrets.token_hex(16)}\n")
        os.chown(unfinished, GATEWAY_UID, GATEWAY_UID)
        unfinished.chmod(0o400)
        unfinished.replace(key)
    except OSError as error:
        raise NotPrepared(
            f"{key} cannot be written ({error.strerror}), and the demo's gateway reads a key there. Fix: "
            f"head -c 16 /dev/urandom | base64 | sudo install -D -o {GATEWAY_UID} -m 0400 /dev/stdin {key}"
        ) from None


def value(engine: DockerClient, image: str, source: str) -> str:
    """The key, read by the engine as a gateway reads it: this user may not be allowed to.

    Args:
        engine: Where the file is.
        image: Of a gateway.
        source: `file:` and its path, as a stack file has it.
    """
    place = "/run/model-key"
    content: bytes = engine.containers.run(
        image,
        ["cat", place],
        user=f"{GATEWAY_UID}:{GATEWAY_UID}",
        mounts=[Mount(place, source.removeprefix("file:"), type="bind", read_only=True)],
        network_mode="none",
        remove=True,
    )
    return content.decode().removesuffix("\n")


def _is_ready(key: Path) -> bool:
    try:
        found = key.stat()
    except OSError:
        return False
    return found.st_uid == GATEWAY_UID and found.st_size > 0
