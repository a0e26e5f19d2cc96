"""Image repositories and builds: one build for each distinct content, whoever asks for it."""

import json

import pulumi
import pulumi_docker_build as docker_build
from pulumi_aws import ecr

from components.contexts import location
from components.fargate.scope import Scope
from components.models.tags import Role
from components.plans.image import ImagePlan

UNTAGGED_DAYS = 14


class Registry(pulumi.ComponentResource):
    """ECR repositories of a stack, and the images in them.

    Attributes:
        session_repository: Name of the repository of session images.
        gateway_repository: Name of the repository of gateway images.
    """

    def __init__(self, name: str, scope: Scope, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("agent-environments:fargate:Registry", name, {}, opts)
        self._name, self._scope = name, scope
        self._images: dict[str, pulumi.Output[str]] = {}
        self.session_repository = scope.name("ecr-repository", "session")
        self.gateway_repository = scope.name("ecr-repository", "gateway")
        cache = scope.name("ecr-repository", "cache")
        self._repositories = {
            "session": self._repository("session", self.session_repository, mutable=False),
            "gateway": self._repository("gateway", self.gateway_repository, mutable=False),
        }
        # A build cache is overwritten by each build; nothing runs from it.
        self._cache = self._repository("cache", cache, mutable=True)
        token = ecr.get_authorization_token_output(opts=pulumi.InvokeOutputOptions(parent=self))
        self._login = docker_build.RegistryArgs(
            address=token.proxy_endpoint, username=token.user_name, password=pulumi.Output.secret(token.password)
        )
        self.register_outputs({})

    def image(self, repository: str, plan: ImagePlan, platform: str) -> pulumi.Output[str]:
        """Reference by digest of the image of this plan, built once.

        Args:
            repository: `session` or `gateway`.
            plan: What is in it.
            platform: `linux/amd64` or `linux/arm64`.
        """
        key = f"{repository}-{plan.tag}"
        if key not in self._images:
            self._images[key] = self._build(key, repository, plan, platform)
        return self._images[key]

    def _build(self, key: str, repository: str, plan: ImagePlan, platform: str) -> pulumi.Output[str]:
        url = self._repositories[repository].repository_url
        cache = pulumi.Output.concat(self._cache.repository_url, ":", repository, "-", platform.rpartition("/")[2])
        image = docker_build.Image(
            f"{self._name}-{key}",
            context=docker_build.BuildContextArgs(location=location(plan.context)),
            dockerfile=docker_build.DockerfileArgs(inline=plan.dockerfile),
            platforms=[docker_build.Platform(platform)],
            labels=plan.labels,
            tags=[pulumi.Output.concat(url, ":", plan.tag)],
            push=True,
            build_on_preview=False,
            cache_from=[docker_build.CacheFromArgs(registry=docker_build.CacheFromRegistryArgs(ref=cache))],
            cache_to=[
                docker_build.CacheToArgs(
                    registry=docker_build.CacheToRegistryArgs(
                        # ECR takes a cache only as an OCI image manifest.
                        ref=cache,
                        mode=docker_build.CacheMode.MAX,
                        image_manifest=True,
                        oci_media_types=True,
                        ignore_error=True,
                    )
                )
            ],
            registries=[self._login],
            # Tasks that run now keep their image: the repository's lifecycle rule cleans up, not an `up`.
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
        )
        return pulumi.Output.concat(url, "@", image.digest)

    def _repository(self, key: str, physical: str, *, mutable: bool) -> ecr.Repository:
        label = f"{self._name}-{key}"
        repository = ecr.Repository(
            label,
            name=physical,
            image_tag_mutability="MUTABLE" if mutable else "IMMUTABLE",
            image_scanning_configuration=ecr.RepositoryImageScanningConfigurationArgs(scan_on_push=True),
            encryption_configurations=[ecr.RepositoryEncryptionConfigurationArgs(encryption_type="AES256")],
            # Images can be built again from the stack file; a stack that is destroyed leaves none behind.
            force_delete=True,
            tags=self._scope.tags(Role.SHARED),
            opts=pulumi.ResourceOptions(parent=self),
        )
        ecr.LifecyclePolicy(
            label,
            repository=repository.name,
            policy=json.dumps(_lifecycle()),
            opts=pulumi.ResourceOptions(parent=self),
        )
        return repository


def _lifecycle() -> dict[str, object]:
    # Only what no tag holds: a tagged image may be the one that a task definition names.
    untagged = {
        "tagStatus": "untagged",
        "countType": "sinceImagePushed",
        "countUnit": "days",
        "countNumber": UNTAGGED_DAYS,
    }
    rule = {"rulePriority": 1, "description": "Layers that no tag holds", "selection": untagged}
    return {"rules": [rule | {"action": {"type": "expire"}}]}
