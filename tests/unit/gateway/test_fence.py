"""The gateway and the container that holds its network namespace."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from egress_gateway import fence
from egress_gateway.settings import read_settings

PACKAGE = Path(__file__).resolve().parents[3] / "images" / "egress-gateway"
RUN = """
import os, sys
from egress_gateway import __main__, fence
fence.SOCKET, fence.WAIT_SECONDS, fence.RESTART_SECONDS = chr(0) + sys.argv.pop(1), 0.2, 0.1
os.getuid = lambda: 12345
sys.exit(__main__.main())
"""


@pytest.fixture
def name() -> str:
    return f"gateway-test-{os.getpid()}-{time.monotonic_ns()}"


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    return {
        "PYTHONPATH": str(PACKAGE),
        "EGRESS_POLICY": str(tmp_path / "policy.json"),
        "EGRESS_LISTEN": "127.0.0.1:0",
        "EGRESS_ADMIN": "127.0.0.1:0",
        "EGRESS_STATE": str(tmp_path / "state"),
        "EGRESS_FENCE": "1",
    }


@pytest.fixture
def door(name: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(f"\0{name}")
        one.listen()
        one.settimeout(10)
        yield one


def run(name: str, variables: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", RUN, name, *arguments]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=20, check=False)


def test_without_its_fence_nothing_is_served(name: str, variables: dict[str, str]) -> None:
    ended = run(name, variables)
    assert ended.returncode == 1
    assert "no fence answers in this network namespace" in ended.stderr
    assert "listening" not in ended.stdout


def test_the_gateway_ends_with_its_fence_and_is_not_well_without(
    name: str, variables: dict[str, str], door: socket.socket
) -> None:
    command = [sys.executable, "-c", RUN, name]
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) as process:
        try:
            guest, _ = door.accept()
            assert process.stdout is not None
            assert any(json.loads(line)["event"] == "listening" for line in process.stdout)
            assert run(name, variables, "check").returncode == 0
            assert process.poll() is None
            door.close()
            assert run(name, variables, "check").returncode == 1
            guest.close()
            assert process.wait(20) == 1
            events = [json.loads(line)["event"] for line in process.stdout]
            assert "fence_gone" in events
            assert events[-1] == "stopped"
        finally:
            process.kill()


def test_an_answer_of_the_gateways_own_user_is_no_fence(
    name: str, door: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fence, "SOCKET", f"\0{name}")
    with pytest.raises(fence.NoFence, match="own user"):
        fence.connect()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    fence.connect().close()


def test_there_is_a_fence_on_a_docker_host_alone() -> None:
    assert read_settings({}).fence is False
    assert read_settings({"EGRESS_FENCE": "1"}).fence is True
    with pytest.raises(ValueError, match="EGRESS_FENCE = 'yes'"):
        read_settings({"EGRESS_FENCE": "yes"})
