"""The images, built and run by a real Docker engine as Fargate would run them: no capability, read-only root."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.base_image import pinned
from components.models.environment import Packages
from components.plans.image import AGENT_UID, ImagePlan, gateway_image, session_image

pytestmark = pytest.mark.containers

IMAGES = Path(__file__).resolve().parents[2] / "images"
# What the set-up made where no registry of images is reachable; Debian's own elsewhere.
BASE = os.environ.get("AGENT_ENVIRONMENTS_BASE_IMAGE", "debian:trixie-slim")
PLATFORM = "linux/amd64"
HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none", "--pids-limit=256")
OWNED = f"uid={AGENT_UID},gid={AGENT_UID}"
SCRATCH = ("--tmpfs=/tmp", f"--tmpfs=/workspace:{OWNED}", f"--tmpfs=/home/agent:{OWNED}")


def docker(*arguments: str, given: str | None = None, code: int = 0) -> str:
    done = subprocess.run(
        ["docker", *arguments],
        input=given,
        env={**os.environ, "DOCKER_BUILDKIT": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == code, f"docker {arguments[0]} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def built(plan: ImagePlan) -> str:
    name = f"agent-environments-test/{plan.context}:{plan.tag}"
    labels = [f"--label={key}={value}" for key, value in plan.labels.items()]
    docker("build", "--tag", name, "--file", "-", *labels, str(IMAGES / plan.context), given=plan.dockerfile)
    return name


@pytest.fixture(scope="module")
def plan() -> ImagePlan:
    """The data-analysis example of the documents."""
    packages = Packages(pip=("pandas", "numpy", "scikit-learn"), npm=("express",))
    return session_image(packages, base=pinned(BASE), platform=PLATFORM, context_hash="test")


@pytest.fixture(scope="module")
def session(plan: ImagePlan) -> str:
    return built(plan)


def ran(image: str, *command: str, code: int = 0, mounts: tuple[str, ...] = SCRATCH) -> str:
    return docker("run", "--rm", *HARDENED, *mounts, image, *command, code=code).strip()


def test_python_packages_are_there_and_byte_compiled(session: str) -> None:
    script = (
        "import numpy, pandas, sklearn.linear_model, os; frame = pandas.DataFrame({'x': [1, 2, 3]});"
        "model = sklearn.linear_model.LinearRegression().fit(frame, frame.x * 2);"
        "print(round(model.predict(pandas.DataFrame({'x': [21]}))[0]), os.path.exists(pandas.__cached__))"
    )
    assert ran(session, "python3", "-c", script) == "42 True"


@pytest.mark.parametrize(
    "script",
    ["console.log(typeof require('express')())", "import('express').then(m => console.log(typeof m.default()))"],
    ids=["require", "import"],
)
def test_node_packages_are_found_from_the_work_folder(session: str, script: str) -> None:
    assert ran(session, "node", "--eval", script) == "function"


def test_an_ecmascript_module_in_the_work_folder_finds_them(session: str) -> None:
    script = "echo \"import express from 'express'; console.log(typeof express())\" > a.mjs && node a.mjs"
    assert ran(session, "bash", "-c", script) == "function"


def test_node_is_of_a_version_that_agents_take(session: str) -> None:
    assert int(ran(session, "node", "--version").lstrip("v").partition(".")[0]) >= 22
    assert ran(session, "npm", "--version")


def test_no_runtime_is_there_that_nobody_asked_for(session: str) -> None:
    script = "for name in go cargo rustc ruby gem gcc; do command -v $name; done; true"
    assert ran(session, "bash", "-c", script) == ""


def test_the_session_has_no_privilege_and_nothing_that_gives_one(session: str) -> None:
    assert ran(session, "id", "-u") == str(AGENT_UID)
    assert ran(session, "id", "-G") == str(AGENT_UID)
    assert ran(session, "grep", "-E", "^Cap(Eff|Prm|Bnd)|NoNewPrivs", "/proc/self/status").split() == [
        "CapPrm:",
        "0000000000000000",
        "CapEff:",
        "0000000000000000",
        "CapBnd:",
        "0000000000000000",
        "NoNewPrivs:",
        "1",
    ]
    found = docker("run", "--rm", "--network=none", "--user=0", session, "find", "/", "-xdev", "-perm", "/6000")
    assert found == ""


def test_only_the_declared_volumes_can_be_written_and_they_are_the_agents(session: str) -> None:
    script = "touch /tmp/a /workspace/a /home/agent/a && ! touch /usr/local/a /opt/venv/a /etc/a 2>/dev/null && pwd"
    # Without mounts the engine makes volumes that take the image's owner, as Fargate does.
    assert ran(session, "bash", "-c", script, mounts=()) == "/workspace"
    assert ran(session, "bash", "-c", script) == "/workspace"


def test_a_session_without_a_command_says_so(session: str) -> None:
    line = ran(session, code=78)
    assert json.loads(line)["event"] == "no_agent_runner"


def test_the_image_says_what_is_in_it(plan: ImagePlan, session: str) -> None:
    labels = json.loads(docker("image", "inspect", "--format", "{{json .Config.Labels}}", session))
    assert labels == plan.labels


def test_nothing_of_the_build_is_left(session: str) -> None:
    script = "find /root /var/lib/apt/lists /var/cache/apt /tmp -type f -size +0 ! -name '.bashrc' ! -name '.profile'"
    assert docker("run", "--rm", "--network=none", "--user=0", session, "bash", "-c", script) == ""


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    image = built(gateway_image(base=pinned(BASE), platform=PLATFORM, context_hash="test"))
    container = docker("run", "--detach", "--rm", *HARDENED, image).strip()
    yield container
    docker("kill", container)


def test_the_gateway_is_healthy_and_refuses(gateway: str) -> None:
    check = ("exec", gateway, "python3", "/usr/local/lib/egress-gateway/gateway.py", "--check")
    for _ in range(50):
        if subprocess.run(["docker", *check], check=False, capture_output=True).returncode == 0:
            break
        time.sleep(0.2)
    docker(*check)
    script = (
        "import http.client; c = http.client.HTTPConnection('127.0.0.1', 3128); c.request('GET', 'http://x.test/');"
        "r = c.getresponse(); print(r.status, r.headers['x-egress-rule'])"
    )
    assert docker("exec", gateway, "python3", "-c", script).strip() == "403 no-policy"
    assert docker("exec", gateway, "id", "-u").strip() == "10002"
    listening, denied = map(json.loads, docker("logs", gateway).splitlines())
    assert listening["event"] == "listening"
    assert (denied["rule"], denied["target"]) == ("no-policy", "http://x.test/")
