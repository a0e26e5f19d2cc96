"""One environment on a Docker host: images, policy, gateway, and the catalogue of its sessions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pulumi

from components.contexts import content_hash
from components.docker.container import ISOLATED, bridge
from components.docker.gateway import Gateway, Placed
from components.docker.images import PLATFORMS, Built
from components.docker.scope import child_of, network_of
from components.docker.service import place_service
from components.models.environment import DeclaredEnvironment
from components.models.session import Architecture, Session
from components.models.tags import Role
from components.plans.docker.containers import SECRET_FILE, SECRETS
from components.plans.egress import Identity, egress_policy
from components.plans.image import session_image
from components.plans.network import GATEWAY_PORT

if TYPE_CHECKING:
    from components.docker.runtime import Docker


class DockerEnvironment:
    """An environment placed on a Docker host; its resources are children of the `Environment` component.

    Attributes:
        runtime: Where.
        scope: What the stack shares.
        environment: As declared.
        networking: `limited` or `unrestricted`.
        policy_document: The egress policy as the gateway reads it.
        route_files: Route -> file of the host with the credential that the gateway adds.
        services: Networks of its services, by session.
        gateway: Its gateway.
    """

    def __init__(
        self,
        runtime: "Docker",
        parent: pulumi.Resource,
        name: str,
        environment: DeclaredEnvironment,
        sessions: Sequence[Session],
    ) -> None:
        self.runtime, self.scope, self.environment, self._sessions = runtime, runtime.scope, environment, sessions
        self._parent, self._name = parent, name
        self.networking = "limited" if environment.limited is not None else "unrestricted"
        self.services = {session.name: self._network(session) for session in sessions if session.is_service}
        policy = egress_policy(environment, sessions, runtime.private_hosts)
        self.route_files = {route.name: route.secret.removeprefix(SECRET_FILE) for route in policy.routes}
        # The gateway knows a credential by where it finds it, not by where the host keeps it.
        routes = tuple(replace(route, secret=f"{SECRET_FILE}{SECRETS}/{route.name}") for route in policy.routes)
        self.policy_document = replace(policy, routes=routes).to_json(
            [
                Identity(session, (f"{placed.addresses.session}/32",))
                for session, placed in sorted(self.services.items())
            ]
        )
        self._images = {a: self._image(a) for a in self._architectures()}
        self.gateway = Gateway(
            f"{name}_gateway", self, list(self.services.values()), pulumi.ResourceOptions(parent=parent)
        )
        self.outputs = self._outputs()

    def labels(self, role: Role, session: str | None = None) -> dict[str, str]:
        """Labels of something of this environment."""
        return self.scope.labels(role, environment=self.environment.name, networking=self.networking, session=session)

    def image(self, session: Session) -> Built:
        """The image that `session` runs."""
        return self._images[session.resources.architecture]

    def catalogue(self) -> Mapping[str, Any]:
        """How each declared session is started."""
        return {session.name: self._entry(session) for session in self._sessions}

    def place_session(self, parent: pulumi.Resource, name: str, session: Session) -> Mapping[str, Any]:
        """Make the containers of the service `session`."""
        return place_service(self, parent, name, session)

    def _entry(self, session: Session) -> dict[str, Any]:
        return {
            "runtime": self.runtime.kind,
            "pattern": session.pattern,
            "environment": self.environment.name,
            "session": session.to_wire(),
            "image": self.image(session).ref,
        }

    def _network(self, session: Session) -> Placed:
        physical = self.scope.name(self.environment.name, session.name)
        addresses = self.scope.networks[network_of(session.name)]
        made = partial(
            bridge,
            # An underscore is in no name, so no two environments' networks can meet here.
            f"{self._name}_{session.name}",
            physical,
            addresses,
            self.labels(Role.SESSION, session.name),
            child_of(self._parent),
        )
        if self.networking == "unrestricted":
            return Placed(made(), physical, addresses)
        hostless = ISOLATED if self.runtime.engine.isolates_gateway else None
        return Placed(made(internal=True, options=hostless), physical, addresses)

    def _architectures(self) -> list[Architecture]:
        # An environment that no session uses yet is built all the same: its first session should not wait for it.
        return sorted({s.resources.architecture for s in self._sessions}) or [self.runtime.engine.architecture]

    def _image(self, architecture: Architecture) -> Built:
        plan = session_image(
            self.environment.packages,
            base=self.runtime.base_image,
            platform=PLATFORMS[architecture],
            context_hash=content_hash("session"),
            authorities=self.runtime.authorities,
        )
        return self.runtime.images.image("session", plan, architecture)

    def _outputs(self) -> Mapping[str, Any]:
        host = self.scope.stack.docker
        first = next(iter(self._images.values()))
        return {
            "runtime": self.runtime.kind,
            "networking": self.networking,
            "environment": self.environment.to_wire(),
            "egress_policy": self.policy_document,
            "policy_hash": self.gateway.policy_hash,
            "archived": self.environment.archived_at is not None,
            "hosted_notes": list(self.environment.hosted_notes()),
            "images": {
                "session": first.ref,
                "fence": self.runtime.fence_image.ref,
                "gateway": self.gateway.image,
            },
            "gateway": {
                "container": self.gateway.container,
                "anchor": self.gateway.anchor,
                "port": GATEWAY_PORT,
            },
            "egress_network": self.gateway.egress,
            "range": str(host.range),
            "isolation": host.runtime.value,
            "resolvers": [str(address) for address in self.runtime.resolvers],
            "host_addresses": [str(address) for address in self.runtime.host_addresses],
            "labels": self.labels(Role.SESSION),
        }
