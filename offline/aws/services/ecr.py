"""ECR: private image repositories and their policies."""

import base64
from typing import Any, ClassVar

from offline.aws.errors import missing_is_fine, missing_is_gone
from offline.aws.registry import Invoke
from offline.aws.resource import Aws, Props, Resource
from offline.aws.services._gone import gone_if
from offline.aws.services._structure import Fields, from_api, to_api
from offline.aws.services._tags import tag_changes, tag_list, tag_map

_ENCRYPTION: Fields = {"encryptionType": "encryptionType", "kmsKey": "kmsKey"}
_SCANNING: Fields = {"scanOnPush": "scanOnPush"}
_DEFAULT_SCANNING = {"scanOnPush": False}
_DEFAULT_MUTABILITY = "MUTABLE"


class Repository(Resource):
    """A private repository; its id is its name."""

    token = "aws:ecr/repository:Repository"
    backed_by = "moto: ecr.create_repository, put_image_tag_mutability, put_image_scanning_configuration"
    force_new = frozenset({"name", "encryptionConfigurations"})
    name_property = "name"
    name_limit = 256
    defaults: ClassVar[dict[str, Any]] = {"forceDelete": False, "imageTagMutability": _DEFAULT_MUTABILITY}
    unsupported = frozenset({"imageTagMutabilityExclusionFilters"})

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Makes the repository with all its settings in one call."""
        encryption = inputs.get("encryptionConfigurations") or []
        repository = aws.client("ecr").create_repository(
            repositoryName=inputs["name"],
            imageTagMutability=inputs.get("imageTagMutability", _DEFAULT_MUTABILITY),
            imageScanningConfiguration=self._scanning(inputs),
            tags=tag_list(aws.tags_all(inputs)),
            **({"encryptionConfiguration": to_api(_ENCRYPTION, encryption[0])} if encryption else {}),
        )["repository"]
        return repository["repositoryName"], self.read(aws, repository["repositoryName"], inputs)

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the repository's settings and where images are pushed to."""
        client = aws.client("ecr")
        with missing_is_gone():
            repository = client.describe_repositories(repositoryNames=[physical_id])["repositories"][0]
        encryption = repository.get("encryptionConfiguration")
        scanning = repository.get("imageScanningConfiguration") or _DEFAULT_SCANNING
        return {
            "arn": repository["repositoryArn"],
            "encryptionConfigurations": [from_api(_ENCRYPTION, encryption)] if encryption else [],
            # Scanning that is off and scanning that is not configured are one and the same to the real provider.
            "imageScanningConfiguration": scanning
            if _state.get("imageScanningConfiguration") or scanning["scanOnPush"]
            else None,
            "imageTagMutability": repository["imageTagMutability"],
            "name": repository["repositoryName"],
            "registryId": repository["registryId"],
            "repositoryUrl": repository["repositoryUri"],
            "tags": tag_map(client.list_tags_for_resource(resourceArn=repository["repositoryArn"])["tags"]),
        }

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Changes mutability, scanning and tags."""
        client = aws.client("ecr")
        client.put_image_tag_mutability(
            repositoryName=physical_id, imageTagMutability=inputs.get("imageTagMutability", _DEFAULT_MUTABILITY)
        )
        client.put_image_scanning_configuration(
            repositoryName=physical_id, imageScanningConfiguration=self._scanning(inputs)
        )
        removed, written = tag_changes(aws, state, inputs)
        if removed:
            client.untag_resource(resourceArn=state["arn"], tagKeys=removed)
        if written:
            client.tag_resource(resourceArn=state["arn"], tags=tag_list(written))
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, state: Props, /) -> None:
        """Deletes the repository; one that holds images only with `forceDelete`."""
        with missing_is_fine():
            aws.client("ecr").delete_repository(repositoryName=physical_id, force=bool(state.get("forceDelete")))

    @staticmethod
    def _scanning(inputs: Props) -> Props:
        return to_api(_SCANNING, inputs.get("imageScanningConfiguration") or _DEFAULT_SCANNING)


class LifecyclePolicy(Resource):
    """What a repository forgets, and when; its id is the repository's name."""

    token = "aws:ecr/lifecyclePolicy:LifecyclePolicy"
    backed_by = "moto: ecr.put_lifecycle_policy"
    force_new = frozenset({"repository", "policy"})
    # Made before the old one is deleted, the new policy would be deleted with it: a repository has just one.
    delete_before_replace = True
    json_properties = frozenset({"policy"})
    taggable = False

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Puts the policy."""
        aws.client("ecr").put_lifecycle_policy(
            repositoryName=inputs["repository"], lifecyclePolicyText=inputs["policy"]
        )
        return inputs["repository"], self.read(aws, inputs["repository"], inputs)

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the policy that the repository has."""
        with gone_if("LifecyclePolicyNotFoundException"):
            found = aws.client("ecr").get_lifecycle_policy(repositoryName=physical_id)
        return {
            "policy": found["lifecyclePolicyText"],
            "registryId": found["registryId"],
            "repository": found["repositoryName"],
        }

    def update(self, aws: Aws, physical_id: str, _state: Props, inputs: Props, /) -> Props:
        """Returns the policy: every change replaces it."""
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Deletes the policy."""
        with missing_is_fine("LifecyclePolicyNotFoundException"):
            aws.client("ecr").delete_lifecycle_policy(repositoryName=physical_id)


class RepositoryPolicy(Resource):
    """Who may do what with a repository; its id is the repository's name."""

    token = "aws:ecr/repositoryPolicy:RepositoryPolicy"
    backed_by = "moto: ecr.set_repository_policy"
    force_new = frozenset({"repository"})
    delete_before_replace = True
    json_properties = frozenset({"policy"})
    taggable = False

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Sets the policy."""
        return inputs["repository"], self._set(aws, inputs["repository"], inputs)

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the policy that the repository has."""
        with gone_if("RepositoryPolicyNotFoundException"):
            found = aws.client("ecr").get_repository_policy(repositoryName=physical_id)
        return {
            "policy": found["policyText"],
            "registryId": found["registryId"],
            "repository": found["repositoryName"],
        }

    def update(self, aws: Aws, physical_id: str, _state: Props, inputs: Props, /) -> Props:
        """Sets the policy anew."""
        return self._set(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, _state: Props, /) -> None:
        """Deletes the policy."""
        with missing_is_fine("RepositoryPolicyNotFoundException"):
            aws.client("ecr").delete_repository_policy(repositoryName=physical_id)

    def _set(self, aws: Aws, repository: str, inputs: Props) -> Props:
        aws.client("ecr").set_repository_policy(repositoryName=repository, policyText=inputs["policy"])
        return self.read(aws, repository, inputs)


def get_authorization_token(aws: Aws, arguments: Props) -> Props:
    """Returns user name, password and address for a login at the account's registry."""
    registry: dict[str, Any] = {"registryIds": [arguments["registryId"]]} if arguments.get("registryId") else {}
    granted = aws.client("ecr").get_authorization_token(**registry)["authorizationData"][0]
    user, _, password = base64.b64decode(granted["authorizationToken"]).decode().partition(":")
    return {
        "authorizationToken": granted["authorizationToken"],
        "expiresAt": granted["expiresAt"].isoformat(),
        "id": aws.region,
        "password": password,
        "proxyEndpoint": granted["proxyEndpoint"],
        "region": aws.region,
        "registryId": arguments.get("registryId"),
        "userName": user,
    }


RESOURCES: list[Resource] = [Repository(), LifecyclePolicy(), RepositoryPolicy()]
INVOKES: dict[str, Invoke] = {"aws:ecr/getAuthorizationToken:getAuthorizationToken": get_authorization_token}
