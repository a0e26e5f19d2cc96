"""What package managers add to a session's image, and what of it is built again when packages change."""

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import docker

from components.base_image import pinned
from components.contexts import content_hash
from components.models.environment import Packages
from components.plans.image import ImagePlan, session_image

IMAGES = Path(__file__).resolve().parents[2] / "images"
BASE = os.environ.get("AGENT_ENVIRONMENTS_BASE_IMAGE", "debian:trixie-slim")
PLATFORM = "linux/amd64"
SECONDS = 1800
NAME = "agent-environments-benchmark"
"""Of the images' repository: nobody else has one of this name."""
SMALL: dict[str, Packages] = {
    "apt": Packages(apt=("jq",)),
    "cargo": Packages(cargo=("hexyl@0.16.0",)),
    "gem": Packages(gem=("rake",)),
    "go": Packages(go=("golang.org/x/example/hello@latest",)),
    "npm": Packages(npm=("is-odd",)),
    "pip": Packages(pip=("six",)),
}
"""A small package for each manager: what remains is the manager itself."""


@dataclass(frozen=True)
class Built:
    """An image.

    Attributes:
        tag: By its content.
        size: Bytes.
        layers: Digests, lowest first.
        seconds: That its build took, with whatever the engine had in its cache.
    """

    tag: str
    size: int
    layers: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Layer:
    """A layer of an image; one that was taken from the cache is equal to what it was.

    Attributes:
        created: Seconds since 1970.
        by: Line of the Dockerfile.
        size: Bytes.
    """

    created: int
    by: str
    size: int


def plan(packages: Packages) -> ImagePlan:
    """The image of an environment with these packages."""
    return session_image(packages, base=pinned(BASE), platform=PLATFORM, context_hash=content_hash("session"))


def built(packages: Packages) -> Built:
    """Build it, or find that it is there."""
    made = plan(packages)
    name = f"{NAME}:{made.tag}"
    began = time.monotonic()
    done = subprocess.run(
        ["docker", "build", "--quiet", "--tag", name, "--file", "-", str(IMAGES / made.context)],
        input=made.dockerfile,
        env={**os.environ, "DOCKER_BUILDKIT": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    seconds = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(f"docker build ended with {done.returncode}: {done.stderr[-2000:]}")
    client = docker.from_env(timeout=120)
    try:
        attributes = client.images.get(name).attrs
    finally:
        client.close()
    return Built(made.tag, attributes["Size"], tuple(attributes["RootFS"]["Layers"]), seconds)


def history(tag: str) -> list[Layer]:
    """The layers of an image that was built here, newest first; without those that are empty."""
    client = docker.from_env(timeout=120)
    try:
        found = client.images.get(f"{NAME}:{tag}").history()
    finally:
        client.close()
    return [Layer(layer["Created"], layer["CreatedBy"], layer["Size"]) for layer in found if layer["Size"]]


def remove() -> None:
    """Remove every image that was built here; the engine's cache of layers stays."""
    client = docker.from_env(timeout=120)
    try:
        for image in client.images.list(NAME):
            for name in image.tags:
                client.images.remove(name)
    finally:
        client.close()
