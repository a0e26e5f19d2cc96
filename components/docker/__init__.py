"""Sessions as containers on one Docker host."""

from components.docker.runtime import Docker, DockerArgs, on_docker

__all__ = ["Docker", "DockerArgs", "on_docker"]
