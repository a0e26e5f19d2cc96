"""The two VPCs: one that limited sessions cannot leave, one that gateways leave through; only what is needed."""

import json
from dataclasses import dataclass

import pulumi
from pulumi_aws import ec2, get_availability_zones_output, iam, route53

from components.fargate.logs import Logs
from components.fargate.scope import Scope
from components.models.stack import Network as NetworkModel
from components.models.tags import Role
from components.plans import documents
from components.plans.network import HTTPS, ICMP, AclEntry, address_plan, unrestricted_acl, walled_garden

CIDR_ANYWHERE = "0.0.0.0/0"
INTERFACE_ENDPOINTS = {
    "ecr.api": documents.registry_endpoint,
    "ecr.dkr": documents.registry_endpoint,
    "logs": documents.logs_endpoint,
}
"""Services that limited sessions need to start and to log, with the policy of each endpoint; none for any secret."""


@dataclass(frozen=True)
class Needs:
    """What the environments of a stack ask of the network.

    Attributes:
        limited: At least one environment is limited: the session VPC, its endpoints and its DNS firewall.
        unrestricted: At least one environment is unrestricted: private subnets and a NAT gateway.
        state_bucket: Name of the bucket of state and tasks that limited sessions reach through the S3 endpoint.
    """

    limited: bool
    unrestricted: bool
    state_bucket: pulumi.Output[str]


