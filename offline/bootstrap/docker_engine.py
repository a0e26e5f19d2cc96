"""The Docker engine: the one that runs, else Debian's, started here."""

import functools
import os
import shutil
from pathlib import Path

from offline.bootstrap import debian
from offline.bootstrap.console import BootstrapError, output_of, say
from offline.bootstrap.layout import Layout
from offline.bootstrap.pulumi_cli import parse_version
from offline.bootstrap.servers import Server

# docker-cli and docker-buildx are packages of their own from Debian 13 and Ubuntu 24.04 on.
_PACKAGES = ("docker.io", "docker-cli", "docker-buildx", "containerd", "runc", "iptables")
_START_SECONDS = 60.0
_INFO_SECONDS = 20.0
# Older clients have BuildKit built in; newer ones need the buildx plugin for it.
_BUILDX_SINCE = (23, 0, 0)


def server(layout: Layout) -> Server:
    """Returns the engine of this checkout, which runs only where the machine had none running."""
    return Server("dockerd", layout.run)


def prepare(layout: Layout, mirror: str) -> str:
    """Makes sure that an engine runs and that `.toolchain/bin/docker` is a client that has BuildKit.

    Args:
        layout: the checkout.
        mirror: URL of the registry that an engine started here asks before the public one.

    Returns:
        Path of the client.

    Raises:
        BootstrapError: no engine runs and none can be started.
    """
    client = find_client(layout)
    if client is None or (not is_running(client) and shutil.which("dockerd") is None):
        fault = _silence(client)
        debian.install(_PACKAGES, purpose=f"docker engine: {fault}", log=layout.run / "apt.log")
        client = find_client(layout)
    if client is None:
        raise BootstrapError("docker: no client with BuildKit on PATH (Debian's packages docker-cli, docker-buildx)")
    link = layout.bin / "docker"
    if not link.is_symlink() or str(link.readlink()) != client:
        layout.bin.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(client)
    if not is_running(client):
        _start(layout, client, mirror)
    return client


def find_client(layout: Layout) -> str | None:
    """Returns the first `docker` on the machine that can build with BuildKit, or None."""
    folders = [*os.environ.get("PATH", "").split(os.pathsep), "/usr/bin"]
    for folder in dict.fromkeys(folders):
        path = Path(folder, "docker")
        if folder and Path(folder) != layout.bin and os.access(path, os.X_OK) and _has_buildkit(str(path)):
            return str(path)
    return None


def is_running(client: str) -> bool:
    """Says whether the engine answers this client."""
    return output_of([client, "info", "--format", "{{.ServerVersion}}"], timeout=_INFO_SECONDS) not in (None, "")


def mirrors(client: str) -> list[str]:
    """Returns the URLs that the engine asks before the public registry, without a final slash."""
    text = output_of([client, "info", "--format", "{{range .RegistryConfig.Mirrors}}{{println .}}{{end}}"])
    return [line.rstrip("/") for line in (text or "").split()]


@functools.cache
def _has_buildkit(client: str) -> bool:
    version = parse_version(output_of([client, "--version"]) or "")
    if version is None:
        return False
    return version < _BUILDX_SINCE or output_of([client, "buildx", "version"]) is not None


def _silence(client: str | None) -> str:
    if client is None:
        return "there is no docker client with BuildKit"
    return f"{client} info gets no answer, and dockerd is not on PATH"


def _start(layout: Layout, client: str, mirror: str) -> None:
    if os.geteuid() != 0:
        raise BootstrapError(
            f"docker engine: {client} info gets no answer, and only root can start dockerd; "
            "start it, or add your user to the group docker"
        )
    say("starting the Docker engine (about 5 s) ...")
    server(layout).start(
        [
            "dockerd",
            "--pidfile",
            str(layout.run / "dockerd.pid"),
            "--data-root",
            str(layout.toolchain / "docker"),
            "--registry-mirror",
            mirror,
        ],
        ready=lambda: is_running(client),
        seconds=_START_SECONDS,
    )
