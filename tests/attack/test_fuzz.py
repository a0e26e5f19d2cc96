"""100,000 inputs for each parser that meets a session's bytes, guided by coverage, checked by an independent oracle."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.attack.cases import Case, table
from tests.attack.fuzz.harness import Harness
from tests.attack.fuzz.targets import CONNECT, TARGETS
from tests.attack.rig.client_hello import hello
from tests.attack.rig.gateway import PACKAGE

ROOT = Path(__file__).resolve().parents[2]
RUNS = 100_000
NO_CRASH = "no crash, no wrongly allowed name, every refusal in the one form"


@pytest.mark.slow
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has wheels for Linux on x86-64 alone")
@table(
    "Fuzzing",
    [
        Case("fuzz-authority", f"{RUNS:,} targets of CONNECT", NO_CRASH),
        Case("fuzz-head", f"{RUNS:,} requests", NO_CRASH),
        Case("fuzz-hello", f"{RUNS:,} first bytes of a tunnel", NO_CRASH),
    ],
)
def test_fuzz(case: Case, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{PACKAGE}", "TMPDIR": str(temporary)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.attack.fuzz", case.id.removeprefix("fuzz-"), "--runs", str(RUNS)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=600,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-4000:]
    assert f"Done {RUNS} runs" in output
    assert list(temporary.iterdir()) == []
    # Coverage that does not grow means that the fuzzer does not see the gateway's code.
    reached = [int(found) for found in re.findall(r"cov: (\d+)", output)]
    assert max(reached) > min(reached)


@pytest.fixture(scope="module")
def harness() -> Iterator[Harness]:
    made = Harness()
    yield made
    made.close()


def test_the_harness_lets_an_allowed_tunnel_through(harness: Harness) -> None:
    harness.run([CONNECT, hello(b"allowed.test"), b"more"])
    assert harness.asked == ["allowed.test"]
    assert harness.answer.startswith(b"HTTP/1.1 200 ")
    assert harness.upstream == hello(b"allowed.test") + b"more"


def test_the_harness_sees_a_denial(harness: Harness) -> None:
    harness.run([CONNECT.replace(b"allowed", b"evil"), hello(b"evil.test")])
    assert (harness.asked, harness.upstream) == ([], b"")
    assert b"x-egress-rule: host-not-allowed" in harness.answer


@pytest.mark.parametrize("name", ["head", "hello"])
def test_the_oracle_objects(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target = TARGETS[name]()
    data = b"\xff" + (CONNECT if name == "head" else b"") + hello(b"allowed.test")
    target.check(data)
    monkeypatch.setattr("tests.attack.fuzz.oracle.server_name", lambda data: "evil.test")
    with pytest.raises(AssertionError, match="another server's hello"):
        target.check(data)
