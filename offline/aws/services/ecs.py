"""ECS: clusters, task definitions and services."""

from offline.aws.registry import Invoke
from offline.aws.resource import Resource
from offline.aws.services._ecs_cluster import Cluster, ClusterCapacityProviders
from offline.aws.services._ecs_service import Service
from offline.aws.services._ecs_task import TaskDefinition

RESOURCES: list[Resource] = [Cluster(), ClusterCapacityProviders(), TaskDefinition(), Service()]
INVOKES: dict[str, Invoke] = {}
