"""The egress gateway of an environment on a Docker host."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
import pulumi_docker as docker

from components.contexts import content_hash
from components.docker.container import bridge, container, volume
from components.docker.images import PLATFORMS
from components.docker.scope import child_of, dns_label, egress_of
from components.models.tags import Role
from components.plans.docker import (
    Attachment,
    SessionNetwork,
    anchor_container,
    gateway_container,
    writer_container,
)
from components.plans.docker.containers import INCOMING
from components.plans.egress import canonical, policy_hash
from components.plans.image import ImagePlan, gateway_image

if TYPE_CHECKING:
    from components.docker.environment import DockerEnvironment


EGRESS_PREFIX = "agentenv-egress"
"""A container's way to the outside is the network whose name sorts first. The hyphen does so before the underscore of
every other declared network's name, and the word before the `run` of a run's."""


@dataclass(frozen=True)
class Placed:
    """A network that was made.

    Attributes:
        resource: The network.
        name: Its name on the engine.
        addresses: Its addresses.
    """

    resource: docker.Network
    name: str
    addresses: SessionNetwork


class Gateway(pulumi.ComponentResource):
    """The one way out of an environment.

    Its network namespace, its program and its policy are apart, so that each changes without the others: the anchor
    with the environment's services, the program with its image, the policy with whatever sessions declare.

    Attributes:
        anchor: Name of the container that owns the namespace: what the network of a run is connected to.
        container: Name of the container with the program.
        egress: Name of the network by which it reaches the outside.
        image: Name of its image.
        ready: What must stand before a session starts.
        policy_hash: Hash of the policy in force.
    """

    policy_hash: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        environment: "DockerEnvironment",
        services: Sequence[Placed],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Place it on the networks of these services."""
        super().__init__("agent-environments:docker:Gateway", name, {}, opts)
        self._name, self._environment, self._scope = name, environment, environment.scope
        declared = environment.environment.name
        self.egress = "_".join((EGRESS_PREFIX, dns_label(self._scope.deployment), dns_label(declared)))
        self.anchor = self._scope.name(declared, "anchor")
        self.container = self._scope.name(declared, "gateway")
        self._policy_volume, self._state_volume = (
            self._scope.name(declared, "policy"),
            self._scope.name(declared, "state"),
        )
        anchor = self._anchor(services)
        image = environment.runtime.images.image("gateway", self._image(), environment.runtime.engine.architecture)
        self.image = image.ref
        policy, state = self._volume("policy", self._policy_volume), self._volume("state", self._state_volume)
        volumes = {self._policy_volume: policy, self._state_volume: state}
        writer = self._writer(image.id, volumes)
        plan = gateway_container(
            name=self.container,
            image="",
            anchor=self.anchor,
            policy_volume=self._policy_volume,
            state_volume=self._state_volume,
            secrets=environment.route_files,
            labels=environment.labels(Role.GATEWAY),
        )
        # The writer goes first, so that there is a policy to start with; another policy makes no other gateway.
        after = child_of(self, writer)
        self.ready: docker.Container = container(name, plan, image.id, after, joins=anchor, volumes=volumes)
        digest = policy_hash(environment.policy_document)
        self.policy_hash = pulumi.Output.all(writer.exit_code, writer.container_logs).apply(
            lambda ended: in_force(declared, digest, *ended)
        )
        self.register_outputs({"policyHash": self.policy_hash})

    def _anchor(self, services: Sequence[Placed]) -> docker.Container:
        environment, scope = self._environment, self._scope
        addresses = scope.networks[egress_of(environment.environment.name)]
        network = bridge(
            f"{self._name}-egress", self.egress, addresses, environment.labels(Role.GATEWAY), child_of(self)
        )
        plan = anchor_container(
            name=self.anchor,
            image="",
            range_=scope.stack.docker.range,
            egress=addresses,
            networks=[
                Attachment(self.egress, addresses.gateway),
                *(Attachment(service.name, service.addresses.gateway) for service in services),
            ],
            resolvers=environment.runtime.resolvers,
            labels=environment.labels(Role.FENCE),
        )
        attached = [network, *(service.resource for service in services)]
        image = environment.runtime.fence_image.id
        return container(f"{self._name}-anchor", plan, image, child_of(self), networks=attached)

    def _writer(self, image: pulumi.Input[str], volumes: Mapping[str, docker.Volume]) -> docker.Container:
        plan = writer_container(
            # Made before the one it replaces goes, so it has no name of its own.
            name="",
            image="",
            policy_volume=self._policy_volume,
            labels=self._environment.labels(Role.GATEWAY),
        )
        return container(
            f"{self._name}-policy",
            plan,
            image,
            pulumi.ResourceOptions(parent=self),
            volumes=volumes,
            uploads=[docker.ContainerUploadArgs(file=INCOMING, content=canonical(self._environment.policy_document))],
            attach=True,
            logs=True,
            must_run=False,
        )

    def _volume(self, key: str, physical: str) -> docker.Volume:
        return volume(f"{self._name}-{key}", physical, self._environment.labels(Role.GATEWAY), child_of(self))

    def _image(self) -> ImagePlan:
        environment, runtime = self._environment.environment, self._environment.runtime
        limited = environment.limited
        registries = limited is not None and limited.allow_package_managers
        return gateway_image(
            base=runtime.base_image,
            platform=PLATFORMS[runtime.engine.architecture],
            context_hash=content_hash("egress-gateway"),
            packages=environment.packages if registries else None,
            session_context_hash=content_hash("session") if registries else "",
            authorities=runtime.authorities,
        )


def in_force(environment: str, digest: str, code: int, logs: str) -> str:
    """`digest`, once the writer of the policy has ended well.

    Raises:
        pulumi.RunError: the gateway refused the policy; the one before it is still in force.
    """
    if code:
        raise pulumi.RunError(
            f"the gateway of environment {environment!r} did not take its policy, and still has the one before: "
            f"{' '.join(logs.split()) or f'exit code {code}'}"
        )
    return digest
