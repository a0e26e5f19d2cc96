"""A session that stays up on a Docker host: its fence, its container, and what relays its ports."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_docker as docker

from components.docker.container import NO_MASQUERADE, bridge, container, volume
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
    state = _state(environment, parent, name, session)
    kept = next(iter(state), None)
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
        state_volume=kept,
    )
    # Its first request should find a gateway that answers.
    after = child_of(parent, environment.gateway.ready)
    # What has ended after a time without work is as it should be: otherwise a refresh would take it for lost.
    stays = session.idle_timeout is None
    container(name, plan, environment.image(session).id, after, joins=fence, volumes=state, must_run=stays)
    if session.ports and environment.networking == "limited":
        _relay(environment, parent, name, session)
    return {
        "container": plan.name,
        "fence": fence_plan.name,
        "network": placed.name,
        "address": str(placed.addresses.session),
        "ports": {str(port): f"{LOOPBACK}:{port}" for port in session.ports},
        **({"state_volume": kept} if kept else {}),
    }


def _state(
    environment: "DockerEnvironment", parent: pulumi.Resource, name: str, session: Session
) -> dict[str, docker.Volume]:
    """The volume with the conversations of a service that ends after a time without work, by its name on the engine.

    It outlives the session and the stack: what was said in it is the team's to delete. A session that comes back under
    its name finds it, since an engine makes no second volume of one name.
    """
    if session.idle_timeout is None:
        return {}
    physical = f"{environment.services[session.name].name}_state"
    labels = environment.labels(Role.SESSION, session.name)
    # The engine cannot label a volume anew, and one that is replaced would be the old one again.
    opts = pulumi.ResourceOptions(parent=parent, retain_on_delete=True, ignore_changes=["labels"])
    return {physical: volume(f"{name}-state", physical, labels, opts)}


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
