"""The language host and the resource plugins that the CLI of this checkout uses.

The language host is the machine's own where it came with the CLI, else the stand-in. The resource plugins in
this checkout's `PULUMI_HOME` are always the stand-ins: `.toolchain/env.sh` points at the emulated AWS, which
lacks calls that the real `aws` plugin makes and whose registry the real `docker-build` plugin cannot push to.
The machine's own Pulumi home is not touched, so real deployments go on using the real plugins.
"""

import re
import shlex
import stat
from pathlib import Path

from offline.bootstrap import pulumi_cli
from offline.bootstrap.console import BootstrapError, output_of, say
from offline.bootstrap.layout import Layout

_LANGUAGE_HOST = "pulumi-language-python"
# Pulumi package -> the stand-in's module.
STAND_INS = {"aws": "offline.aws", "docker": "offline.docker", "docker-build": "offline.docker_build"}


def prepare(layout: Layout) -> None:
    """Makes the Python language host and the resource plugins available to the CLI, unless they are.

    Raises:
        BootstrapError: the requirement file pins no version of a plugin's package.
    """
    if not pulumi_cli.is_bundled(layout, _LANGUAGE_HOST):
        _write_wrapper(layout, layout.bin / _LANGUAGE_HOST, "offline.language_host")
    for name, module in STAND_INS.items():
        version = pinned_version(layout.root / "requirements.txt", f"pulumi-{name}")
        # Where the CLI itself would install it: a plugin on PATH makes the engine warn at each run.
        home = layout.pulumi_home / "plugins" / f"resource-{name}-v{version}"
        _write_wrapper(layout, home / f"pulumi-resource-{name}", module)


def pinned_version(requirements: Path, package: str) -> str:
    """Returns the version that a hash-pinned requirement file has for a package."""
    found = re.search(rf"^{re.escape(package)}==(\S+)", requirements.read_text(), re.MULTILINE)
    if found is None:
        raise BootstrapError(f"{requirements} pins no {package}; make lock writes it")
    return found[1]


def cli_version(layout: Layout) -> str:
    """Returns what the CLI says of itself, for `status`."""
    return output_of([str(layout.bin / "pulumi"), "version"]) or "absent"


def _write_wrapper(layout: Layout, executable: Path, module: str) -> None:
    """Writes an executable that runs a module of the project under the virtual environment."""
    # -P: the engine starts plugins inside the program's folder, whose modules must not hide a package's.
    text = f'#!/bin/sh\nexec {shlex.quote(str(layout.python))} -P -m {module} "$@"\n'
    if executable.is_file() and executable.read_text() == text:
        return
    executable.parent.mkdir(parents=True, exist_ok=True)
    executable.write_text(text)
    executable.chmod(executable.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    say(f"stand-in: {executable.name} is {module} (see offline/README.md)")
