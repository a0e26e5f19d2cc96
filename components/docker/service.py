"""A session that stays up on a Docker host: its fence, its container, and what relays its ports."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pulumi

from components.docker.container import NO_MASQUERADE, bridge, container
from components.docker.scope import child_of, ingress_of
from components.models.session import Session
from components.models.tags import Role
from components.plans.docker import fence_container, forwarder_container, session_container
from components.plans.docker.container import LOOPBACK

if TYPE_CHECKING:
    from components.docker.environment import DockerEnvironment


def place_service(
    environment: "DockerEnvironment", parent: pulumi.Resource, name: str, session: Session
) -> Mapping[str, Any]:
    """The containers of `session`, on the network that its environment made for it."""
    scope, runtime = environment.scope, environment.runtime
    placed = environment.services[session.name]
    host = scope.stack.docker
    fence_plan = fence_container(
        name=f"{placed.name}_fence",
        image="",
        networking=environment.networking,
        network=placed.addresses,
        network_name=placed.name,
        labels=environment.labels(Role.FENCE, session.name),
        resolvers=runtime.resolvers,
        host_addresses=runtime.host_addresses,
        ports=session.ports,
        service=True,
    )
    fence = container(f"{name}-fence", fence_plan, runtime.fence_image.id, child_of(parent), networks=[placed.resource])
    plan = session_container(
        name=f"{placed.name}_session",
        image="",
        environment=environment.environment,
        session=session,
        network=placed.addresses,
        fence=fence_plan.name,
        labels=environment.labels(Role.SESSION, session.name),
        uid=scope.uids[session.name],
        isolation=host.runtime,
    )
    # Its first request should find a gateway that answers.
    after = child_of(parent, environment.gateway.ready)
    container(name, plan, environment.image(session).id, after, joins=fence)
    if session.ports and environment.networking == "limited":
        _relay(environment, parent, name, session)
    return {
        "container": plan.name,
        "fence": fence_plan.name,
        "network": placed.name,
        "address": str(placed.addresses.session),
        "ports": {str(port): f"{LOOPBACK}:{port}" for port in session.ports},
    }


def _relay(environment: "DockerEnvironment", parent: pulumi.Resource, name: str, session: Session) -> None:
    """A limited network publishes no port, so a container on a network of its own does."""
    placed, scope = environment.services[session.name], environment.scope
    addresses, ingress = scope.networks[ingress_of(session.name)], f"{placed.name}_ingress"
    labels = environment.labels(Role.FENCE, session.name)
    network = bridge(f"{name}-ingress", ingress, addresses, labels, child_of(parent), options=NO_MASQUERADE)
    plan = forwarder_container(
        name=f"{placed.name}_forwarder",
        image="",
        ingress=addresses,
        ingress_name=ingress,
        network=placed.addresses,
        network_name=placed.name,
        ports=session.ports,
        labels=labels,
    )
    container(
        f"{name}-forwarder",
        plan,
        environment.runtime.fence_image.id,
        child_of(parent),
        networks=[network, placed.resource],
    )
