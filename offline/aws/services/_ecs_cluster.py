"""ECS clusters, and what the ECS handlers share."""

from typing import Any

from offline.aws.errors import missing_is_fine
from offline.aws.resource import Aws, Gone, Props, Resource
from offline.aws.services._structure import Fields, from_api, to_api
from offline.aws.services._tags import tag_changes, tag_list, tag_map

STRATEGY: Fields = {"capacityProvider": "capacityProvider", "weight": "weight", "base": "base"}
_CONFIGURATION: Fields = {
    "executeCommandConfiguration": (
        "executeCommandConfiguration",
        {
            "kmsKeyId": "kmsKeyId",
            "logging": "logging",
            "logConfiguration": (
                "logConfiguration",
                {
                    "cloudWatchEncryptionEnabled": "cloudWatchEncryptionEnabled",
                    "cloudWatchLogGroupName": "cloudWatchLogGroupName",
                    "s3BucketEncryptionEnabled": "s3EncryptionEnabled",
                    "s3BucketName": "s3BucketName",
                    "s3KeyPrefix": "s3KeyPrefix",
                },
            ),
        },
    ),
    "managedStorageConfiguration": (
        "managedStorageConfiguration",
        {
            "fargateEphemeralStorageKmsKeyId": "fargateEphemeralStorageKmsKeyId",
            "kmsKeyId": "kmsKeyId",
        },
    ),
}
_SETTING: Fields = {"name": "name", "value": "value"}
_SERVICE_CONNECT: Fields = {"namespace": "namespace"}


def ecs_tags(tags: dict[str, str]) -> list[dict[str, str]]:
    """Returns tags as ECS takes them."""
    return tag_list(tags, "key", "value")


def ecs_tag_map(tags: list[dict[str, str]] | None) -> dict[str, str]:
    """Returns the tags that ECS gave."""
    return tag_map(tags, "key", "value")


def retag(aws: Aws, arn: str, state: Props, inputs: Props) -> None:
    """Brings the tags of an ECS object from those in `state` to the wanted ones."""
    removed, written = tag_changes(aws, state, inputs)
    if removed:
        aws.client("ecs").untag_resource(resourceArn=arn, tagKeys=removed)
    if written:
        aws.client("ecs").tag_resource(resourceArn=arn, tags=ecs_tags(written))


def active_cluster(aws: Aws, name_or_arn: str) -> Props:
    """Returns a cluster as ECS describes it.

    Raises:
        Gone: there is none; a deleted one is still described for a while, as inactive.
    """
    clusters: list[Props] = aws.client("ecs").describe_clusters(
        clusters=[name_or_arn], include=["TAGS", "SETTINGS", "CONFIGURATIONS"]
    )["clusters"]
    if not clusters or clusters[0]["status"] == "INACTIVE":
        raise Gone
    return clusters[0]


class Cluster(Resource):
    """A cluster; its id is its ARN."""

    token = "aws:ecs/cluster:Cluster"
    backed_by = "moto: ecs.create_cluster, update_cluster"
    force_new = frozenset({"name"})
    name_property = "name"

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Makes the cluster."""
        arn: str = aws.client("ecs").create_cluster(
            clusterName=inputs["name"], tags=ecs_tags(aws.tags_all(inputs)), **self._settings(inputs)
        )["cluster"]["clusterArn"]
        return arn, self.read(aws, arn, inputs)

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the cluster."""
        cluster = active_cluster(aws, physical_id)
        configuration, connect = cluster.get("configuration"), cluster.get("serviceConnectDefaults")
        return {
            "arn": cluster["clusterArn"],
            "configuration": from_api(_CONFIGURATION, configuration) if configuration else None,
            "name": cluster["clusterName"],
            "serviceConnectDefaults": from_api(_SERVICE_CONNECT, connect) if connect else None,
            "settings": [from_api(_SETTING, setting) for setting in cluster.get("settings") or []],
            "tags": ecs_tag_map(cluster.get("tags")),
        }

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Changes settings, configuration and tags."""
        aws.client("ecs").update_cluster(cluster=physical_id, **self._settings(inputs))
        retag(aws, physical_id, state, inputs)
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Deletes the cluster."""
        with missing_is_fine():
            aws.client("ecs").delete_cluster(cluster=physical_id)

    @staticmethod
    def _settings(inputs: Props) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        if inputs.get("settings"):
            settings["settings"] = [to_api(_SETTING, setting) for setting in inputs["settings"]]
        if inputs.get("configuration"):
            settings["configuration"] = to_api(_CONFIGURATION, inputs["configuration"])
        if inputs.get("serviceConnectDefaults"):
            settings["serviceConnectDefaults"] = to_api(_SERVICE_CONNECT, inputs["serviceConnectDefaults"])
        return settings


class ClusterCapacityProviders(Resource):
    """What a cluster runs tasks on; its id is the cluster's name."""

    token = "aws:ecs/clusterCapacityProviders:ClusterCapacityProviders"
    backed_by = "moto: ecs.put_cluster_capacity_providers"
    force_new = frozenset({"clusterName"})
    taggable = False

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Gives the cluster its providers."""
        return inputs["clusterName"], self._put(aws, inputs["clusterName"], inputs)

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the providers of the cluster."""
        cluster = active_cluster(aws, physical_id)
        return {
            "capacityProviders": cluster.get("capacityProviders") or [],
            "clusterName": cluster["clusterName"],
            "defaultCapacityProviderStrategies": [
                from_api(STRATEGY, entry) for entry in cluster.get("defaultCapacityProviderStrategy") or []
            ],
        }

    def update(self, aws: Aws, physical_id: str, _state: Props, inputs: Props, /) -> Props:
        """Gives the cluster other providers."""
        return self._put(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Takes all providers off the cluster."""
        with missing_is_fine():
            aws.client("ecs").put_cluster_capacity_providers(
                cluster=physical_id, capacityProviders=[], defaultCapacityProviderStrategy=[]
            )

    def _put(self, aws: Aws, cluster: str, inputs: Props) -> Props:
        strategies = inputs.get("defaultCapacityProviderStrategies") or []
        aws.client("ecs").put_cluster_capacity_providers(
            cluster=cluster,
            capacityProviders=inputs.get("capacityProviders") or [],
            defaultCapacityProviderStrategy=[to_api(STRATEGY, entry) for entry in strategies],
        )
        return self.read(aws, cluster, inputs)
