"""Programs that tests run on the host itself, beside the Docker engine."""

import shutil

from offline.bootstrap import debian
from offline.bootstrap.layout import Layout

PACKAGES = {"ip": "iproute2", "nft": "nftables", "nsenter": "util-linux", "openssl": "openssl"}
"""Program -> Debian's package of it."""


def prepare(layout: Layout) -> None:
    """Installs those that are missing.

    Raises:
        BootstrapError: they cannot be installed here.
    """
    missing = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
    if missing:
        debian.install(missing, purpose="tests", log=layout.run / "apt.log")
