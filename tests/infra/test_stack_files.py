"""The committed stack files say what the models take, and the program stays short enough to read at one sitting."""

from pathlib import Path

import pytest
import yaml

from components.docker import Docker
from components.fargate import Fargate
from components.models.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(ROOT.glob("Pulumi.*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_committed_stack_file_is_valid(file: Path) -> None:
    config = yaml.safe_load(file.read_text())["config"]
    stack = Stack.parse(config["agent-environments:stack"])
    assert stack.environments
    assert stack.sessions
    assert stack.runtime == "docker" or config["aws:region"]
    (Docker if stack.runtime == "docker" else Fargate).check_stack(stack)


@pytest.mark.parametrize("team", ["research", "support"])
def test_no_agent_of_an_example_team_holds_the_credential_of_its_model(team: str) -> None:
    config = yaml.safe_load((ROOT / f"Pulumi.{team}.yaml").read_text())["config"]
    sessions = Stack.parse(config["agent-environments:stack"]).sessions
    assert len(sessions) > 1
    assert all(session.model_route is not None for session in sessions)


def test_there_is_a_demo_for_each_runtime_and_two_teams() -> None:
    runtimes = {
        file.name: Stack.parse(yaml.safe_load(file.read_text())["config"]["agent-environments:stack"]).runtime
        for file in FILES
    }
    assert runtimes["Pulumi.demo.yaml"] == "docker"
    assert runtimes["Pulumi.demo-aws.yaml"] == "fargate"
    assert {"Pulumi.research.yaml", "Pulumi.support.yaml"} <= runtimes.keys()


def test_the_program_is_under_100_lines() -> None:
    lines = sum(len(file.read_text().splitlines()) for file in (ROOT / "infra").glob("*.py"))
    assert lines < 100
