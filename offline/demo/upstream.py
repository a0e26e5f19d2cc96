"""A container that plays api.example.com: the example host is really reached, without the Internet too."""

from collections.abc import Iterator
from contextlib import contextmanager

from docker import DockerClient

from offline.model_api.container import remove

HOST = "api.example.com"
# `openssl` is in every image of ours: Debian's ca-certificates needs it. The probe judges no certificate.
SERVE = (
    f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN={HOST} "
    "-keyout /tmp/key -out /tmp/certificate 2>/dev/null "
    "&& exec openssl s_server -quiet -accept 443 -key /tmp/key -cert /tmp/certificate -www"
)


@contextmanager
def upstream(engine: DockerClient, image: str, network: str, name: str) -> Iterator[None]:
    """The stand-in, until the end of the block.

    Args:
        engine: Where.
        image: Of a session.
        network: Name of the one that the gateway resolves and connects in.
        name: Of the container; one that a killed run left under this name is removed.
    """
    remove(engine, name)
    container = engine.containers.create(
        image,
        ["sh", "-c", SERVE],
        name=name,
        user="10001:10001",
        cap_drop=["ALL"],
        read_only=True,
        tmpfs={"/tmp": "mode=1777"},
        sysctls={"net.ipv4.ip_unprivileged_port_start": "0"},
        security_opt=["no-new-privileges"],
        network=network,
        mem_limit="64m",
        init=True,
    )
    try:
        joined = engine.networks.get(network)
        joined.disconnect(container)
        joined.connect(container, aliases=[HOST])
        container.start()
        yield
    finally:
        container.remove(force=True, v=True)
