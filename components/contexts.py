"""Build contexts: the folders under `images/`, and what their content is."""

import hashlib
import os
import stat
from pathlib import Path

IMAGES = Path(__file__).resolve().parent.parent / "images"


def location(image: str) -> str:
    """Folder of an image's context, relative to the program's own folder.

    Relative, since the path is an input of the build: an absolute one would differ from clone to clone and rebuild.
    """
    return os.path.relpath(IMAGES / image)


def content_hash(image: str) -> str:
    """Hash over the sorted paths, modes and contents of an image's context; never times."""
    root = IMAGES / image
    digest = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        mode = f"{stat.S_IMODE(path.stat().st_mode):o}".encode()
        content = hashlib.sha256(path.read_bytes()).digest()
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + mode + b"\0" + content)
    return digest.hexdigest()
