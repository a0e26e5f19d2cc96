"""Packages of a Debian or Ubuntu machine that the set-up may install when it runs as root."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from offline.bootstrap.console import BootstrapError, output_of, run


def can_install() -> bool:
    """Says whether packages can be installed here: `apt-get` is there and this is root."""
    return shutil.which("apt-get") is not None and os.geteuid() == 0


def install(packages: Iterable[str], *, purpose: str, log: Path) -> None:
    """Installs packages by apt.

    Args:
        packages: names; one that this release does not have is left out.
        purpose: what they are for, named in the error.
        log: file that receives apt's output.

    Raises:
        BootstrapError: not root, no apt, or apt failed.
    """
    wanted = list(packages)
    if not can_install():
        raise BootstrapError(
            f"{purpose}: needs {' '.join(wanted)}, and this is not root on Debian or Ubuntu; "
            f"install them, for example: sudo apt-get install {' '.join(wanted)}"
        )
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-q"], what="reading the package lists", takes="about 10 s", log=log, env=env)
    known = [name for name in wanted if output_of(["apt-cache", "show", name])]
    run(
        ["apt-get", "install", "-y", "-q", "--no-install-recommends", *known],
        what=f"installing {' '.join(known)}",
        takes="10-60 s",
        log=log,
        env=env,
    )
