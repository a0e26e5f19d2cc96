"""Images of a Docker stack: built by the host's own engine, kept there, one build for each distinct content."""

from dataclasses import dataclass

import pulumi
import pulumi_docker as docker
import pulumi_docker_build as docker_build

from components.contexts import location
from components.models.session import Architecture
from components.plans.image import ImagePlan

NOWHERE = "agentenv.invalid"
"""Registry in the names of images. It cannot exist (RFC 2606), so an image that was removed here is never looked for at
a public one, where its name could be somebody else's."""
PLATFORMS = {Architecture.X86_64: "linux/amd64", Architecture.ARM64: "linux/arm64"}


@dataclass(frozen=True)
class Built:
    """An image on the engine.

    Attributes:
        ref: Its name; the tag is the hash of what decides its content.
        id: Its id, known once it has been built.
    """

    ref: pulumi.Output[str]
    id: pulumi.Output[str]


class Images(pulumi.ComponentResource):
    """Builds into the engine's own store; no registry has a part in it."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("agent-environments:docker:Images", name, {}, opts)
        self._name = name
        self._images: dict[str, Built] = {}
        self.register_outputs({})

    def image(self, kind: str, plan: ImagePlan, architecture: Architecture) -> Built:
        """The image of this plan, built once.

        Args:
            kind: `session`, `gateway` or `fence`.
            plan: What is in it.
            architecture: What it runs on.
        """
        key = f"{kind}-{plan.tag}"
        if key not in self._images:
            self._images[key] = self._build(key, f"{NOWHERE}/{kind}:{plan.tag}", plan, architecture)
        return self._images[key]

    def _build(self, key: str, ref: str, plan: ImagePlan, architecture: Architecture) -> Built:
        label = f"{self._name}-{key}"
        build = docker_build.Image(
            label,
            context=docker_build.BuildContextArgs(location=location(plan.context)),
            dockerfile=docker_build.DockerfileArgs(inline=plan.dockerfile),
            platforms=[docker_build.Platform(PLATFORMS[architecture])],
            labels=plan.labels,
            tags=[ref],
            load=True,
            push=False,
            build_on_preview=False,
            # Runs keep their image; what nothing uses any more is the engine's to prune.
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
        )
        here = docker.RemoteImage(
            label, name=ref, keep_locally=True, opts=pulumi.ResourceOptions(parent=self, depends_on=[build])
        )
        return Built(here.name, here.image_id)
