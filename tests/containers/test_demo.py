"""`make demo`, but for its set-up: its stack file on a real engine, what it shows, and what the README says of that."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from offline.demo import __main__ as demo
from offline.demo.key import KEY
from offline.model_api.authority import Authority
from tests.deployment import BASE, ROOT, Deployment, model_key
from tests.readme.blocks import ANYTHING, README, blocks

pytestmark = pytest.mark.containers

STACK = "agentenv-test-demo"
RANGE, RANGE_OF_DEMO = "10.227.0.0/16", "10.200.0.0/13"
ROW = "│"
SECONDS = 300
ONE_FOR_EACH_ADDRESS = "│Dockerhostat"
"""A probe of a public address of the host: how many there are is the machine's."""


def declaration(key: Path, authority: Authority) -> dict[str, object]:
    """The demo's stack file, for this machine: with a key, a range and an authority of the test's own."""
    text = (ROOT / "Pulumi.demo.yaml").read_text().replace(f"file:{KEY}", f"file:{key}").replace(RANGE_OF_DEMO, RANGE)
    declared: dict[str, object] = yaml.safe_load(text)["config"]["agent-environments:stack"]
    return declared | {
        "base_image": BASE,
        "docker": {"range": RANGE},
        "certificate_authorities": [authority.certificate.decode()],
    }


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The stack, up; the variables of a shell to show it in, PWD its folder."""
    folder = tmp_path_factory.mktemp("demo")
    with Deployment(folder, stack=STACK) as deployment:
        deployment.up(declaration(model_key(folder), Authority.shared()))
        yield {
            **deployment.stack.workspace.env_vars,
            "COLUMNS": str(demo.COLUMNS),
            "PYTHONPATH": str(ROOT),
            "PWD": deployment.stack.workspace.work_dir,
        }


@pytest.fixture
def typed(deployed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it were typed where `make` types it."""
    for name, value in deployed.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(deployed["PWD"])


def lines(text: str) -> list[str]:
    """Lines without spaces, times, ids and costs; the lines of one row of a table are one."""
    found: list[str] = []
    for raw in text.splitlines():
        line = re.sub(r"[\s─]", "", raw.replace("┃", ROW))
        if line.startswith(f"{ROW}{ROW}") and found:
            cells = zip(found[-1].split(ROW), line.split(ROW), strict=True)
            found[-1] = ROW.join(first + more for first, more in cells)
        elif line:
            found.append(line)
    text = "\n".join(found)
    for pattern, name in (
        (r"\d\d:\d\d:\d\d(\.\d+)?", "TIME"),
        (r"(?<=^run)[0-9a-f]{12}", "ID"),
        (r",\d+s,\$[0-9.]+", ",SPENT"),
    ):
        text = re.sub(pattern, name, text, flags=re.MULTILINE)
    return text.split("\n")


def pattern_of(line: str) -> str:
    """What a line of the README stands for; a row ends where it ends, what else there is may go over several."""
    anything = "[^\n]*?" if line.startswith(ROW) else r"[\s\S]*?"
    return "^" + anything.join(map(re.escape, line.split(ANYTHING))) + "$"


def test_the_demo_shows_what_the_readme_says(typed: None) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "offline.demo", STACK],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    printed = lines(done.stdout)
    told = next(block for block in blocks(README.read_text())).commands()[0]
    assert told.text.startswith("make demo ")
    rest = "\n".join(printed)
    # The extract is in this order, with one address of the host.
    begin = rest.index("order-desk(limited)")
    addresses = rest.count(ONE_FOR_EACH_ADDRESS, begin)
    rest = re.sub(r"all(\d+)asexpected", lambda all_: f"all{int(all_[1]) - addresses + 1}asexpected", rest[begin:])
    for line in lines("\n".join(told.expected)):
        if line == ANYTHING:
            continue
        found = re.search(pattern_of(line), rest, re.MULTILINE)
        assert found is not None, f"the README says {line!r}, and the demo does not show it here:\n{rest}"
        rest = rest[found.end() :]


def test_a_key_that_the_gateway_does_not_add_fails_the_demo(
    typed: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "value", lambda *_: "another key")
    monkeypatch.setattr(demo, "_verify", lambda *_: [])
    assert demo.demonstrate(STACK) == 1
    assert "not as expected: order-desk at work" in capfd.readouterr().out
