"""The fence of one environment: two security groups and every flow between them and the outside."""

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_aws import ec2

from components.fargate.network import CIDR_ANYWHERE, Network
from components.fargate.scope import Flow, Scope
from components.models.tags import Role
from components.plans.network import GATEWAY_PORT, HTTPS


class Fence(pulumi.ComponentResource):
    """Who may talk to whom in one environment.

    Attributes:
        sessions: Security group of the sessions. Nothing may reach them.
        gateway: Security group of the gateway.
        subnets: Where sessions run.
        ready: What must stand before anything runs inside.
    """

    def __init__(
        self,
        name: str,
        scope: Scope,
        network: Network,
        environment: str,
        networking: str,
        gateway_ports: Sequence[int],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("agent-environments:fargate:Fence", name, {}, opts)
        limited = networking == "limited"
        vpc = network.session_vpc if limited and network.session_vpc is not None else network.egress_vpc
        self.subnets = network.session_subnets if limited else network.private_subnets
        inside = scope.tags(Role.SESSION, networking, name=f"{name}-sessions", environment=environment)
        outside = scope.tags(Role.GATEWAY, networking, name=f"{name}-gateway", environment=environment)
        self.sessions = self._group(f"{name}-sessions", vpc, f"Sessions of environment {environment}", inside)
        self.gateway = self._group(
            f"{name}-gateway", network.egress_vpc, f"Egress gateway of environment {environment}", outside
        )
        self.ready = [
            *network.ready,
            *scope.rules(
                f"{name}-sessions",
                self.sessions,
                inside,
                self,
                egress=self._ways_out(network, limited=limited),
                # A rule can name a group of a peered VPC only once the peering stands.
                depends_on=network.ready,
            ),
            *scope.rules(
                f"{name}-gateway",
                self.gateway,
                outside,
                self,
                ingress={
                    "sessions": {
                        "description": "Sessions of this environment ask for a way out",
                        "port": GATEWAY_PORT,
                        "group": self.sessions.id,
                    }
                },
                egress={
                    f"internet-{port}": {
                        "description": "Allowed hosts: the gateway decides which",
                        "port": port,
                        "cidr_ipv4": CIDR_ANYWHERE,
                    }
                    for port in gateway_ports
                },
                depends_on=network.ready,
            ),
        ]
        self.register_outputs({})

    def _group(self, name: str, vpc: ec2.Vpc, description: str, tags: Mapping[str, str]) -> ec2.SecurityGroup:
        return ec2.SecurityGroup(
            name,
            vpc_id=vpc.id,
            description=_plain(description),
            tags=dict(tags),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _ways_out(self, network: Network, *, limited: bool) -> dict[str, Flow]:
        gateway: Flow = {
            "description": "The egress gateway of the environment",
            "port": GATEWAY_PORT,
            "group": self.gateway.id,
        }
        if not limited:
            return {
                "gateway": gateway,
                "internet": {
                    "description": "Unrestricted egress: the network ACL of the subnets holds the safety blocklist",
                    "cidr_ipv4": CIDR_ANYWHERE,
                },
            }
        if network.endpoint_group is None or network.storage_prefix_list is None:
            raise ValueError("a limited environment needs the session VPC, and this network was made without one")
        return {
            "gateway": gateway,
            "endpoints": {
                "description": "Interface endpoints: image pull and logs",
                "port": HTTPS,
                "group": network.endpoint_group.id,
            },
            "storage": {
                "description": "S3: image layers and saved state",
                "port": HTTPS,
                "prefix_list": network.storage_prefix_list,
            },
        }


def _plain(text: str) -> str:
    """EC2 takes 255 characters of a small alphabet in a group's description."""
    allowed = "".join(c if c.isascii() and (c.isalnum() or c in " ._-:/()#,@[]+=&;{}!$*") else "_" for c in text)
    return allowed[:255]
