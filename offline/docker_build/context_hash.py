"""The hash of a build's context: equal files give an equal hash, whenever and wherever they were written."""

import hashlib
import stat
from pathlib import Path


def hash_context(context: str, dockerfile: str, dockerfile_path: Path | None) -> str:
    """Returns the SHA-256 of everything that the build reads from the local disk.

    Args:
        context: folder of the build context, or a URL (hashed as such: it is fetched by the engine).
        dockerfile: text of the Dockerfile.
        dockerfile_path: where it is on disk, for its own ignore file; None for an inline one.

    Returns:
        64 hexadecimal digits over the sorted paths, the permissions and the contents; never over times and owners.
    """
    whole = hashlib.sha256()
    _add(whole, b"dockerfile", dockerfile.encode())
    if is_remote(context):
        _add(whole, b"remote", context.encode())
        return whole.hexdigest()
    root = Path(context)
    for path in included(root, dockerfile_path):
        file = root / path
        status = file.lstat()
        mode = f"{stat.S_IFMT(status.st_mode):o} {stat.S_IMODE(status.st_mode):o}"
        if file.is_symlink():
            content = str(file.readlink()).encode()
        elif file.is_file():
            with file.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").digest()
        else:
            content = b""
        _add(whole, path.encode(), mode.encode(), content)
    return whole.hexdigest()


def included(root: Path, dockerfile_path: Path | None) -> list[str]:
    """Returns the paths that the engine gets, relative to the context and sorted.

    As BuildKit does it, `<Dockerfile>.dockerignore` wins over `.dockerignore`.
    """
    # The rules of ignore files are intricate (order, exceptions, **): the Docker SDK has them.
    from docker.utils.build import exclude_paths

    own = dockerfile_path.with_name(f"{dockerfile_path.name}.dockerignore") if dockerfile_path else None
    ignore = own if own is not None and own.is_file() else root / ".dockerignore"
    patterns: list[str] = []
    if ignore.is_file():
        lines = (line.strip() for line in ignore.read_text().splitlines())
        patterns = [line for line in lines if line and not line.startswith("#")]
    return sorted(exclude_paths(str(root), patterns) - {"."})


def is_remote(context: str) -> bool:
    """Says whether a context is a URL, which the engine fetches itself."""
    return "://" in context or context.startswith("git@")


def _add(whole: "hashlib._Hash", *parts: bytes) -> None:
    """Adds parts with their lengths, so that no two different lists of parts run together to the same bytes."""
    for part in parts:
        whole.update(len(part).to_bytes(8, "big"))
        whole.update(part)
