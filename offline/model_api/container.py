"""Plays api.anthropic.com on Docker networks: the stand-in, in a container, with a certificate of an own authority.

It runs from the image of an egress gateway, which has Python and aiohttp; its program and its certificate are put into
the container, and nothing is built.
"""

import io
import json
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path

from docker import DockerClient
from docker.errors import NotFound
from docker.models.containers import Container
from docker.models.networks import Network

from offline.model_api.authority import Authority

HOST = "api.anthropic.com"
FOLDER = "/opt/model-api"
STOP_SECONDS = 1
_START_SECONDS = 30
_PAUSE_SECONDS = 0.05
# What runs in the container; the rest of the package is for outside.
_MODULES = ("__init__", "__main__", "script", "server", "turns", "wire")


class ModelApiFailed(Exception):  # noqa: N818 - reads as what it is
    """The container ended, or did not begin to listen."""


class ModelApiContainer:
    """The container, made and not yet started.

    Attributes:
        container: As the engine has it.
    """

    def __init__(self, container: Container) -> None:
        self.container = container

    def start(self) -> None:
        """Start, or start again after `stop`; returns once it listens.

        Raises:
            ModelApiFailed: It does not within half a minute.
        """
        before = self._listened()
        self.container.start()
        deadline = time.monotonic() + _START_SECONDS
        while self._listened() == before:
            self.container.reload()
            if time.monotonic() > deadline or self.container.status in {"exited", "dead"}:
                raise ModelApiFailed(f"{self.container.name}: {self.container.logs().decode(errors='replace')}")
            time.sleep(_PAUSE_SECONDS)

    def stop(self) -> None:
        """The API is down: nobody answers at its address, until `start`."""
        self.container.stop(timeout=STOP_SECONDS)

    def requests(self) -> list[dict[str, object]]:
        """All requests so far, as `server.Received` has them."""
        return [line for line in self._lines() if "listening" not in line]

    def _listened(self) -> int:
        return sum("listening" in line for line in self._lines())

    def _lines(self) -> Iterator[dict[str, object]]:
        for line in self.container.logs(stdout=True, stderr=False).decode().splitlines():
            yield json.loads(line)


@contextmanager
def model_api(
    engine: DockerClient,
    image: str,
    networks: Sequence[str],
    authority: Authority,
    *,
    name: str,
    host: str = HOST,
    labels: Mapping[str, str] | None = None,
    expected_key: str | None = None,
    answers: Mapping[str, str] | None = None,
) -> Iterator[ModelApiContainer]:
    """The stand-in under the name of `host` on these networks, until the end of the block.

    Args:
        engine: Where.
        image: Of an egress gateway.
        networks: Their names. It takes the last address of each, so that it keeps them over `stop` and `start`: who
            has asked for the host's name need not ask again.
        authority: Issues its certificate.
        name: Of the container; one that a killed run left under this name is removed.
        host: Whom it plays.
        labels: Of the container.
        expected_key: The only API key that is taken; None: any.
        answers: Words -> the script for prompts with these words.
    """
    remove(engine, name)
    issued = authority.issue(host)
    command = ["python3", "-u", "-m", "offline.model_api", "--host", "0.0.0.0", "--port", "443"]
    command += ["--certificate", f"{FOLDER}/certificate.pem", "--key", f"{FOLDER}/key.pem"]
    if expected_key is not None:
        command += ["--expected-key", expected_key]
    files = {"certificate.pem": issued.certificate, "key.pem": issued.key}
    if answers:
        command += ["--answers", f"{FOLDER}/answers.json"]
        files["answers.json"] = json.dumps(dict(answers)).encode()
    container = engine.containers.create(
        image,
        command,
        name=name,
        labels=dict(labels or {}),
        working_dir=FOLDER,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        sysctls={"net.ipv4.ip_unprivileged_port_start": "0"},
        network=networks[0],
        mem_limit="256m",
        init=True,
    )
    try:
        # The key is of nothing but this container, which has one user.
        container.put_archive("/", _archive(files))
        engine.networks.get(networks[0]).disconnect(container)
        for network in networks:
            joined = engine.networks.get(network)
            joined.connect(container, aliases=[host], ipv4_address=_last_address(joined))
        api = ModelApiContainer(container)
        api.start()
        yield api
    finally:
        container.remove(force=True, v=True)


def remove(engine: DockerClient, name: str) -> None:
    """Remove the container of this name, if there is one."""
    try:
        engine.containers.get(name).remove(force=True, v=True)
    except NotFound:
        return


def _last_address(network: Network) -> str:
    attributes = network.attrs
    return str(IPv4Network(attributes["IPAM"]["Config"][0]["Subnet"])[-2])


def _archive(files: Mapping[str, bytes]) -> bytes:
    here = Path(__file__).parent
    contents = {f"offline/model_api/{module}.py": (here / f"{module}.py").read_bytes() for module in _MODULES}
    contents["offline/__init__.py"] = b""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in {**contents, **files}.items():
            entry = tarfile.TarInfo(f"{FOLDER}/{name}".lstrip("/"))
            entry.size, entry.mode, entry.mtime = len(content), 0o644, int(time.time())
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
