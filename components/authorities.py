"""The certificate authorities of a stack file, read from where it says."""

from pathlib import Path

from components.models.authorities import LONGEST, certificates, is_path
from components.models.errors import InvalidInput
from components.models.stack import Stack


def authorities(stack: Stack, project: Path) -> tuple[str, ...]:
    """PEM texts of `certificate_authorities`, in the order of the stack file.

    Args:
        stack: The stack file.
        project: Folder that paths in it start from.

    Raises:
        InvalidInput: a file cannot be read, or holds no certificates.
    """
    return tuple(_text(index, source, project) for index, source in enumerate(stack.certificate_authorities))


def _text(index: int, source: str, project: Path) -> str:
    if not is_path(source):
        return source
    at = f"certificate_authorities[{index}]"
    try:
        with (project / source).open() as stream:
            text = stream.read(LONGEST + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text"
        raise InvalidInput.of(
            at, source, f"cannot be read from {project} ({reason})", "name a PEM file in the project's folder"
        ) from None
    try:
        certificates(text)
    except ValueError as error:
        rule, _, fix = str(error).partition(" Fix: ")
        raise InvalidInput.of(at, source, rule, fix) from None
    return text
