"""One environment on Fargate: fence, roles, log group, gateway, task definitions, and the catalogue of its sessions."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi_aws import ecs, iam

from components.contexts import content_hash
from components.fargate.fence import Fence
from components.fargate.gateway import Gateway
from components.fargate.service import place_schedule, place_service
from components.models.environment import DeclaredEnvironment
from components.models.session import Architecture, Session
from components.models.tags import Role, Tag, tag_value
from components.plans import documents, task
from components.plans.egress import egress_policy, policy_hash
from components.plans.image import session_image
from components.plans.network import GATEWAY_PORT

if TYPE_CHECKING:
    from components.fargate.runtime import Fargate

FAMILY_KEY_ROOM = 64
"""Room behind the prefix of an environment's task families: an underscore and the key of a shape."""
PLATFORMS = {Architecture.X86_64: "linux/amd64", Architecture.ARM64: "linux/arm64"}


class FargateEnvironment:
    """An environment placed on a Fargate stack; its resources are children of the `Environment` component."""

    def __init__(
        self,
        runtime: "Fargate",
        base_image: str,
        parent: pulumi.Resource,
        name: str,
        environment: DeclaredEnvironment,
        sessions: Sequence[Session],
    ) -> None:
        self.runtime, self.scope, self._parent, self._name = runtime, runtime.scope, parent, name
        self.environment, self.sessions = environment, sessions
        self._base_image = base_image
        self.networking = "limited" if environment.limited is not None else "unrestricted"
        self.policy = egress_policy(environment, sessions, runtime.private_hosts)
        self.family = self.scope.name("ecs-family", environment.name, "session", room=FAMILY_KEY_ROOM)

        child = pulumi.ResourceOptions(parent=parent)
        self.fence = Fence(
            f"{name}-fence",
            self.scope,
            runtime.network,
            environment.name,
            self.networking,
            self.policy.ports,
            child,
        )
        self._log_name = self.scope.name("log-group", "environment", environment.name)
        logs = runtime.logs.group(f"{name}-logs", self._log_name, self.tags(Role.SHARED), parent)
        self.before_tasks: list[pulumi.Resource] = [*self.fence.ready, logs]
        self.gateway = Gateway(f"{name}_gateway", self, base_image, self._log_name, child)
        self._execution_name = self.scope.name("iam-role", environment.name, "execution")
        self._execution = self._execution_role()
        self.scheduler_role = self._scheduler_role() if any(s.schedule for s in sessions) else None
        self._images = {a: self._image(a) for a in self._architectures()}
        self._definitions = {
            shape: self._definition(shape, session) for shape, session in task.shapes(sessions).items()
        }
        self._starter = self._starter_policy()
        self.outputs = self._outputs()

    def tags(self, role: Role, session: str | None = None, label: str | None = None) -> dict[str, str]:
        """Tags of something of this environment."""
        return self.scope.tags(role, self.networking, name=label, environment=self.environment.name, session=session)

    def network_configuration(self) -> dict[str, Any]:
        """Where a session's task is plugged in."""
        return {"subnets": self.fence.subnets, "security_groups": [self.fence.sessions.id], "assign_public_ip": False}

    def task_definition(self, session: Session) -> ecs.TaskDefinition:
        """The definition that `session` runs with."""
        return self._definitions[task.shape(session)]

    def catalogue(self) -> Mapping[str, Any]:
        """How each declared session is started."""
        return {session.name: self._entry(session) for session in self.sessions}

    def place_session(self, parent: pulumi.Resource, name: str, session: Session) -> Mapping[str, Any]:
        """Make the service or the schedule of `session`."""
        if session.is_service:
            return place_service(self, parent, name, session)
        return place_schedule(self, parent, name, session)

    def _entry(self, session: Session) -> dict[str, Any]:
        definition = self.task_definition(session)
        over = task.overrides(session, self.gateway.host)
        capacity = "FARGATE_SPOT" if session.resources.spot else "FARGATE"
        held = [secret.name for secret in session.secrets if secret.inject is None]
        return {
            "runtime": self.runtime.kind,
            "pattern": session.pattern,
            "environment": self.environment.name,
            "task_definition": definition.arn,
            "overrides": over,
            "capacity_provider": capacity,
            "size": task.size(session).explain(
                session.resources.cpu, session.resources.memory_gib, session.resources.disk_gib
            ),
            "usd_per_hour": task.price(session),
            # Secrets that are in its environment because it declares them.
            **({"held": held} if held else {}),
        }

    def _execution_role(self) -> iam.Role:
        label = f"{self._name}-execution"
        readable = [secret.source for s in self.sessions for secret in s.secrets if secret.inject is None]
        role = iam.Role(
            label,
            name=self._execution_name,
            description="ECS starts the sessions of an environment",
            assume_role_policy=self.scope.document(
                lambda a: documents.trust(a, "ecs-tasks", a.arn("ecs", "*")),
            ),
            tags=self.tags(Role.SESSION),
            opts=pulumi.ResourceOptions(parent=self._parent),
        )
        policy = iam.RolePolicy(
            label,
            role=role.name,
            policy=self.scope.document(
                lambda a: documents.execution(a, [self.runtime.registry.session_repository], self._log_name, readable)
            ),
            opts=pulumi.ResourceOptions(parent=self._parent),
        )
        self.before_tasks.append(policy)
        return role

    def _scheduler_role(self) -> iam.Role:
        label = f"{self._name}-scheduler"
        role = iam.Role(
            label,
            name=self.scope.name("iam-role", self.environment.name, "scheduler"),
            description="EventBridge Scheduler starts the scheduled sessions of an environment",
            assume_role_policy=self.scope.document(
                lambda a: documents.trust(a, "scheduler", a.arn("scheduler", "schedule-group/default"))
            ),
            tags=self.tags(Role.SHARED),
            opts=pulumi.ResourceOptions(parent=self._parent),
        )
        iam.RolePolicy(
            label,
            role=role.name,
            policy=self.scope.document(
                lambda a: documents.run_tasks(
                    a, self.runtime.cluster_name, self.family, self._execution_name, self.environment.name
                )
            ),
            opts=pulumi.ResourceOptions(parent=self._parent),
        )
        return role

    def _definition(self, shape: task.Shape, session: Session | None) -> ecs.TaskDefinition:
        fits = task.size(session) if session else None
        log = task.log_configuration
        gateway = self.gateway.host
        variables = task.variables(self.environment, gateway)
        definition = pulumi.Output.all(self._images[shape.architecture], self.scope.account).apply(
            lambda known: json.dumps(
                [
                    task.session_container(
                        known[0], variables, shape, session, log(self._log_name, known[1].region, "session"), gateway
                    )
                ]
            )
        )
        return ecs.TaskDefinition(
            # An underscore is in no key, so no two environments' names can meet here.
            f"{self._name}_{shape.key}",
            family=f"{self.family}_{shape.key}",
            cpu=str(fits.cpu_units if fits else task.SMALLEST_CPU_UNITS),
            memory=str(fits.memory_mib if fits else task.SMALLEST_MEMORY_MIB),
            network_mode="awsvpc",
            requires_compatibilities=["FARGATE"],
            execution_role_arn=self._execution.arn,
            runtime_platform=ecs.TaskDefinitionRuntimePlatformArgs(
                operating_system_family="LINUX", cpu_architecture=shape.architecture.upper()
            ),
            ephemeral_storage=(
                ecs.TaskDefinitionEphemeralStorageArgs(size_in_gib=fits.disk_gib) if fits and fits.disk_gib else None
            ),
            volumes=[ecs.TaskDefinitionVolumeArgs(name=volume) for volume in task.SCRATCH],
            container_definitions=definition,
            tags=self.tags(Role.SESSION, session.name if session else None),
            opts=pulumi.ResourceOptions(parent=self._parent),
        )

    def _architectures(self) -> list[Architecture]:
        # An environment that no session uses yet is built all the same: its first session should not wait for it.
        return sorted({session.resources.architecture for session in self.sessions}) or [Architecture.X86_64]

    def _image(self, architecture: Architecture) -> pulumi.Output[str]:
        plan = session_image(
            self.environment.packages,
            base=self._base_image,
            platform=PLATFORMS[architecture],
            context_hash=content_hash("session"),
            authorities=self.runtime.authorities,
        )
        return self.runtime.registry.image("session", plan, PLATFORMS[architecture])

    def _starter_policy(self) -> iam.Policy:
        label = f"{self._name}-starter"
        return iam.Policy(
            label,
            name=self.scope.name("iam-policy", self.environment.name, "starter"),
            description="Starts, watches and stops the sessions of an environment",
            policy=pulumi.Output.all(self.scope.account, self.runtime.state_bucket).apply(
                lambda known: json.dumps(
                    documents.operate(
                        known[0],
                        self.runtime.cluster_name,
                        self.family,
                        self._execution_name,
                        self.environment.name,
                        log_group=self._log_name,
                        bucket=known[1],
                    )
                )
            ),
            tags=self.tags(Role.SHARED),
            opts=pulumi.ResourceOptions(parent=self._parent),
        )

    def _outputs(self) -> Mapping[str, Any]:
        policy = self.policy.to_json()
        return {
            "runtime": self.runtime.kind,
            "networking": self.networking,
            "environment": self.environment.to_wire(),
            "cluster": self.runtime.cluster_name,
            "images": dict(self._images),
            "egress_policy": policy,
            "policy_hash": policy_hash(policy),
            "security_group": self.fence.sessions.id,
            "subnets": self.fence.subnets,
            "log_group": self._log_name,
            "gateway": f"{self.gateway.host}:{GATEWAY_PORT}",
            "starter_policy": self._starter.arn,
            "state_bucket": self.runtime.state_bucket,
            "start": pulumi.Output.all(self.fence.sessions.id, *self.fence.subnets).apply(
                lambda known: start_command(
                    self.runtime.cluster_name, tag_value(self.environment.name), known[0], known[1:]
                )
            ),
            "archived": self.environment.archived_at is not None,
            "hosted_notes": list(self.environment.hosted_notes()),
        }


def start_command(cluster: str, environment: str, group: str, subnets: Sequence[str]) -> str:
    """The `aws` command line that starts a run; TASK_DEFINITION, OVERRIDES and the rest are a session's own.

    Without the first two tags the gateway knows no session behind the run's address, and lets nothing out; without the
    last nobody who may start runs of the environment alone could watch or stop it.
    """
    network = {"subnets": list(subnets), "securityGroups": [group], "assignPublicIp": "DISABLED"}
    pairs = ((Tag.ENVIRONMENT, environment), (Tag.SESSION, "SESSION"), (Tag.ROLE, Role.SESSION))
    tags = [f"key={key},value={value}" for key, value in pairs]
    arguments = {
        "--cluster": cluster,
        "--task-definition": "TASK_DEFINITION",
        "--capacity-provider-strategy": "capacityProvider=CAPACITY_PROVIDER,weight=1",
        "--network-configuration": json.dumps({"awsvpcConfiguration": network}),
        "--propagate-tags": "TASK_DEFINITION",
        "--overrides": "OVERRIDES",
    }
    options = [part for pair in arguments.items() for part in pair]
    return shlex.join(["aws", "ecs", "run-task", *options, "--tags", *tags])
