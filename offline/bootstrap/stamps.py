"""Remembers which inputs a step was last done for. By content, so that a checkout or a touch repeats nothing."""

import hashlib
from pathlib import Path


def digest_of(*parts: Path | str) -> str:
    """Returns the SHA-256 of files (their contents) and strings, in order."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part.encode()
        whole.update(hashlib.sha256(data).digest())
    return whole.hexdigest()


def is_done(stamp: Path, digest: str) -> bool:
    """Says whether the step of this stamp file was done for these inputs."""
    return stamp.is_file() and stamp.read_text() == digest


def set_done(stamp: Path, digest: str) -> None:
    """Records that the step of this stamp file is done for these inputs."""
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(digest)
