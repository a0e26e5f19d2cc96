"""Certificate authorities of a team's own, such as that of a mirror inside its network."""

import re
import ssl
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")
_ANY_BLOCK = re.compile(r"-----BEGIN [A-Z0-9 ]+-----")
SUFFIXES = (".pem", ".crt")
LONGEST = 65_536
"""Characters of PEM text."""


def certificates(pem: str) -> tuple[str, ...]:
    """The certificates of a PEM text, each as a PEM text of its own.

    Raises:
        ValueError: there is none, one is broken, or something else is among them; with rule and fix.
    """
    if len(pem) > LONGEST:
        raise ValueError(f"holds more than {LONGEST} characters. Fix: name only the authorities that are needed")
    found = tuple(block.strip() + "\n" for block in _CERTIFICATE.findall(pem))
    if not found or len(found) != len(_ANY_BLOCK.findall(pem)):
        raise ValueError(
            "must hold certificates in PEM form and nothing else, never a private key. Fix: write "
            "-----BEGIN CERTIFICATE----- ... -----END CERTIFICATE-----"
        )
    for block in found:
        try:
            ssl.create_default_context().load_verify_locations(cadata=block)
        except ssl.SSLError:
            raise ValueError(
                "holds a certificate that cannot be read. Fix: export it anew, as `openssl x509 -in FILE` prints it"
            ) from None
    return found


def is_path(source: str) -> bool:
    """Whether an entry names a file, rather than being PEM text."""
    return "-----BEGIN" not in source


def _authority(value: str) -> str:
    if not is_path(value):
        certificates(value)
        return value
    path = PurePosixPath(value)
    if not value.isprintable() or path.is_absolute() or ".." in path.parts or path.suffix not in SUFFIXES:
        raise ValueError(
            "must be PEM text, or a path from the project's folder that ends in .pem or .crt. Fix: write it like "
            "certificates/authority.pem"
        )
    return value


AuthoritySource = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST), AfterValidator(_authority)]
"""PEM text of one certificate or several, or the path of a file with it."""
