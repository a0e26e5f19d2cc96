"""Test runs take turns on a host."""

import subprocess
import sys
from pathlib import Path
from queue import Queue
from threading import Thread

from tests.deployment import ROOT
from tests.turn import turn

HOLD = """
import pathlib, sys
from tests.turn import turn
with turn(print, pathlib.Path(sys.argv[1])):
    print("inside", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_waits_for_the_first_says_so_and_goes_on_when_that_was_killed(tmp_path: Path) -> None:
    lock, events = tmp_path / "lock", Queue[str]()

    def second() -> None:
        with turn(events.put, lock):
            events.put("inside")

    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"inside\n"
        waiting = Thread(target=second, daemon=True)
        waiting.start()
        assert "waiting" in events.get(timeout=30)
        assert events.empty()
        first.kill()
        assert events.get(timeout=30) == "inside"
        waiting.join(timeout=30)


def test_who_comes_alone_hears_nothing_and_leaves_the_way_free(tmp_path: Path) -> None:
    told: list[str] = []
    for _ in range(2):
        with turn(told.append, tmp_path / "lock"):
            pass
    assert told == []
