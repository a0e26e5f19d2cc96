"""The network of a run on a Docker host: made on a free place, removed with what is on it."""

from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from itertools import islice
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.models.networks import Network
from docker.types import IPAMConfig, IPAMPool

from components.plans.docker import SessionNetwork, run_networks
from operate.docker_gateway import Gateway
from operate.failures import unreachable
from operate.outputs import DockerEnvironment

ATTEMPTS = 64
"""Free places are found by trying; this many taken ones in a row mean that the range is full."""
GATEWAY_MODE = "com.docker.network.bridge.gateway_mode_ipv4"
ISOLATED_SINCE = (1, 48)
"""API of engine 28, the first whose internal networks can be without an address of the host."""


def make_network(
    client: docker.DockerClient, environment: DockerEnvironment, name: str, labels: Mapping[str, str]
) -> SessionNetwork:
    """A network on a free place.

    Raises:
        Failure: no place is free.
        APIError: the engine refused.
    """
    for network in islice(run_networks(environment.range), ATTEMPTS):
        if _made(client, environment, name, network, labels):
            return network
    raise unreachable(
        f"No free network was found in {environment.range} in {ATTEMPTS} attempts. "
        "Fix: end runs, or use a wider docker.range."
    )


def _made(
    client: docker.DockerClient,
    environment: DockerEnvironment,
    name: str,
    network: SessionNetwork,
    labels: Mapping[str, str],
) -> bool:
    limited = environment.networking == "limited"
    version = tuple(int(part) for part in client.api.api_version.split("."))
    hostless = limited and version >= ISOLATED_SINCE
    pool = IPAMPool(subnet=str(network.subnet), gateway=None if hostless else str(network.bridge))
    try:
        client.api.create_network(
            name,
            driver="bridge",
            internal=limited,
            ipam=IPAMConfig(pool_configs=[pool]),
            options={GATEWAY_MODE: "isolated"} if hostless else None,
            labels=dict(labels),
        )
    except APIError as error:
        if "overlap" in str(error.explanation).lower():
            return False
        raise
    return True


def attach_gateway(client: docker.DockerClient, name: str, anchor: str, network: SessionNetwork) -> None:
    """Put the environment's gateway on the network."""
    # The stubs know neither this call nor its arguments.
    api: Any = client.api
    api.connect_container_to_network(anchor, name, ipv4_address=str(network.gateway))


def remove_network(network: Network, gateway: Gateway) -> None:
    """Remove a run's network, and whom the gateway let in from there."""
    network.reload()
    try:
        gateway.dismiss(source(network))
    finally:
        take_down(network)


def source(network: Network) -> IPv4Address:
    """Where the session of a run's network is."""
    return SessionNetwork(subnet(network)).session


def take_down(network: Network) -> None:
    """Remove a network, whatever is still on it."""
    network.reload()
    for container in list(network.attrs.get("Containers") or {}):
        detached(partial(network.disconnect, container, force=True))
    removed(network.remove)


def subnet(network: Network) -> IPv4Network:
    """Where a network is."""
    (pool,) = network.attrs["IPAM"]["Config"]
    return IPv4Network(pool["Subnet"])


def detached(detach: Callable[[], object]) -> None:
    """Call what takes a container off a network; that it is not on it is no fault."""
    try:
        removed(detach)
    except APIError as error:
        if "is not connected" not in str(error.explanation):
            raise


def removed(remove: Callable[[], object]) -> None:
    """Call what removes something; that it is gone already is no fault."""
    try:
        remove()
    except NotFound:
        return
    except APIError as error:
        # Another sweep, or the engine by itself, is at it.
        if "already in progress" not in str(error.explanation):
            raise
