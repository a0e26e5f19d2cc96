"""What a session may need of its own: an ECS service when it stays up, a schedule when it starts by itself."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi_aws import ecs, scheduler, servicediscovery

from components.models.session import Session
from components.models.tags import Role
from components.plans import task
from components.plans.names import physical_name

if TYPE_CHECKING:
    from components.fargate.environment import FargateEnvironment


def place_service(
    environment: "FargateEnvironment", parent: pulumi.Resource, name: str, session: Session
) -> Mapping[str, Any]:
    """An ECS service with one task and a Cloud Map name."""
    runtime, tags = environment.runtime, environment.tags(Role.SESSION, session.name)
    label = physical_name("cloud-map-service", "session", session.name, suffix_room=0)
    discovery = servicediscovery.Service(
        name,
        name=label,
        dns_config=servicediscovery.ServiceDnsConfigArgs(
            namespace_id=runtime.namespace.id,
            dns_records=[servicediscovery.ServiceDnsConfigDnsRecordArgs(type="A", ttl=10)],
            routing_policy="MULTIVALUE",
        ),
        # Tasks that just stopped may still be registered.
        force_destroy=True,
        tags=tags,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    capacity = "FARGATE_SPOT" if session.resources.spot else "FARGATE"
    service = ecs.Service(
        name,
        cluster=runtime.cluster.arn,
        task_definition=environment.task_definition(session).arn,
        desired_count=1,
        capacity_provider_strategies=[ecs.ServiceCapacityProviderStrategyArgs(capacity_provider=capacity, weight=1)],
        platform_version="1.4.0",
        enable_execute_command=False,
        enable_ecs_managed_tags=True,
        propagate_tags="SERVICE",
        network_configuration=ecs.ServiceNetworkConfigurationArgs(**environment.network_configuration()),
        service_registries=ecs.ServiceServiceRegistriesArgs(registry_arn=discovery.arn),
        deployment_circuit_breaker=ecs.ServiceDeploymentCircuitBreakerArgs(enable=True, rollback=True),
        tags=tags,
        # Not a second before its fence stands.
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[*environment.before_tasks, runtime.capacity]),
    )
    return {"service": service.id, "host": f"{label}.{runtime.domain}", "ports": list(session.ports)}


def place_schedule(
    environment: "FargateEnvironment", parent: pulumi.Resource, name: str, session: Session
) -> Mapping[str, Any]:
    """An EventBridge schedule that runs the session's task."""
    role = environment.scheduler_role
    if session.schedule is None or role is None:
        raise ValueError(f"session {session.name!r} was not declared with a schedule in its environment")
    runtime, network = environment.runtime, environment.network_configuration()
    capacity = "FARGATE_SPOT" if session.resources.spot else "FARGATE"
    schedule = scheduler.Schedule(
        name,
        name=environment.scope.name("schedule", session.name),
        description=f"Starts session {session.name}",
        schedule_expression=session.schedule.expression,
        schedule_expression_timezone=session.schedule.timezone,
        flexible_time_window=scheduler.ScheduleFlexibleTimeWindowArgs(mode="OFF"),
        target=scheduler.ScheduleTargetArgs(
            arn=runtime.cluster.arn,
            role_arn=role.arn,
            input=json.dumps(task.overrides(session, environment.gateway.host)),
            ecs_parameters=scheduler.ScheduleTargetEcsParametersArgs(
                task_definition_arn=environment.task_definition(session).arn,
                task_count=1,
                platform_version="1.4.0",
                enable_execute_command=False,
                enable_ecs_managed_tags=True,
                propagate_tags="TASK_DEFINITION",
                capacity_provider_strategies=[
                    scheduler.ScheduleTargetEcsParametersCapacityProviderStrategyArgs(
                        capacity_provider=capacity, weight=1
                    )
                ],
                network_configuration=scheduler.ScheduleTargetEcsParametersNetworkConfigurationArgs(**network),
                tags=environment.tags(Role.SESSION, session.name),
            ),
            retry_policy=scheduler.ScheduleTargetRetryPolicyArgs(
                maximum_retry_attempts=3, maximum_event_age_in_seconds=3600
            ),
        ),
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[*environment.before_tasks, runtime.capacity]),
    )
    return {"schedule": schedule.arn, "expression": session.schedule.expression}
