"""The Fargate runtime of one stack: what its environments share, and the way environments are placed on it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypedDict

import pulumi
from pulumi_aws import ecs, get_caller_identity_output, get_partition_output, route53, servicediscovery

from components.authorities import authorities
from components.base_image import pinned
from components.fargate.delivery import PolicyBucket
from components.fargate.environment import FargateEnvironment
from components.fargate.logs import Logs
from components.fargate.network import INTERFACE_ENDPOINTS, Needs, Network
from components.fargate.provider import provider, required_tags
from components.fargate.registry import Registry
from components.fargate.scope import Scope
from components.fargate.state import StateBucket, bucket_name
from components.inputs import checked
from components.models.environment import DeclaredEnvironment
from components.models.errors import InvalidInput, Problem, show
from components.models.session import Pattern, Session
from components.models.stack import Stack
from components.models.tags import Role
from components.plans import documents
from components.plans.account import Account
from components.plans.cost import shared_cost
from components.plans.names import physical_name
from components.plans.size import FargateSize
from components.plans.task import SMALLEST_CPU_UNITS, SMALLEST_MEMORY_MIB, overrides
from components.runtime import Runtime

LONGEST_HOST = "g" * 64
"""Stands for a gateway's host where only the length counts."""
ROLE_POLICY_LIMIT = 10_240
"""Characters of a role's inline policies. Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""


class FargateArgs(TypedDict):
    """Arguments of :class:`Fargate`."""

    stack: Stack
    """Everything that the team declared; decides what of the network is needed."""
    region: str
    """AWS region, the one of the provider in `opts`."""


class Fargate(Runtime):
    """Network, cluster, registry, key and names that the environments of one stack share."""

    kind = "fargate"

    def __init__(self, name: str, args: FargateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        stack = args["stack"]
        with checked():
            self.check_stack(stack)
            # PEM texts of the certificate authorities that sessions and gateways trust beside the base image's own.
            self.authorities = authorities(stack, Path(pulumi.get_root_directory()))
            self._base_image = pinned(stack.base_image)
        super().__init__("agent-environments:fargate:Fargate", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        invoke = pulumi.InvokeOutputOptions(parent=self)
        partition = get_partition_output(opts=invoke)
        account = pulumi.Output.all(
            get_caller_identity_output(opts=invoke).account_id, partition.partition, partition.dns_suffix
        ).apply(lambda known: Account(known[0], args["region"], known[1], known[2]))
        self.scope = Scope(physical_name("cloud-map-service", pulumi.get_stack(), suffix_room=0), account)
        self.logs = Logs(f"{name}-logs", self.scope, stack.log_retention_days, child)

        limited = any(e.limited is not None for e in stack.environments)
        hybrid = any(s.pattern is Pattern.HYBRID for s in stack.sessions)
        self.state_bucket = bucket_name(self.scope, keeps_state=hybrid)
        needs = Needs(
            limited=limited,
            unrestricted=any(e.limited is None for e in stack.environments),
            state_bucket=self.state_bucket,
        )
        self.network = Network(f"{name}-network", self.scope, self.logs, stack.network, needs, child)
        StateBucket(name, self.scope, self.network, child, keeps_state=hybrid)
        self.registry = Registry(f"{name}-registry", self.scope, child)
        self.policies = PolicyBucket(f"{name}-policies", self.scope, required_tags(stack), child)
        # None: `check_stack` refuses them.
        self.private_hosts = {}
        self.shared_usd_per_hour = shared_price(stack, needs)
        self._cluster(name)
        self._namespace(name)
        self.register_outputs({})

    @classmethod
    def misfits(cls, environment: DeclaredEnvironment, session: Session) -> Iterator[Problem]:
        """What no Fargate task is large enough for, what AWS would not take, secrets that cannot be had."""
        try:
            overrides(session, LONGEST_HOST)
        except InvalidInput as error:
            yield from error.problems
        if session.idle_timeout is not None:
            yield Problem(
                "idle_timeout",
                show(session.idle_timeout),
                "ECS starts a service's task again whenever it ends",
                "remove it; `agentenv stop` takes the service to no task, `agentenv resume` back to one",
            )
        for index, secret in enumerate(session.secrets):
            if secret.source.startswith("file:"):
                yield Problem(
                    f"secrets[{index}].source",
                    show(secret.source),
                    "on Fargate there is no host that holds files",
                    "store the value in Secrets Manager and write its ARN",
                )
            # Fargate reads a task's secrets through the task's own interface. In the session VPC that would take a
            # Secrets Manager endpoint which every agent could then talk to, so limited sessions get theirs at the
            # gateway.
            if secret.inject is None and environment.limited is not None:
                yield Problem(
                    f"secrets[{index}].inject",
                    "",
                    "a limited session on Fargate holds no secret: it has no way to Secrets Manager",
                    "add inject: {origin: https://..., header: ...} and the gateway adds the secret on the way out",
                )

    @classmethod
    def check(cls, environment: DeclaredEnvironment, sessions: Sequence[Session]) -> None:
        """Refuse sessions that do not fit, one by one or together."""
        super().check(environment, sessions)
        problems = [*_too_long_roles(environment.name, sessions)]
        if problems:
            raise InvalidInput(problems)

    @classmethod
    def check_stack(cls, stack: Stack) -> None:
        """Refuse a stack whose sessions do not fit, or whose gateways would need a way to private addresses."""
        super().check_stack(stack)
        problems = [
            Problem(
                f"private_hosts.{host}",
                show(str(addresses)),
                "gateways on Fargate have no way to private addresses of other networks yet",
                "remove it, or run this stack on a Docker host that reaches them",
            )
            for host, addresses in stack.private_hosts.items()
        ]
        for environment in stack.environments:
            problems += _too_long_roles(environment.name, stack.sessions_of(environment.name))
        if problems:
            raise InvalidInput(problems)

    def place_environment(
        self, parent: pulumi.Resource, name: str, environment: DeclaredEnvironment, sessions: Sequence[Session]
    ) -> FargateEnvironment:
        """Build the image, raise the fence, make the roles and definitions of `environment`."""
        # Services and policies are named after it by Pulumi, and AWS takes few characters there.
        label = physical_name("cloud-map-service", name, suffix_room=0)
        return FargateEnvironment(self, self._base_image, parent, label, environment, sessions)

    def _cluster(self, name: str) -> None:
        child = pulumi.ResourceOptions(parent=self)
        self.cluster_name = self.scope.name("ecs-cluster")
        self.cluster = ecs.Cluster(
            name,
            name=self.cluster_name,
            settings=[ecs.ClusterSettingArgs(name="containerInsights", value="enabled")],
            tags=self.scope.tags(Role.SHARED),
            opts=child,
        )
        self.capacity = ecs.ClusterCapacityProviders(
            name, cluster_name=self.cluster.name, capacity_providers=["FARGATE", "FARGATE_SPOT"], opts=child
        )

    def _namespace(self, name: str) -> None:
        # At home in the VPC that every stack has: a VPC that still sees the old one lets no namespace move.
        network = self.network
        self.domain = f"{self.scope.stack}.agentenv.internal"
        self.namespace = servicediscovery.PrivateDnsNamespace(
            name,
            name=self.domain,
            vpc=network.egress_vpc.id,
            description="Gateways and services of agent environments",
            tags=self.scope.tags(Role.SHARED),
            opts=pulumi.ResourceOptions(parent=self),
        )
        if network.session_vpc is not None:
            seen_by_sessions = route53.ZoneAssociation(
                name,
                zone_id=self.namespace.hosted_zone,
                vpc_id=network.session_vpc.id,
                opts=pulumi.ResourceOptions(parent=self),
            )
            network.ready.append(seen_by_sessions)
        network.wall_in_dns(self.domain)


def _too_long_roles(environment: str, sessions: Sequence[Session]) -> Iterator[Problem]:
    here, name, key = Account("0" * 12, "ap-southeast-1", "aws-us-gov"), "r" * 64, "k" * 96
    held = [secret.source for session in sessions for secret in session.secrets if secret.inject is None]
    added = [secret.source for session in sessions for secret in session.secrets if secret.inject is not None]
    for secrets, role, document in (
        (held, "the role that starts them", documents.execution(here, [name], "g" * 128, held)),
        (added, "the role of the gateway that adds them", documents.gateway_task(here, name, name, key, added)),
    ):
        length = len(json.dumps(document))
        if length > ROLE_POLICY_LIMIT:
            yield Problem(
                "sessions",
                f"{len(set(secrets))} secrets in environment {environment!r}",
                f"{role} would need a policy of {length} characters, and IAM takes {ROLE_POLICY_LIMIT}",
                "spread the sessions over several environments, or put several values into one secret",
            )


def shared_price(stack: Stack, needs: Needs) -> Mapping[str, float]:
    """Dollars an hour, by part and in total, of what the environments of `stack` share while nothing runs."""
    cost = shared_cost(
        endpoints=len(INTERFACE_ENDPOINTS) if needs.limited else 0,
        zones=stack.network.zones,
        nat_gateways=1 if needs.unrestricted else 0,
        gateways=len(stack.environments),
        gateway_size=FargateSize(SMALLEST_CPU_UNITS, SMALLEST_MEMORY_MIB, None),
    )
    return asdict(cost) | {"total": cost.hour}


def on_fargate(stack: Stack, name: str) -> Fargate:
    """The runtime as the stack program makes it: with a provider from the stack's own `aws:` settings."""
    region = pulumi.Config("aws").require("region")
    return Fargate(
        name, {"stack": stack, "region": region}, pulumi.ResourceOptions(providers=[provider(stack, f"{name}-aws")])
    )
