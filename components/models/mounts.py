"""What is put into a session's container before its agent starts."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from components.models.errors import Model


def _mount_path(value: str) -> str:
    parts = value.split("/")
    if parts[:2] != ["", "workspace"] or len(parts) < 3 or {"", ".", ".."} & set(parts[2:]) or not value.isprintable():
        raise ValueError("must lie below /workspace, without . and .. in it. Fix: write it like /workspace/report.csv")
    return value


MountPath = Annotated[str, AfterValidator(_mount_path), StringConstraints(max_length=1024)]


class FileMount(Model):
    """An uploaded file put into the container before the agent starts (wire: a session's `file` resource)."""

    type: Literal["file"]
    file_id: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    mount_path: MountPath | None = None


class RepositoryMount(Model):
    """A GitHub repository put into the container (wire: a session's `github_repository` resource)."""

    type: Literal["github_repository"]
    url: Annotated[str, StringConstraints(pattern=r"^https://github\.com/[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$")]
    checkout: Annotated[str, StringConstraints(max_length=255, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$")] | None = None
    mount_path: MountPath | None = None


Mount = Annotated[FileMount | RepositoryMount, Field(discriminator="type")]
