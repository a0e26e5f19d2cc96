"""ECS services: tasks that are kept running."""

from typing import Any, ClassVar

from offline.aws.errors import missing_is_fine, missing_is_gone
from offline.aws.resource import Aws, Gone, Props, Resource
from offline.aws.services._ecs_cluster import STRATEGY, ecs_tag_map, ecs_tags, retag
from offline.aws.services._structure import Fields, from_api, to_api

_NETWORK: Fields = {"assignPublicIp": "assignPublicIp", "securityGroups": "securityGroups", "subnets": "subnets"}
# What the emulator's CreateService forgets but its UpdateService keeps, and so what is written twice.
_FORGOTTEN = (
    "capacityProviderStrategy",
    "deploymentConfiguration",
    "enableECSManagedTags",
    "enableExecuteCommand",
    "healthCheckGracePeriodSeconds",
    "placementConstraints",
    "placementStrategy",
)
# Changeable settings: the SDK's name, the API's name, the fields of a list's entries or of a structure.
_PLAIN = {
    "availabilityZoneRebalancing": "availabilityZoneRebalancing",
    "desiredCount": "desiredCount",
    "enableEcsManagedTags": "enableECSManagedTags",
    "enableExecuteCommand": "enableExecuteCommand",
    "healthCheckGracePeriodSeconds": "healthCheckGracePeriodSeconds",
    "platformVersion": "platformVersion",
    "propagateTags": "propagateTags",
}
_LISTS: dict[str, tuple[str, Fields]] = {
    "capacityProviderStrategies": ("capacityProviderStrategy", STRATEGY),
    "loadBalancers": (
        "loadBalancers",
        {
            "containerName": "containerName",
            "containerPort": "containerPort",
            "elbName": "loadBalancerName",
            "targetGroupArn": "targetGroupArn",
        },
    ),
    "orderedPlacementStrategies": ("placementStrategy", {"type": "type", "field": "field"}),
    "placementConstraints": ("placementConstraints", {"type": "type", "expression": "expression"}),
}
_REGISTRY: Fields = {
    "registryArn": "registryArn",
    "containerName": "containerName",
    "containerPort": "containerPort",
    "port": "port",
}


class Service(Resource):
    """A service; its id is its ARN.

    `waitForSteadyState` has no effect: the emulator runs no tasks, so nothing would ever become steady.
    """

    token = "aws:ecs/service:Service"
    backed_by = "moto: ecs.create_service, update_service (no task is run)"
    force_new = frozenset(
        {"capacityProviderStrategies", "cluster", "iamRole", "launchType", "name", "schedulingStrategy"}
    )
    name_property = "name"
    defaults: ClassVar[dict[str, Any]] = {
        "deploymentMaximumPercent": 200,
        "deploymentMinimumHealthyPercent": 100,
        "enableEcsManagedTags": False,
        "enableExecuteCommand": False,
        "schedulingStrategy": "REPLICA",
        "waitForSteadyState": False,
    }
    ordered = frozenset({"orderedPlacementStrategies"})
    unsupported = frozenset(
        {
            "alarms",
            "deploymentConfiguration",
            "deploymentController",
            "serviceConnectConfiguration",
            "sigintRollback",
            "volumeConfiguration",
            "vpcLatticeConfigurations",
        }
    )

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Makes the service."""
        client = aws.client("ecs")
        settings = _settings(inputs)
        once = {"launchType": inputs.get("launchType"), "role": inputs.get("iamRole")}
        tags = ecs_tags(aws.tags_all(inputs))
        service = client.create_service(
            cluster=inputs.get("cluster", "default"),
            serviceName=inputs["name"],
            schedulingStrategy=inputs.get("schedulingStrategy", "REPLICA"),
            **({"taskDefinition": inputs["taskDefinition"]} if inputs.get("taskDefinition") else {}),
            **settings,
            **{key: value for key, value in once.items() if value},
            **({"tags": tags} if tags else {}),
        )["service"]
        arn: str = service["serviceArn"]
        try:
            forgotten = {key: settings[key] for key in _FORGOTTEN if key in settings}
            client.update_service(cluster=service["clusterArn"], service=arn, **forgotten)
            return arn, self.read(aws, arn, inputs)
        except Exception:
            client.delete_service(cluster=service["clusterArn"], service=arn, force=True)
            raise

    def read(self, aws: Aws, physical_id: str, state: Props, /) -> Props:
        """Returns the service; cluster and task definition as name or ARN, as the program gave them."""
        with missing_is_gone():
            services = aws.client("ecs").describe_services(
                cluster=state.get("cluster", "default"), services=[physical_id], include=["TAGS"]
            )["services"]
        if not services or services[0]["status"] == "INACTIVE":
            raise Gone
        service = services[0]
        deployment = service.get("deploymentConfiguration") or {}
        registries = service.get("serviceRegistries") or []
        network = (service.get("networkConfiguration") or {}).get("awsvpcConfiguration")
        found = {key: service.get(name) for key, name in _PLAIN.items()}
        found |= {key: [from_api(f, entry) for entry in service.get(n) or []] for key, (n, f) in _LISTS.items()}
        return {
            **found,
            "arn": service["serviceArn"],
            "cluster": _as_given(state.get("cluster"), service["clusterArn"]),
            "deploymentCircuitBreaker": deployment.get("deploymentCircuitBreaker"),
            "deploymentMaximumPercent": deployment.get("maximumPercent", 200),
            "deploymentMinimumHealthyPercent": deployment.get("minimumHealthyPercent", 100),
            "iamRole": _as_given(state.get("iamRole"), service["roleArn"]) if service.get("roleArn") else None,
            # The emulator names a launch type where AWS names the capacity providers only.
            "launchType": None if found["capacityProviderStrategies"] else service.get("launchType"),
            "name": service["serviceName"],
            "networkConfiguration": _network_from_api(network) if network else None,
            "schedulingStrategy": service["schedulingStrategy"],
            "serviceRegistries": from_api(_REGISTRY, registries[0]) if registries else None,
            "tags": ecs_tag_map(service.get("tags")),
            "taskDefinition": _as_given(state.get("taskDefinition"), service.get("taskDefinition")),
        }

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Changes what differs, and the tags."""
        old, new = _settings(state), _settings(inputs)
        changes = {key: value for key, value in new.items() if old.get(key) != value}
        # A list that is no longer given must be emptied: ECS keeps what an update does not name.
        changes |= {key: [] for key, value in old.items() if key not in new and isinstance(value, list)}
        if inputs.get("taskDefinition") and inputs["taskDefinition"] != state.get("taskDefinition"):
            changes["taskDefinition"] = _definition_arn(aws, inputs["taskDefinition"])
        if changes or inputs.get("forceNewDeployment"):
            aws.client("ecs").update_service(
                cluster=inputs.get("cluster", "default"),
                service=physical_id,
                forceNewDeployment=bool(inputs.get("forceNewDeployment")),
                **changes,
            )
        retag(aws, physical_id, state, inputs)
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, state: Props, /) -> None:
        """Drains and deletes the service."""
        with missing_is_fine():
            aws.client("ecs").delete_service(cluster=state.get("cluster", "default"), service=physical_id, force=True)


