"""Many runs at once, and runs whose keeper was killed: nothing is mixed up, and nothing is left behind."""

import json
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.containers.sessions.stage import Ended, Stage, until

CROWD = 20


@pytest.mark.slow
def test_twenty_at_once_each_with_its_own_result_and_nothing_left(stage: Stage) -> None:
    def run(number: int) -> Ended:
        prompt = f"fake: write mine.txt 'number {number}'; bash 'ls; cat mine.txt'; echo"
        done = subprocess.run(
            stage.command("start", "worker", "--prompt", prompt, "--wait", "--json"),
            env=stage.variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.stdout, done.stderr
        return Ended(done.returncode, json.loads(done.stdout))

    with ThreadPoolExecutor(CROWD) as pool:
        crowd = list(pool.map(run, range(CROWD)))
    assert [ended.code for ended in crowd] == [0] * CROWD, [ended.info for ended in crowd if ended.code]
    assert [ended.echoed["tool_result"] for ended in crowd] == [f"mine.txt\nnumber {n}" for n in range(CROWD)]
    assert len({ended.id for ended in crowd}) == CROWD
    assert not stage.leftovers()


def test_a_detached_run_is_collected_and_removed_by_its_keeper(stage: Stage) -> None:
    run = stage.told("start", "worker", "--prompt", "fake: say 'alone'")["id"]
    until(lambda: not stage.leftovers(), "the keeper removes the run")
    assert stage.result(run).text == "alone"


def test_a_run_whose_keeper_was_killed_is_collected_by_the_next_command(stage: Stage) -> None:
    run = stage.told("start", "worker", "--prompt", "fake: bash true; slow 3; say 'orphaned'")["id"]
    (keeper,) = until(stage.keepers, "there is a keeper")
    os.kill(keeper, signal.SIGKILL)

    def ended() -> bool:
        container = stage.container(run)
        return bool(container.status == "exited")

    until(ended, "the run ends")
    assert stage.leftovers()
    assert stage.result(run).text == "orphaned"
    assert not stage.leftovers()
