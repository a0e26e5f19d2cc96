"""Builds an image with `docker build` (BuildKit) and pushes it, through the Docker engine of this machine."""

import collections
import functools
import json
import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from offline.bootstrap.console import output_of
from offline.bootstrap.docker_engine import find_client
from offline.bootstrap.layout import find_layout
from offline.docker_build.inputs import context_location, dockerfile_of

_ERROR_LINES = 20
_KEPT_LINES = 200
_STEP = re.compile(r"#\d+ (\[.+)")


class BuildError(Exception):
    """The engine could not build or push an image; the message has the end of its output."""


class Builder:
    """Runs builds, and can end those that run.

    Args:
        host: address of the Docker engine; None for the environment's own.
    """

    def __init__(self, host: str | None = None) -> None:
        self._host = host
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()

    def build(
        self,
        inputs: dict[str, Any],
        *,
        tags: list[str],
        registries: list[dict[str, str]],
        on_line: Callable[[str], None],
    ) -> str:
        """Builds an image into the engine's own store.

        Args:
            inputs: checked inputs of an `Image`.
            tags: names to give it in the engine.
            registries: `address`, `username`, `password` of registries to pull from.
            on_line: receives each line of output.

        Returns:
            The image's id, `sha256:...`.

        Raises:
            BuildError: the build failed.
        """
        for platform in inputs.get("platforms") or []:
            check_platform(platform, _engine_platforms(self._host))
        with tempfile.TemporaryDirectory(prefix="docker-build-") as name:
            folder = Path(name)
            id_file = folder / "id"
            command = [_client(), "build", "--progress=plain", "--iidfile", str(id_file), "--file", "-"]
            command += [argument for tag in tags for argument in ("--tag", tag)]
            command += arguments(inputs) + _secret_arguments(inputs.get("secrets") or {}, folder)
            command.append(context_location(inputs))
            env = self._environment()
            if registries:
                env["DOCKER_CONFIG"] = str(_login(folder / "config", registries))
            code, output = self._run(command, env, dockerfile_of(inputs).text.encode(), on_line)
            if code != 0:
                raise BuildError(f"docker build: exit code {code}\n" + "\n".join(failure_of(output)))
            return id_file.read_text().strip()

    def push(self, image_id: str, name: str, tag: str, registry: dict[str, str] | None) -> str:
        """Tags an image and pushes it.

        Args:
            image_id: the image.
            name: registry and repository.
            tag: the tag.
            registry: `username` and `password`, if the registry asks for them.

        Returns:
            The digest of the pushed manifest.

        Raises:
            BuildError: the push failed.
        """
        import docker

        login = {key: registry[key] for key in ("username", "password") if key in registry} if registry else None
        client = docker.DockerClient(base_url=self._host) if self._host else docker.from_env()
        digest = ""
        try:
            client.api.tag(image_id, name, tag)
            for event in client.api.push(name, tag, stream=True, decode=True, auth_config=login):
                if "error" in event:
                    raise BuildError(f"docker push {name}:{tag}: {event['error']}")
                digest = event.get("aux", {}).get("Digest", digest)
        except docker.errors.DockerException as error:
            raise BuildError(f"docker push {name}:{tag}: {error}") from error
        finally:
            client.close()
        if not digest:
            raise BuildError(f"docker push {name}:{tag}: the engine told no digest")
        return digest

    def cancel(self) -> None:
        """Ends every build that runs."""
        with self._lock:
            for child in self._running:
                child.terminate()

    def _run(
        self, command: list[str], env: Mapping[str, str], stdin: bytes, on_line: Callable[[str], None]
    ) -> tuple[int, list[str]]:
        """Returns the exit code and the last lines of output."""
        last: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
        child = subprocess.Popen(
            command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        with self._lock:
            self._running.add(child)
        try:
            with child:
                if child.stdin is None or child.stdout is None:
                    raise BuildError("docker build: no pipes")
                child.stdin.write(stdin)
                child.stdin.close()
                for raw in child.stdout:
                    line = raw.decode(errors="replace").rstrip()
                    if line:
                        last.append(line)
                        on_line(line)
            return child.returncode, list(last)
        finally:
            with self._lock:
                self._running.discard(child)

    def _environment(self) -> dict[str, str]:
        env = {
            **os.environ,
            "DOCKER_BUILDKIT": "1",
            # Newer clients: build in the engine itself, whatever builder the user has chosen, and make a plain
            # image instead of an index with a provenance record that has a time in it.
            "BUILDX_BUILDER": "default",
            "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
        }
        if self._host:
            env["DOCKER_HOST"] = self._host
        return env


def arguments(inputs: dict[str, Any]) -> list[str]:
    """Returns the options of `docker build` for the inputs of an `Image`, without Dockerfile, context and secrets."""
    options: list[str] = []
    for flag, key in (("--build-arg", "buildArgs"), ("--label", "labels")):
        options += [part for k, v in sorted((inputs.get(key) or {}).items()) for part in (flag, f"{k}={v}")]
    for flag, key in (("--target", "target"), ("--network", "network")):
        if inputs.get(key):
            options += [flag, str(inputs[key])]
    for flag, key in (("--add-host", "addHosts"), ("--platform", "platforms")):
        options += [part for value in inputs.get(key) or [] for part in (flag, value)]
    for flag, key in (("--no-cache", "noCache"), ("--pull", "pull")):
        if inputs.get(key):
            options.append(flag)
    for ssh in inputs.get("ssh") or []:
        options += ["--ssh", "=".join(part for part in (ssh["id"], ",".join(ssh.get("paths") or [])) if part)]
    for name, context in sorted(((inputs.get("context") or {}).get("named") or {}).items()):
        options += ["--build-context", f"{name}={context['location']}"]
    return options


def failure_of(output: list[str]) -> list[str]:
    """Returns the lines that tell why a build failed: BuildKit's own summary, else the last lines."""
    start = next((i for i, line in enumerate(output) if line.startswith("------")), None)
    return output[-_ERROR_LINES:] if start is None else [line for line in output[start:] if line.strip("-")]


def check_platform(platform: str, available: frozenset[str]) -> None:
    """Refuses a platform that the engine cannot run.

    Such a build would end well all the same when the base image exists for the engine's own platform only: its
    programs would then be that platform's, under the other's label.

    Raises:
        BuildError: the engine has neither the processor nor an emulator for it.
    """
    if platform not in available:
        raise BuildError(
            f"platforms: {platform!r}: this Docker engine builds {', '.join(sorted(available))} only; "
            "build on such a machine, or register an emulator (QEMU, binfmt_misc) and use a client with buildx"
        )


def step_of(line: str) -> str | None:
    """Returns the step that a line of plain progress announces (`[2/5] RUN ...`), or None."""
    found = _STEP.match(line)
    return found[1] if found else None


def _secret_arguments(secrets: Mapping[str, str], folder: Path) -> list[str]:
    options = []
    for index, (name, value) in enumerate(sorted(secrets.items())):
        file = folder / f"secret-{index}"
        file.touch(mode=0o600)
        file.write_text(value)
        options += ["--secret", f"id={name},src={file}"]
    return options


def _login(folder: Path, registries: list[dict[str, str]]) -> Path:
    """Writes a docker configuration that knows these registries only."""
    import base64

    auths = {
        registry["address"]: {
            "auth": base64.b64encode(f"{registry.get('username', '')}:{registry.get('password', '')}".encode()).decode()
        }
        for registry in registries
    }
    folder.mkdir(mode=0o700)
    (folder / "config.json").write_text(json.dumps({"auths": auths}))
    return folder


@functools.cache
def _engine_platforms(host: str | None) -> frozenset[str]:
    """Returns the platforms that the engine can build: those that buildx lists, else its own."""
    env = {**os.environ, **({"DOCKER_HOST": host} if host else {})}
    listed = output_of([_client(), "buildx", "inspect", "default"], env=env) or ""
    platforms = re.findall(r"\b\w+/\w+\b", " ".join(re.findall(r"^Platforms:(.*)$", listed, re.MULTILINE)))
    own = output_of([_client(), "version", "--format", "{{.Server.Os}}/{{.Server.Arch}}"], env=env)
    if own is None:
        raise BuildError("docker: the engine gives no answer; start it (make setup)")
    return frozenset({own, *platforms})


@functools.cache
def _client() -> str:
    client = find_client(find_layout())
    if client is None:
        raise BuildError("docker: no client with BuildKit on PATH (Debian's packages docker-cli and docker-buildx)")
    return client
