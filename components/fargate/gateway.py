"""The egress gateway of an environment: its own task, its own group, its own roles, and a name that sessions find."""

import json
from typing import TYPE_CHECKING

import pulumi
from pulumi_aws import ecs, iam, servicediscovery

from components.contexts import content_hash
from components.fargate.delivery import policy_key
from components.models.tags import Role
from components.plans import documents, task
from components.plans.image import gateway_image
from components.plans.names import physical_name

if TYPE_CHECKING:
    from components.fargate.environment import FargateEnvironment

PLATFORM = "linux/amd64"


class Gateway(pulumi.ComponentResource):
    """The one way out of an environment.

    A task of its own and never a sidecar: the containers of a task share its network interface and its role.

    Attributes:
        host: Name that sessions reach it by.
    """

    def __init__(
        self,
        name: str,
        environment: "FargateEnvironment",
        base_image: str,
        log_group: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("agent-environments:fargate:Gateway", name, {}, opts)
        self._name, self._environment, self._base_image, self._log_group = name, environment, base_image, log_group
        self._scope, runtime = environment.scope, environment.runtime
        self._tags = self._scope.tags(
            Role.GATEWAY, environment.networking, name=name, environment=environment.environment.name
        )
        self._label = physical_name("cloud-map-service", environment.environment.name, suffix_room=0)
        service_name = physical_name("cloud-map-service", "gateway", environment.environment.name, suffix_room=0)
        self.host = f"{service_name}.{runtime.domain}"
        discovery = servicediscovery.Service(
            name,
            name=service_name,
            dns_config=servicediscovery.ServiceDnsConfigArgs(
                namespace_id=runtime.namespace.id,
                dns_records=[servicediscovery.ServiceDnsConfigDnsRecordArgs(type="A", ttl=10)],
                routing_policy="MULTIVALUE",
            ),
            # Tasks that just stopped may still be registered.
            force_destroy=True,
            tags=self._tags,
            opts=self._child(),
        )
        self._key = policy_key(self._label)
        policy = runtime.policies.put(name, self._key, environment.policy.to_json(), self._tags, self)
        self._ready: list[pulumi.Resource] = [*environment.before_tasks, policy]
        definition = self._definition()
        ecs.Service(
            name,
            cluster=runtime.cluster.arn,
            task_definition=definition.arn,
            desired_count=1,
            launch_type="FARGATE",
            platform_version="1.4.0",
            enable_execute_command=False,
            enable_ecs_managed_tags=True,
            propagate_tags="SERVICE",
            network_configuration=ecs.ServiceNetworkConfigurationArgs(
                subnets=runtime.network.public_subnets,
                security_groups=[environment.fence.gateway.id],
                assign_public_ip=True,
            ),
            service_registries=ecs.ServiceServiceRegistriesArgs(registry_arn=discovery.arn),
            deployment_circuit_breaker=ecs.ServiceDeploymentCircuitBreakerArgs(enable=True, rollback=True),
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=self._ready),
        )
        self.register_outputs({})

    def _child(self) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self)

    def _definition(self) -> ecs.TaskDefinition:
        environment, scope = self._environment, self._scope
        runtime, key = environment.runtime, self._key
        registry, cluster = runtime.registry, runtime.cluster_name
        containers = pulumi.Output.all(self._image(), runtime.policies.bucket_name, scope.account).apply(
            lambda known: json.dumps(
                [
                    task.gateway_container(
                        known[0],
                        f"s3://{known[1]}/{key}",
                        cluster,
                        known[2].region,
                        task.log_configuration(self._log_group, known[2].region, "gateway"),
                    )
                ]
            )
        )
        execution = self._role(
            "execution",
            "ECS starts the egress gateway",
            scope.document(lambda a: documents.execution(a, [registry.gateway_repository], self._log_group)),
        )
        secrets = [route.secret for route in environment.policy.routes]
        itself = self._role(
            "gateway",
            "The egress gateway reads its policy and its secrets and knows its sessions",
            pulumi.Output.all(scope.account, runtime.policies.bucket_name).apply(
                lambda known: json.dumps(documents.gateway_task(known[0], cluster, known[1], key, secrets))
            ),
        )
        return ecs.TaskDefinition(
            self._name,
            family=scope.name("ecs-family", environment.environment.name, "gateway"),
            cpu=str(task.SMALLEST_CPU_UNITS),
            memory=str(task.SMALLEST_MEMORY_MIB),
            network_mode="awsvpc",
            requires_compatibilities=["FARGATE"],
            execution_role_arn=execution.arn,
            task_role_arn=itself.arn,
            runtime_platform=ecs.TaskDefinitionRuntimePlatformArgs(
                operating_system_family="LINUX", cpu_architecture="X86_64"
            ),
            volumes=[ecs.TaskDefinitionVolumeArgs(name=volume) for volume in task.GATEWAY_SCRATCH],
            container_definitions=containers,
            tags=self._tags,
            opts=self._child(),
        )

    def _image(self) -> pulumi.Output[str]:
        environment = self._environment
        asked = environment.policy.package_managers
        plan = gateway_image(
            base=self._base_image,
            platform=PLATFORM,
            context_hash=content_hash("egress-gateway"),
            packages=environment.environment.packages if asked else None,
            session_context_hash=content_hash("session") if asked else "",
            authorities=environment.runtime.authorities,
        )
        return environment.runtime.registry.image("gateway", plan, PLATFORM)

    def _role(self, key: str, description: str, policy: pulumi.Input[str]) -> iam.Role:
        label = f"{self._name}-{key}"
        role = iam.Role(
            label,
            name=self._scope.name("iam-role", self._environment.environment.name, "gateway", key),
            description=description,
            assume_role_policy=self._scope.document(
                lambda account: documents.trust(account, "ecs-tasks", account.arn("ecs", "*"))
            ),
            tags=self._tags,
            opts=self._child(),
        )
        # Not a second before the gateway may do what it must.
        self._ready.append(iam.RolePolicy(label, role=role.name, policy=policy, opts=self._child()))
        return role
