"""Certificate authorities that this machine trusts beyond Debian's stock: a proxy that re-signs TLS, a company's own.

Containers made here must trust what the machine trusts, or nothing could be installed while an image is built
behind such a proxy.
"""

import hashlib
import os
import re
import ssl
from collections.abc import Iterable, Iterator
from pathlib import Path

STOCK = Path("/usr/share/ca-certificates")
LOCAL = Path("/usr/local/share/ca-certificates")
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def extra_certificates(bundle: Path | None, stock: Path = STOCK, local: Path = LOCAL) -> dict[str, str]:
    """Returns the trusted certificates that Debian's package `ca-certificates` does not carry.

    Args:
        bundle: file of all certificates that the machine trusts; None when it has none.
        stock: folder of the certificates of the package. Where it is missing there is nothing to compare
            with, and only `local` counts.
        local: folder of the certificates that the machine's administrator added.

    Returns:
        File name ending in `.crt` -> one certificate in PEM, in an order that depends on contents only.
    """
    found = set(_certificates(local.rglob("*.crt")))
    if bundle is not None and stock.is_dir():
        found |= set(_certificates([bundle])) - set(_certificates(stock.rglob("*.crt")))
    names = {f"machine-{hashlib.sha256(pem.encode()).hexdigest()[:12]}.crt": pem for pem in found}
    return dict(sorted(names.items()))


def trusted_bundle() -> Path | None:
    """Returns the file of certificates that programs on this machine trust, or None."""
    candidates = [
        os.environ.get("SSL_CERT_FILE"),
        ssl.get_default_verify_paths().cafile,
        "/etc/ssl/certs/ca-certificates.crt",
    ]
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    return None


def _certificates(files: Iterable[Path]) -> Iterator[str]:
    """Yields each certificate of PEM files, re-encoded so that equal ones compare equal."""
    for file in files:
        for pem in _PEM.findall(file.read_text(errors="replace")):
            yield ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(pem))