class Network(pulumi.ComponentResource):
    """VPCs, subnets, routes, endpoints, DNS firewall and flow logs of one stack.

    Attributes:
        session_vpc: VPC of limited sessions, None when there are none.
        egress_vpc: VPC of gateways and unrestricted sessions.
        session_subnets: Ids of the isolated subnets.
        private_subnets: Ids of the subnets of unrestricted sessions.
        public_subnets: Ids of the gateways' subnets.
        endpoint_group: Security group of the interface endpoints, None without a session VPC.
        storage_endpoint: Id of the endpoint by which limited sessions reach S3, None without a session VPC.
        storage_prefix_list: Id of the prefix list of S3, None without a session VPC.
        nat_address: Public address from which unrestricted sessions reach the internet, None when there are none.
        ready: Resources without which the fence of the network is not whole.
    """

    def __init__(
        self,
        name: str,
        scope: Scope,
        logs: Logs,
        ranges: NetworkModel,
        needs: Needs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("agent-environments:fargate:Network", name, {}, opts)
        self._name, self._scope, self._ranges = name, scope, ranges
        self._state_bucket = needs.state_bucket
        self._plan = address_plan(ranges)
        self._zones = get_availability_zones_output(
            state="available",
            filters=[{"name": "opt-in-status", "values": ["opt-in-not-required"]}],
            opts=pulumi.InvokeOutputOptions(parent=self),
        ).names
        self.ready: list[pulumi.Resource] = []
        self.session_subnets: list[pulumi.Output[str]] = []
        self.private_subnets: list[pulumi.Output[str]] = []
        self.session_vpc: ec2.Vpc | None = None
        self.endpoint_group: ec2.SecurityGroup | None = None
        self.storage_endpoint: pulumi.Output[str] | None = None
        self.storage_prefix_list: pulumi.Output[str] | None = None
        self.nat_address: pulumi.Output[str] | None = None

        self.egress_vpc = self._vpc("egress", str(ranges.egress_range), Role.GATEWAY, "unrestricted")
        self._public_routes = self._public_side()
        flow_name = scope.name("log-group", "shared", "flow")
        self._flow_group = logs.group(f"{name}-flow", flow_name, scope.tags(Role.SHARED), self)
        self._flow_role = self._flow_logs_role(flow_name)
        if needs.unrestricted:
            self._private_side()
        if needs.limited:
            self.session_vpc = self._vpc("sessions", str(ranges.session_range), Role.SESSION, "limited")
            routes = self._isolated_side(self.session_vpc)
            self._endpoints(self.session_vpc, routes, needs.state_bucket)
        for key, vpc in (("egress", self.egress_vpc), ("sessions", self.session_vpc)):
            if vpc is not None:
                self._flow_log(key, vpc)
        self.register_outputs({})

    def wall_in_dns(self, namespace: str) -> None:
        """Let the session VPC's resolver answer for the endpoints and for `namespace` only."""
        if self.session_vpc is None:
            return
        child = self._child()
        name, scope = self._name, self._scope
        allowed = route53.ResolverFirewallDomainList(
            f"{name}-dns-allowed",
            domains=pulumi.Output.all(scope.account, self._state_bucket).apply(
                lambda known: list(walled_garden(known[0], namespace, known[1]))
            ),
            tags=scope.tags(Role.SHARED),
            opts=child,
        )
        everything = route53.ResolverFirewallDomainList(
            f"{name}-dns-everything", domains=["*"], tags=scope.tags(Role.SHARED), opts=child
        )
        group = route53.ResolverFirewallRuleGroup(f"{name}-dns", tags=scope.tags(Role.SHARED), opts=child)
        allow = route53.ResolverFirewallRule(
            f"{name}-dns-allow",
            firewall_rule_group_id=group.id,
            firewall_domain_list_id=allowed.id,
            action="ALLOW",
            # The layer bucket's name is an alias of a name that is not in the list.
            firewall_domain_redirection_action="TRUST_REDIRECTION_DOMAIN",
            priority=100,
            opts=child,
        )
        block = route53.ResolverFirewallRule(
            f"{name}-dns-block",
            firewall_rule_group_id=group.id,
            firewall_domain_list_id=everything.id,
            action="BLOCK",
            block_response="NXDOMAIN",
            priority=9000,
            opts=child,
        )
        association = route53.ResolverFirewallRuleGroupAssociation(
            f"{name}-dns",
            firewall_rule_group_id=group.id,
            vpc_id=self.session_vpc.id,
            priority=101,
            tags=scope.tags(Role.SESSION, "limited"),
            # Associated with both rules in it: an empty group would let every name through for a moment.
            opts=self._child(depends_on=[allow, block]),
        )
        closed = route53.ResolverFirewallConfig(
            f"{name}-dns", resource_id=self.session_vpc.id, firewall_fail_open="DISABLED", opts=child
        )
        self.ready += [association, closed]

    def _child(self, depends_on: list[pulumi.Resource] | None = None) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, depends_on=depends_on)

    def _vpc(self, key: str, cidr: str, role: Role, networking: str) -> ec2.Vpc:
        tags = self._scope.tags(role, networking, name=f"{self._name}-{key}")
        vpc = ec2.Vpc(
            f"{self._name}-{key}",
            cidr_block=cidr,
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=tags,
            opts=self._child(),
        )
        # What lands in the default group by mistake can talk to nobody.
        ec2.DefaultSecurityGroup(f"{self._name}-{key}-default", vpc_id=vpc.id, tags=tags, opts=self._child())
        return vpc

    def _subnets(
        self, key: str, vpc: ec2.Vpc, routes: ec2.RouteTable, role: Role, networking: str
    ) -> list[pulumi.Output[str]]:
        ids: list[pulumi.Output[str]] = []
        for index, block in enumerate(getattr(self._plan, key)):
            label = f"{self._name}-{key}-{index}"
            subnet = ec2.Subnet(
                label,
                vpc_id=vpc.id,
                cidr_block=str(block),
                availability_zone=self._zones[index],
                map_public_ip_on_launch=False,
                tags=self._scope.tags(role, networking, name=label),
                # A zone that is out of order for a day shifts the list of zones, and must not move a subnet.
                opts=pulumi.ResourceOptions(parent=self, ignore_changes=["availability_zone"]),
            )
            ec2.RouteTableAssociation(label, subnet_id=subnet.id, route_table_id=routes.id, opts=self._child())
            ids.append(subnet.id)
        return ids

    def _routes(self, key: str, vpc: ec2.Vpc) -> ec2.RouteTable:
        label = f"{self._name}-{key}"
        return ec2.RouteTable(label, vpc_id=vpc.id, tags=self._scope.tags(Role.SHARED, name=label), opts=self._child())

    def _public_side(self) -> ec2.RouteTable:
        label = f"{self._name}-internet"
        gateway = ec2.InternetGateway(
            label, vpc_id=self.egress_vpc.id, tags=self._scope.tags(Role.SHARED, name=label), opts=self._child()
        )
        routes = self._routes("public", self.egress_vpc)
        ec2.Route(
            f"{self._name}-public-internet",
            route_table_id=routes.id,
            destination_cidr_block=CIDR_ANYWHERE,
            gateway_id=gateway.id,
            opts=self._child(),
        )
        self.public_subnets = self._subnets("public", self.egress_vpc, routes, Role.GATEWAY, "unrestricted")
        self._internet = gateway
        return routes

    def _private_side(self) -> None:
        label = f"{self._name}-nat"
        tags = self._scope.tags(Role.SHARED, name=label)
        address = ec2.Eip(label, domain="vpc", tags=tags, opts=self._child(depends_on=[self._internet]))
        self.nat_address = address.public_ip
        nat = ec2.NatGateway(
            label, allocation_id=address.id, subnet_id=self.public_subnets[0], tags=tags, opts=self._child()
        )
        routes = self._routes("private", self.egress_vpc)
        out = ec2.Route(
            f"{self._name}-private-nat",
            route_table_id=routes.id,
            destination_cidr_block=CIDR_ANYWHERE,
            nat_gateway_id=nat.id,
            opts=self._child(),
        )
        self.private_subnets = self._subnets("private", self.egress_vpc, routes, Role.SESSION, "unrestricted")
        egress, ingress = unrestricted_acl(self._plan)
        blocklist = ec2.NetworkAcl(
            f"{self._name}-blocklist",
            vpc_id=self.egress_vpc.id,
            subnet_ids=self.private_subnets,
            egress=[_acl(entry) for entry in egress],
            ingress=[_acl(entry) for entry in ingress],
            tags=self._scope.tags(Role.SESSION, "unrestricted", name=f"{self._name}-blocklist"),
            opts=self._child(),
        )
        self.ready += [out, blocklist]

    def _isolated_side(self, vpc: ec2.Vpc) -> ec2.RouteTable:
        routes = self._routes("sessions", vpc)
        peering = ec2.VpcPeeringConnection(
            f"{self._name}-peering",
            vpc_id=vpc.id,
            peer_vpc_id=self.egress_vpc.id,
            auto_accept=True,
            tags=self._scope.tags(Role.SHARED, name=f"{self._name}-peering"),
            opts=self._child(),
        )
        for index, public in enumerate(self._plan.public):
            # To the gateways' subnets only: the rest of the egress VPC has no way back to a limited session.
            to = ec2.Route(
                f"{self._name}-sessions-gateways-{index}",
                route_table_id=routes.id,
                destination_cidr_block=str(public),
                vpc_peering_connection_id=peering.id,
                opts=self._child(),
            )
            self.ready.append(to)
        back = ec2.Route(
            f"{self._name}-gateways-sessions",
            route_table_id=self._public_routes.id,
            destination_cidr_block=str(self._ranges.session_range),
            vpc_peering_connection_id=peering.id,
            opts=self._child(),
        )
        self.ready.append(back)
        self.session_subnets = self._subnets("sessions", vpc, routes, Role.SESSION, "limited")
        return routes

    def _endpoints(self, vpc: ec2.Vpc, routes: ec2.RouteTable, state_bucket: pulumi.Output[str]) -> None:
        scope, name = self._scope, self._name
        region = scope.account.apply(lambda account: account.region)
        tags = scope.tags(Role.ENDPOINT, "limited", name=f"{name}-endpoints")
        self.endpoint_group = ec2.SecurityGroup(
            f"{name}-endpoints",
            vpc_id=vpc.id,
            description="Interface endpoints: image pull and logs of limited sessions",
            tags=tags,
            opts=self._child(),
        )
        scope.rules(
            f"{name}-endpoints",
            self.endpoint_group,
            tags,
            self,
            ingress={
                "sessions": {
                    "description": "Sessions pull images and write logs",
                    "cidr_ipv4": str(self._ranges.session_range),
                    "port": HTTPS,
                }
            },
        )
        for service, policy in INTERFACE_ENDPOINTS.items():
            endpoint = ec2.VpcEndpoint(
                f"{name}-{service.replace('.', '-')}",
                vpc_id=vpc.id,
                service_name=pulumi.Output.concat("com.amazonaws.", region, ".", service),
                vpc_endpoint_type="Interface",
                private_dns_enabled=True,
                subnet_ids=self.session_subnets,
                security_group_ids=[self.endpoint_group.id],
                policy=scope.document(policy),
                tags=scope.tags(Role.ENDPOINT, "limited", name=f"{name}-{service}"),
                opts=self._child(),
            )
            self.ready.append(endpoint)
        storage = ec2.VpcEndpoint(
            f"{name}-s3",
            vpc_id=vpc.id,
            service_name=pulumi.Output.concat("com.amazonaws.", region, ".s3"),
            vpc_endpoint_type="Gateway",
            route_table_ids=[routes.id],
            policy=pulumi.Output.all(scope.account, state_bucket).apply(
                lambda known: json.dumps(documents.storage_endpoint(*known))
            ),
            tags=scope.tags(Role.ENDPOINT, "limited", name=f"{name}-s3"),
            opts=self._child(),
        )
        self.ready.append(storage)
        self.storage_endpoint, self.storage_prefix_list = storage.id, storage.prefix_list_id

    def _flow_logs_role(self, group: str) -> iam.Role:
        role = iam.Role(
            f"{self._name}-flow",
            name=self._scope.name("iam-role", "flow"),
            description="VPC flow logs write to their log group",
            assume_role_policy=self._scope.document(
                lambda a: documents.trust(a, "vpc-flow-logs", a.arn("ec2", "vpc-flow-log/*"))
            ),
            tags=self._scope.tags(Role.SHARED),
            opts=self._child(),
        )
        iam.RolePolicy(
            f"{self._name}-flow",
            role=role.name,
            policy=self._scope.document(lambda a: documents.flow_logs(a, group)),
            opts=self._child(),
        )
        return role

    def _flow_log(self, key: str, vpc: ec2.Vpc) -> None:
        ec2.FlowLog(
            f"{self._name}-{key}",
            vpc_id=vpc.id,
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_destination=self._flow_group.arn,
            iam_role_arn=self._flow_role.arn,
            tags=self._scope.tags(Role.SHARED, name=f"{self._name}-{key}"),
            opts=self._child(),
        )


def _acl(entry: AclEntry) -> dict[str, str | int]:
    ports: dict[str, str | int] = {"from_port": entry.from_port, "to_port": entry.to_port}
    # Left out, type and code would be 0: echo replies only, and path MTU discovery needs the rest.
    kinds: dict[str, str | int] = {"icmp_type": -1, "icmp_code": -1} if entry.protocol == ICMP else {}
    return {
        "rule_no": entry.rule_no,
        "action": entry.action,
        "cidr_block": entry.cidr_block,
        "protocol": entry.protocol,
        **ports,
        **kinds,
    }