def _settings(inputs: Props) -> dict[str, Any]:
    """Returns the settings that CreateService and UpdateService take alike."""
    settings: dict[str, Any] = {name: inputs[key] for key, name in _PLAIN.items() if inputs.get(key) is not None}
    for key, (name, fields) in _LISTS.items():
        if inputs.get(key):
            settings[name] = [to_api(fields, entry) for entry in inputs[key]]
    if inputs.get("serviceRegistries"):
        settings["serviceRegistries"] = [to_api(_REGISTRY, inputs["serviceRegistries"])]
    if inputs.get("networkConfiguration"):
        network = dict(inputs["networkConfiguration"])
        network["assignPublicIp"] = "ENABLED" if network.get("assignPublicIp") else "DISABLED"
        network.setdefault("securityGroups", [])
        settings["networkConfiguration"] = {"awsvpcConfiguration": to_api(_NETWORK, network)}
    deployment: dict[str, Any] = {
        "maximumPercent": inputs.get("deploymentMaximumPercent", 200),
        "minimumHealthyPercent": inputs.get("deploymentMinimumHealthyPercent", 100),
    }
    if inputs.get("deploymentCircuitBreaker"):
        deployment["deploymentCircuitBreaker"] = inputs["deploymentCircuitBreaker"]
    settings["deploymentConfiguration"] = deployment
    return settings


def _network_from_api(network: Props) -> Props:
    found = from_api(_NETWORK, network)
    found["assignPublicIp"] = found.get("assignPublicIp") == "ENABLED"
    return found


def _as_given(given: str | None, arn: str | None) -> str | None:
    """Returns an ARN, or the name in it if it is by name that the program called the thing."""
    if arn is None or not given or given.startswith("arn:"):
        return arn
    name = arn.rpartition("/")[2]
    # `family` stands for the newest revision, `family:3` for one.
    return name.rpartition(":")[0] if ":" in name and ":" not in given else name


def _definition_arn(aws: Aws, name_or_arn: str) -> str:
    # The emulator keeps what it is given, where AWS keeps the ARN of the revision.
    if name_or_arn.startswith("arn:"):
        return name_or_arn
    found: str = aws.client("ecs").describe_task_definition(taskDefinition=name_or_arn)["taskDefinition"][
        "taskDefinitionArn"
    ]
    return found
