"""What a session without a command runs until there is an agent runner."""

import json

import pytest

from tests.unit.images.programs import program

session = program("session", "session")


def test_it_says_what_is_missing_and_ends_with_a_configuration_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTENV_ENVIRONMENT", "data-analysis")
    assert session.main() == 78
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert told["environment"] == "data-analysis"
    assert "No agent runner is in this release" in told["message"]
    assert "command" in told["message"]
