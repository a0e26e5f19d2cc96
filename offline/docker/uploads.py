"""Files that are put into a container before it starts."""

import base64
import io
import tarfile
import time
from pathlib import Path
from typing import Any


def archive(uploads: list[dict[str, Any]]) -> bytes:
    """Returns the tar archive that the engine unpacks at the container's root.

    Args:
        uploads: checked entries: `file`, one of `content`, `contentBase64` and `source`, and who may do what
            with it. As with the real provider a file is root's, and readable for all, unless they say otherwise.

    Raises:
        OSError: a `source` cannot be read.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for upload in uploads:
            content = _content(upload)
            entry = tarfile.TarInfo(upload["file"].lstrip("/"))
            entry.size = len(content)
            entry.mode = int(upload.get("permissions") or ("0744" if upload.get("executable") else "0644"), 8)
            entry.uid = int(upload.get("owner") or 0)
            entry.gid = int(upload.get("group") or 0)
            entry.mtime = int(time.time())
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _content(upload: dict[str, Any]) -> bytes:
    if upload.get("source"):
        return Path(upload["source"]).read_bytes()
    if upload.get("contentBase64"):
        return base64.b64decode(upload["contentBase64"])
    return str(upload["content"]).encode()
