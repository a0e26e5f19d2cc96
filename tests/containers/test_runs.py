"""`agentenv start` and what follows it on a real engine, with commands instead of agents."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import docker
import pytest

from components.models.tags import RUN
from operate.outputs import DockerEnvironment, Outputs
from tests.containers.rig import ENVIRONMENT, environment, until

pytestmark = pytest.mark.containers

NAME = f"agentenv-test-runs-{os.getpid()}"
RANGE = IPv4Network("10.233.0.0/16")
STATE = "/var/lib/agentenv/state"


def command(name: str, text: str, pattern: str = "ephemeral") -> dict[str, Any]:
    return {"name": name, "environment": ENVIRONMENT, "pattern": pattern, "command": ["/bin/sh", "-c", text]}


SESSIONS = [
    command("echo", 'echo "I am $AGENTENV_RUN"; echo "$COLOUR" >&2; exit "${CODE:-0}"'),
    command("long", "printf '%0100000d\\n' 7; printf 'no end'"),
    command("patient", "trap 'echo saved; exit 143' TERM; echo ready; while :; do sleep 0.1; done"),
    command("memory", f"cat {STATE}/a.tar 2>/dev/null; echo noted > {STATE}/a.tar; exec $THEN", "hybrid"),
]


@dataclass
class Desk:
    """A place to run commands at.

    Attributes:
        client: The engine.
        outputs: File with what a stack would say.
        environment: For commands.
    """

    client: docker.DockerClient
    outputs: Path
    environment: dict[str, str]

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "operate", *arguments, "--outputs", str(self.outputs)]

    def run(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            self.command(*arguments), env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == code, (done.stdout, done.stderr)
        return done.stdout

    def started(self, *arguments: str) -> str:
        return self.run("start", *arguments).strip()

    def told(self, run: str) -> dict[str, Any]:
        found = json.loads(self.run("list", "--json"))["runs"]
        return next(dict(one) for one in found if one["id"] == run)

    def left(self) -> list[str]:
        filters: Any = {"label": [RUN, f"agentenv.stack={NAME}"]}
        containers = self.client.containers.list(all=True, filters=filters, ignore_removed=True)
        networks = self.client.networks.list(filters=filters)
        return [str(one.id) for one in containers] + [str(one.id) for one in networks]

    def identities(self) -> list[Any]:
        gateway = self.client.containers.get(f"{NAME}-gateway")
        answer: Any = gateway.exec_run(["python3", "-m", "egress_gateway", "policy"])
        return list(json.loads(answer.output)["identities"])

    def clean(self) -> bool:
        return self.left() == [] and self.identities() == []

    def keepers(self, run: str) -> list[int]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().decode().split("\0")
            except OSError:
                continue
            if "operate.keeper" in words and run in words:
                found.append(int(path.parent.name))
        return found


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    labels = {"agentenv.stack": NAME, "agentenv.environment": ENVIRONMENT, "agentenv.role": "session"}
    folder = tmp_path_factory.mktemp("runs")
    with ExitStack() as made:
        client = made.enter_context(closing(docker.from_env()))
        outputs = environment(client, made, name=NAME, range_=RANGE, sessions=SESSIONS, labels=labels)
        assert isinstance(Outputs.parse(outputs).environment(ENVIRONMENT), DockerEnvironment)
        (folder / "outputs.json").write_text(json.dumps(outputs))
        variables = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "COLUMNS": "200"}
        yield Desk(client, folder / "outputs.json", variables)
        for volume in client.volumes.list(filters={"label": f"agentenv.stack={NAME}"}):
            volume.remove()


def test_a_run_that_is_waited_for_leaves_its_result_and_nothing_else(desk: Desk) -> None:
    out = desk.run("start", "echo", "--wait", "--json", "--env", "CODE=7", "--env", "COLOUR=blue", code=7)
    told = json.loads(out)
    assert (told["status"], told["exit_code"], told["outcome"]) == ("ended", 7, "agent_error")
    assert desk.clean()
    lines = desk.run("logs", told["id"]).splitlines()
    assert {f"I am {told['id']}", "blue"} <= set(lines)
    assert json.loads(desk.run("result", told["id"], "--json", code=7))["exit_code"] == 7
    assert told["image"].startswith("sha256:")


def test_lines_come_whole_however_long_they_are_and_without_an_end(desk: Desk) -> None:
    out = desk.run("start", "long", "--follow", "--json")
    assert [line for line in out.split("\n") if line[-1:] != "}"][-3:] == ["0" * 99_999 + "7", "no end", ""]


def test_a_run_that_nobody_waits_for_is_kept(desk: Desk) -> None:
    run = desk.started("echo")
    until(lambda: desk.clean() and not desk.keepers(run))
    assert desk.told(run)["outcome"] == "success"
    assert f"I am {run}" in desk.run("logs", run)
    folder = Path(desk.environment["XDG_STATE_HOME"]) / "agentenv" / "runs"
    assert not (folder / f"{run}.keeper").exists()


def test_what_a_killed_keeper_left_is_done_by_the_next_command(desk: Desk) -> None:
    run = desk.started("patient")
    until(lambda: "ready" in desk.run("logs", run))
    (keeper,) = desk.keepers(run)
    os.kill(keeper, signal.SIGKILL)
    until(lambda: not desk.keepers(run))
    desk.client.containers.get(f"agentenv-run-{run}-session").kill("SIGTERM")
    until(lambda: desk.told(run)["status"] == "ended")
    assert "saved" in desk.run("logs", run)
    assert desk.clean()


def test_stop_asks_first(desk: Desk) -> None:
    run = desk.started("patient")
    until(lambda: "ready" in desk.run("logs", run))
    assert desk.told(run)["status"] == "running"
    assert desk.run("stop", run) == f"{run} has ended: stopped\n"
    assert "saved" in desk.run("logs", run)
    assert desk.clean()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whoever_interrupts_a_wait_ends_the_run(desk: Desk, number: signal.Signals) -> None:
    with subprocess.Popen(desk.command("start", "patient", "--follow"), env=desk.environment, stdout=-1) as waiting:
        try:
            assert waiting.stdout is not None
            until(lambda: waiting.stdout is not None and b"ready" in waiting.stdout.readline())
            waiting.send_signal(number)
            assert waiting.wait(60) == 128 + number
        finally:
            waiting.kill()
    assert desk.clean()


def test_a_killed_wait_is_finished_by_the_next_command(desk: Desk) -> None:
    with subprocess.Popen(desk.command("start", "patient", "--follow"), env=desk.environment, stdout=-1) as waiting:
        assert waiting.stdout is not None
        until(lambda: waiting.stdout is not None and b"ready" in waiting.stdout.readline())
        waiting.kill()
    (run,) = (one["id"] for one in json.loads(desk.run("list", "--json"))["runs"] if one["status"] == "running")
    desk.run("stop", run)
    assert desk.clean()


def test_a_conversation_is_kept_and_only_one_run_goes_on_with_it(desk: Desk) -> None:
    first = json.loads(desk.run("start", "memory", "--env", "THEN=true", "--wait", "--json"))
    conversation = first["conversation"]
    assert "noted" not in desk.run("logs", first["id"])
    second = desk.run("resume", first["id"], "--env", "THEN=sleep 600").strip()
    until(lambda: "noted" in desk.run("logs", second))
    desk.run("resume", conversation, "--env", "THEN=true", code=2)
    desk.run("forget", conversation, "--yes", code=2)
    desk.run("stop", second)
    assert desk.clean()
    desk.run("forget", conversation, "--yes")
    assert json.loads(desk.run("list", "--json"))["conversations"] == []


def test_several_at_once_each_have_their_own(desk: Desk) -> None:
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(lambda _: json.loads(desk.run("start", "echo", "--wait", "--json")), range(6)))
    assert len({one["id"] for one in done}) == 6
    for one in done:
        assert one["exit_code"] == 0
        assert f"I am {one['id']}" in desk.run("logs", one["id"])
    assert desk.clean()
