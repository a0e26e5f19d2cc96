"""The virtual environment, filled from the hash-pinned requirement file."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

from offline.bootstrap import debian
from offline.bootstrap.console import BootstrapError, run, say
from offline.bootstrap.layout import Layout
from offline.bootstrap.stamps import digest_of, is_done, set_done

MINIMUM = (3, 11)


def prepare(layout: Layout) -> None:
    """Makes `.venv` and installs every pinned package and the project itself, unless that is done.

    Raises:
        BootstrapError: this Python is too old, or the installation failed.
    """
    if sys.version_info < MINIMUM:
        found = ".".join(map(str, sys.version_info[:3]))
        needed = ".".join(map(str, MINIMUM))
        raise BootstrapError(
            f"python: {found} ({sys.executable}): must be {needed} or newer; choose one with make PYTHON=python3.12"
        )
    requirements = layout.root / "requirements-dev.txt"
    digest = digest_of(requirements, _packaging(layout), sys.version, str(layout.root))
    stamp = layout.venv / "agent-environments.stamp"
    if is_done(stamp, digest) and layout.python.exists():
        return
    if not _venv_works(layout):
        _make_venv(layout)
    pip = [str(layout.python), "-m", "pip", "install", "--disable-pip-version-check"]
    run(
        [*pip, "--require-hashes", "-r", str(requirements)],
        what="installing the pinned Python packages into .venv",
        takes="1-2 min",
        log=layout.run / "pip.log",
    )
    # "compat" puts the project's root itself on the path: the rooms of the project are imported from there.
    run(
        [
            *pip,
            "--no-deps",
            "--no-build-isolation",
            "--config-settings",
            "editable_mode=compat",
            "-e",
            str(layout.root),
        ],
        what="installing the project itself, editable",
        takes="a few seconds",
        log=layout.run / "pip-project.log",
    )
    set_done(stamp, digest)


def _packaging(layout: Layout) -> str:
    """Returns what `pyproject.toml` says about the package itself; the tools' settings need no installation."""
    tables = tomllib.loads((layout.root / "pyproject.toml").read_text())
    return json.dumps([tables.get("build-system"), tables.get("project"), tables.get("tool", {}).get("setuptools")])


def _venv_works(layout: Layout) -> bool:
    """Says whether `.venv` is one of this Python's version and has pip."""
    code = "import pip, sys; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([layout.python, "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return done.returncode == 0 and done.stdout.split() == [str(part) for part in sys.version_info[:2]]


def _make_venv(layout: Layout) -> None:
    say(f"making the virtual environment .venv with {sys.executable}")
    if not _create(layout.venv):
        # Debian keeps ensurepip in a package of its own.
        version = ".".join(map(str, sys.version_info[:2]))
        debian.install([f"python{version}-venv"], purpose="making a virtual environment", log=layout.run / "apt.log")
        if not _create(layout.venv):
            raise BootstrapError(f"{sys.executable} -m venv {layout.venv} fails; run it to see why")


def _create(folder: Path) -> bool:
    command = [sys.executable, "-m", "venv", "--clear", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
