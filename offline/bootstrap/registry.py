"""The image registry (Debian's `docker-registry`): stands behind the emulated ECR, and mirrors the base image."""

import json
import shutil
import urllib.request

from offline.bootstrap import debian
from offline.bootstrap.layout import Layout
from offline.bootstrap.servers import Server

DEFAULT_PORT = 5500
_START_SECONDS = 20.0
_ANSWER_SECONDS = 2.0


def server(layout: Layout) -> Server:
    """Returns the registry of this checkout."""
    return Server("registry", layout.run)


def address(port: int) -> str:
    """Returns the registry's `host:port`; engines trust a loopback address without TLS."""
    return f"127.0.0.1:{port}"


def prepare(layout: Layout) -> str:
    """Makes sure that the registry runs, and returns its address.

    Raises:
        BootstrapError: it is not installed and cannot be, or does not start.
    """
    registry = server(layout)
    record = registry.running()
    if record is not None:
        return address(record.port)
    if shutil.which("docker-registry") is None:
        debian.install(["docker-registry"], purpose="image registry", log=layout.run / "apt.log")
    port = registry.choose_port(DEFAULT_PORT)
    config = layout.run / "registry.yml"
    config.parent.mkdir(parents=True, exist_ok=True)
    # JSON is YAML.
    config.write_text(
        json.dumps(
            {
                "version": 0.1,
                "log": {"level": "warn", "accesslog": {"disabled": True}},
                "storage": {"filesystem": {"rootdirectory": str(layout.registry)}, "delete": {"enabled": True}},
                "http": {"addr": address(port)},
            }
        )
    )
    registry.start(
        ["docker-registry", "serve", str(config)],
        port=port,
        ready=lambda: _answers(port),
        seconds=_START_SECONDS,
    )
    return address(port)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address(port)}/v2/", timeout=_ANSWER_SECONDS):
            return True
    except OSError:
        return False
