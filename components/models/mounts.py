"""What is put into a session's container before its agent starts."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from components.models.errors import Model, Problem, show


def _mount_path(value: str) -> str:
    parts = value.split("/")
    if parts[:2] != ["", "workspace"] or len(parts) < 3 or {"", ".", ".."} & set(parts[2:]) or not value.isprintable():
        raise ValueError("must lie below /workspace, without . and .. in it. Fix: write it like /workspace/report.csv")
    return value


MountPath = Annotated[str, AfterValidator(_mount_path), StringConstraints(max_length=1024)]


def _repository(value: str) -> str:
    _, owner, name = value.rsplit("/", 2)
    if owner in (".", "..") or name.removesuffix(".git") in ("", ".", ".."):
        raise ValueError("names no repository. Fix: write it like https://github.com/OWNER/REPOSITORY")
    return value


def _file_id(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", value):
        raise ValueError("is not the id of an uploaded file. Fix: write it like file_011CNha8iCJcU1wXNR6q4V8w")
    return value


class FileMount(Model):
    """An uploaded file put into the container before the agent starts (wire: a session's `file` resource)."""

    type: Literal["file"]
    file_id: Annotated[str, AfterValidator(_file_id)]
    mount_path: MountPath | None = None

    @property
    def target(self) -> str:
        """Where it is put."""
        return self.mount_path or f"/workspace/{self.file_id}"


class RepositoryMount(Model):
    """A GitHub repository put into the container (wire: a session's `github_repository` resource)."""

    type: Literal["github_repository"]
    url: Annotated[
        str,
        StringConstraints(pattern=r"^https://github\.com/[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$"),
        AfterValidator(_repository),
    ]
    checkout: Annotated[str, StringConstraints(max_length=255, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$")] | None = None
    mount_path: MountPath | None = None

    @property
    def target(self) -> str:
        """Where it is put."""
        return self.mount_path or f"/workspace/{self.url.rpartition('/')[2].removesuffix('.git')}"


Mount = Annotated[FileMount | RepositoryMount, Field(discriminator="type")]


def file_requests(mounts: Sequence[Mount]) -> tuple[str, ...]:
    """What is asked of the model's API for the uploaded files among these."""
    files = dict.fromkeys(mount.file_id for mount in mounts if isinstance(mount, FileMount))
    return tuple(f"GET /v1/files/{file}/content" for file in files)


def mount_problems(mounts: Sequence[Mount], *, has_route: bool, has_command: bool) -> list[Problem]:
    """What is wrong with the mounts of one session.

    Args:
        mounts: All of them.
        has_route: Whether the session reaches the model's API by its gateway, which files are fetched from.
        has_command: Whether a program of the team's own runs instead of the agent runner, which mounts.
    """
    if mounts and has_command:
        return [
            Problem(
                "mounts",
                show(list(mounts)),
                "the agent runner mounts, and a command of your own runs instead of it",
                "remove them, and have the command fetch what it needs",
            )
        ]
    found = []
    targets = [one.target for one in mounts]
    for index, one in enumerate(mounts):
        if isinstance(one, FileMount) and not has_route:
            found.append(
                Problem(
                    f"mounts[{index}].file_id",
                    show(one.file_id),
                    "files are fetched by the route to the model's API, and the session has none",
                    "add a secret ANTHROPIC_API_KEY with inject",
                )
            )
        if one.target in targets[:index]:
            found.append(
                Problem(
                    f"mounts[{index}].mount_path",
                    show(one.target),
                    "another mount of this session lies there already",
                    "give each mount a mount_path of its own",
                )
            )
    return found
