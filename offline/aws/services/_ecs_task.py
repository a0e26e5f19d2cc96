"""ECS task definitions: families of revisions that never change."""

import json
from typing import Any, ClassVar

from offline.aws.errors import code_of, missing_is_fine
from offline.aws.resource import Aws, Gone, Props, Resource
from offline.aws.services._ecs_cluster import ecs_tag_map, ecs_tags, retag
from offline.aws.services._structure import Fields, to_api

# ECS has no error code of its own for a task definition or a revision that does not exist.
_UNKNOWN = "ClientException"
_SAME = (
    "cpu",
    "enableFaultInjection",
    "executionRoleArn",
    "family",
    "ipcMode",
    "memory",
    "networkMode",
    "pidMode",
    "requiresCompatibilities",
    "taskRoleArn",
)
_VOLUME: Fields = {
    "name": "name",
    "configureAtLaunch": "configuredAtLaunch",
    "dockerVolumeConfiguration": "dockerVolumeConfiguration",
    "efsVolumeConfiguration": "efsVolumeConfiguration",
    "fsxWindowsFileServerVolumeConfiguration": "fsxWindowsFileServerVolumeConfiguration",
    "hostPath": "host",
}
_CONSTRAINT: Fields = {"type": "type", "expression": "expression"}


class TaskDefinition(Resource):
    """One revision of a task definition; its id is the family, whatever the revision."""

    token = "aws:ecs/taskDefinition:TaskDefinition"
    backed_by = "moto: ecs.register_task_definition"
    force_new = frozenset(
        {
            *_SAME,
            "containerDefinitions",
            "ephemeralStorage",
            "placementConstraints",
            "proxyConfiguration",
            "runtimePlatform",
            "volumes",
        }
    )
    defaults: ClassVar[dict[str, Any]] = {"skipDestroy": False, "trackLatest": False}
    json_properties = frozenset({"containerDefinitions"})
    unsupported = frozenset({"proxyConfiguration", "trackLatest"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Registers a revision."""
        settings: dict[str, Any] = {key: inputs[key] for key in _SAME if inputs.get(key) is not None}
        if inputs.get("ephemeralStorage"):
            settings["ephemeralStorage"] = {"sizeInGiB": inputs["ephemeralStorage"]["sizeInGib"]}
        if inputs.get("placementConstraints"):
            settings["placementConstraints"] = [to_api(_CONSTRAINT, c) for c in inputs["placementConstraints"]]
        if inputs.get("runtimePlatform"):
            settings["runtimePlatform"] = inputs["runtimePlatform"]
        if inputs.get("volumes"):
            settings["volumes"] = [_volume(volume) for volume in inputs["volumes"]]
        tags = ecs_tags(aws.tags_all(inputs))
        definition = aws.client("ecs").register_task_definition(
            containerDefinitions=json.loads(inputs["containerDefinitions"]),
            **settings,
            **({"tags": tags} if tags else {}),
        )["taskDefinition"]
        arn = definition["taskDefinitionArn"]
        return inputs["family"], self.read(aws, inputs["family"], {**inputs, "arn": arn})

    def read(self, aws: Aws, _physical_id: str, state: Props, /) -> Props:
        """Returns the revision; nothing of it but its tags can change, and a deregistered one counts as gone."""
        try:
            found = aws.client("ecs").describe_task_definition(taskDefinition=state["arn"], include=["TAGS"])
        except Exception as error:
            if code_of(error) == _UNKNOWN:
                raise Gone from error
            raise
        definition = found["taskDefinition"]
        if definition["status"] != "ACTIVE":
            raise Gone
        arn = definition["taskDefinitionArn"]
        return {
            "arn": arn,
            "arnWithoutRevision": arn.rpartition(":")[0],
            "family": definition["family"],
            "networkMode": definition.get("networkMode"),
            "revision": definition["revision"],
            "tags": ecs_tag_map(found.get("tags")),
        }

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Changes the tags of the revision."""
        retag(aws, state["arn"], state, inputs)
        return self.read(aws, physical_id, state)

    def delete(self, aws: Aws, _physical_id: str, state: Props, /) -> None:
        """Deregisters the revision, unless it is to be left behind; tasks that run with it go on."""
        if not state.get("skipDestroy"):
            with missing_is_fine(_UNKNOWN):
                aws.client("ecs").deregister_task_definition(taskDefinition=state["arn"])


def _volume(volume: Props) -> Props:
    result = to_api(_VOLUME, volume)
    if "host" in result:
        result["host"] = {"sourcePath": result["host"]}
    return result
