"""Puts into the work folder what the session mounts, before its agent starts: uploaded files and repositories."""

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

from agentenv_session.environment import API_KEY, BEARER, PLACEHOLDER, without_private
from agentenv_session.events import Emit

_GIT_SECONDS = 600
_FILE_SECONDS = 300
_TRIES, _PAUSE_SECONDS = 3, 1.0
_CHUNK = 1024 * 1024
FILES_BETA = "files-api-2025-04-14"
"""Source: https://docs.claude.com/en/docs/build-with-claude/files"""


class MountError(Exception):
    """Something cannot be mounted: one line with its place, the reason and a fix."""


def mount_all(mounts: tuple[Mapping[str, Any], ...], workspace: Path, variables: Mapping[str, str], emit: Emit) -> None:
    """Mount everything that is not there yet.

    Args:
        mounts: Of the declaration.
        workspace: The folder that stands for `/workspace`.
        variables: What the agent's program gets: by its proxy and its route, things are fetched.
        emit: Told of each.

    Raises:
        MountError: one of them cannot be had.
    """
    for index, one in enumerate(mounts):
        at = f"mounts[{index}]"
        target = _target(one, workspace)
        if target.exists():
            # Loaded with the state of an earlier run, and perhaps worked on.
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if one["type"] == "file":
            _fetch(at, one["file_id"], target, variables)
        else:
            _clone(at, one, target, variables)
        emit("mount", {"type": one["type"], "path": str(target)})


def _target(one: Mapping[str, Any], workspace: Path) -> Path:
    name: str = one["file_id"] if one["type"] == "file" else one["url"].rpartition("/")[2].removesuffix(".git")
    path: str = one.get("mount_path") or name
    return workspace / path.removeprefix("/workspace/")


def _fetch(at: str, file_id: str, target: Path, variables: Mapping[str, str]) -> None:
    base = variables.get("ANTHROPIC_BASE_URL")
    if not base:
        raise MountError(
            f"{at}.file_id: files are fetched by the route to the model's API, and the session has none. "
            "Fix: add a secret ANTHROPIC_API_KEY with inject."
        )
    request = urllib.request.Request(  # noqa: S310 - the gateway's own address
        f"{base}/v1/files/{file_id}/content",
        headers={**_credential(variables), "anthropic-version": "2023-06-01", "anthropic-beta": FILES_BETA},
    )
    fresh = target.with_name(f".{target.name}.new")
    for left in reversed(range(_TRIES)):
        try:
            _download(request, fresh)
        except urllib.error.HTTPError as error:
            with error:
                reason = f"{error.code} {error.headers.get('x-egress-rule') or error.reason}"
            raise MountError(
                f"{at}.file_id: the file cannot be had ({reason}). Fix: upload it, and name its id."
            ) from None
        except (OSError, HTTPException) as error:
            fresh.unlink(missing_ok=True)
            if not left:
                raise MountError(
                    f"{at}.file_id: the file cannot be had ({error}). Fix: see the gateway's log."
                ) from None
            time.sleep(_PAUSE_SECONDS)
        else:
            fresh.replace(target)
            return


def _download(request: urllib.request.Request, fresh: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=_FILE_SECONDS) as answer, fresh.open("wb") as stream:
        while data := answer.read(_CHUNK):
            stream.write(data)
        announced = answer.headers.get("content-length")
        # A connection that ends too soon looks like the end of the file.
        if announced is not None and int(announced) != stream.tell():
            raise OSError(f"it ended after {stream.tell()} of {announced} bytes")


def _credential(variables: Mapping[str, str]) -> dict[str, str]:
    """A placeholder, in the header where the gateway puts the real one."""
    if BEARER in variables:
        return {"authorization": f"Bearer {variables[BEARER]}"}
    return {"x-api-key": variables.get(API_KEY, PLACEHOLDER)}


def _clone(at: str, one: Mapping[str, Any], target: Path, variables: Mapping[str, str]) -> None:
    command = ["git", "clone", "--quiet", "--no-recurse-submodules"]
    if one.get("checkout"):
        command += ["--branch", one["checkout"]]
    command += ["--", one["url"], str(target)]
    environment = {**variables, "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "https"}
    without_private(environment)
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MountError(f"{at}.url: git cannot be run ({error}). Fix: see the gateway's log.") from None
    if done.returncode:
        said = " ".join(done.stderr.split())[-500:]
        raise MountError(
            f"{at}.url: {one['url']} cannot be cloned ({said}). Fix: allow github.com in the environment's networking, "
            "and name a branch or tag that is there."
        )
