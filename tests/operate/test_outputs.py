"""The outputs that commands read, and what is said when they are not what they should be."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from operate.failures import Exit, Failure
from operate.outputs import DockerEnvironment, DockerSession, FargateEnvironment, FargateSession, Outputs
from operate.reading import read_outputs
from tests.operate.deployed import outputs


def test_both_runtimes_are_read() -> None:
    docker, fargate = Outputs.parse(outputs("docker")), Outputs.parse(outputs("fargate"))
    assert isinstance(docker.environment("api-client"), DockerEnvironment)
    assert isinstance(docker.session("chat"), DockerSession)
    assert isinstance(fargate.environment("api-client"), FargateEnvironment)
    assert isinstance(fargate.session("chat"), FargateSession)


def test_what_a_later_version_adds_is_passed_over() -> None:
    data = outputs()
    data["prices"] = "x"
    data["environments"]["api-client"]["egress_policy"]["identities"] = [{"session": "a", "sources": []}]
    data["sessions"]["desk"]["usd_per_hour"] = 0.1
    assert Outputs.parse(data).session("desk").environment == "api-client"


def without(*path: str) -> dict[str, Any]:
    data = outputs()
    at = data
    for part in path[:-1]:
        at = at[part]
    del at[path[-1]]
    return data


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (("environments", "api-client", "runtime"), "environments.api-client"),
        (("environments", "api-client", "policy_hash"), "policy_hash"),
        (("environments", "api-client", "egress_policy", "hosts"), "egress_policy.hosts"),
        (("sessions",), "sessions"),
    ],
)
def test_a_stack_of_another_version_is_told_to_be_deployed_again(path: tuple[str, ...], told: str) -> None:
    with pytest.raises(Failure, match="pulumi up") as caught:
        Outputs.parse(without(*path))
    assert told in str(caught.value)
    assert caught.value.code is Exit.USAGE


def test_a_policy_of_another_version_is_refused() -> None:
    data = outputs()
    data["environments"]["api-client"]["egress_policy"]["version"] = 2
    with pytest.raises(Failure, match="version 2"):
        Outputs.parse(data)


def test_nothing_deployed() -> None:
    with pytest.raises(Failure, match="nothing is deployed"):
        Outputs.parse({})


def test_a_name_that_is_not_there_gets_a_suggestion() -> None:
    known = Outputs.parse(outputs())
    with pytest.raises(Failure, match="did you mean 'desk'"):
        known.session("desks")
    with pytest.raises(Failure, match="use one of: api-client"):
        known.environment("zzz")


def test_outputs_from_a_file_and_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "outputs.json"
    file.write_text(json.dumps(outputs()))
    assert "desk" in read_outputs(None, file).sessions
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(outputs())))
    assert "desk" in read_outputs(None, Path("-")).sessions


@pytest.mark.parametrize("content", [None, "{"])
def test_a_file_that_is_none(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "outputs.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(Failure, match=r"outputs\.json") as caught:
        read_outputs(None, file)
    assert caught.value.code is Exit.USAGE


@pytest.fixture
def pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def executable(folder: Path, script: str) -> None:
    (folder / "pulumi").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "pulumi").chmod(0o755)


def test_pulumi_is_asked_for_the_stack_and_for_no_secret(pulumi: Path) -> None:
    (pulumi / "outputs.json").write_text(json.dumps(outputs()) + "\n")
    executable(pulumi, f'echo "$@" > {pulumi}/asked; while read -r line; do echo "$line"; done < {pulumi}/outputs.json')
    assert "desk" in read_outputs("team", None).sessions
    asked = (pulumi / "asked").read_text().split()
    assert asked == ["stack", "output", "--json", "--show-secrets=false", "--non-interactive", "--stack", "team"]


def test_pulumis_own_reason_is_told(pulumi: Path) -> None:
    executable(pulumi, "echo 'error: no stack selected' >&2; exit 255")
    with pytest.raises(Failure, match="no stack selected"):
        read_outputs(None, None)


def test_no_pulumi(pulumi: Path) -> None:
    with pytest.raises(Failure, match="--outputs FILE"):
        read_outputs(None, None)
