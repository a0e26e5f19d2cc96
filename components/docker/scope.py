"""What all parts of a Docker stack share: how things are named and labelled, and where their networks lie."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.models.stack import Stack
from components.models.tags import Role, Tag, label, tag_value
from components.plans.docker import SessionNetwork
from components.plans.names import physical_name


@dataclass(frozen=True)
class Scope:
    """Shared facts of one stack.

    Attributes:
        deployment: Name of the Pulumi stack.
        stack: What the team declared.
        networks: Every network that the stack declares, by what it is for.
        uids: User of each service, by session.
    """

    deployment: str
    stack: Stack
    networks: Mapping[str, SessionNetwork]
    uids: Mapping[str, int]

    def name(self, *parts: str) -> str:
        """Name on the engine, the same at each `up`: containers join each other's namespaces by it.

        Each part becomes a DNS label, and an underscore is in none, so different parts give different names.
        """
        return "_".join(dns_label(part) for part in ("agentenv", self.deployment, *parts))

    def labels(
        self, role: Role, *, environment: str | None = None, networking: str | None = None, session: str | None = None
    ) -> dict[str, str]:
        """Labels of one object: what the provider of a cloud would add by itself, and its own."""
        given = {
            Tag.STACK: self.deployment,
            Tag.TEAM: self.stack.team,
            Tag.COST_CENTRE: self.stack.cost_centre or self.stack.team,
            Tag.ENVIRONMENT: environment,
            Tag.SESSION: session,
            Tag.ROLE: role,
            Tag.NETWORKING: networking,
        }
        own = {label(key): tag_value(value) for key, value in given.items() if value is not None}
        return {**self.stack.tags, **own}


def egress_of(environment: str) -> str:
    """Key in `Scope.networks` of the network by which an environment's gateway reaches the outside."""
    return f"egress/{environment}"


def network_of(session: str) -> str:
    """Key in `Scope.networks` of a service's own network."""
    return f"session/{session}"


def ingress_of(session: str) -> str:
    """Key in `Scope.networks` of the network that publishes the ports of a limited service."""
    return f"ingress/{session}"


def dns_label(text: str) -> str:
    """`text` as a DNS label, different for different texts."""
    return physical_name("cloud-map-service", text, suffix_room=0)


def child_of(parent: pulumi.Resource, *depends_on: pulumi.Resource) -> pulumi.ResourceOptions:
    """Options of an object with a name of its own, which must go before another can take that name."""
    return pulumi.ResourceOptions(parent=parent, depends_on=list(depends_on), delete_before_replace=True)
