"""The images, built and run by a real Docker engine as Fargate would run them: no capability, read-only root."""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from components.base_image import pinned
from components.models.capabilities import FARGATE_DROPPED
from components.models.environment import Packages
from components.models.errors import validate
from components.models.session import Session
from components.plans.image import (
    AGENT_UID,
    GATEWAY_UID,
    LIBRARY,
    REGISTRIES,
    ImagePlan,
    gateway_image,
    session_image,
)
from components.plans.task import declaration
from offline.model_api.running import running_model_api
from tests.containers.rig import IMAGES, PLATFORM, built
from tests.deployment import BASE

pytestmark = pytest.mark.containers

HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none", "--pids-limit=256")
OWNED = f"uid={AGENT_UID},gid={AGENT_UID}"
RUN_OF_THE_RUNNER = re.compile(r"^RUN \[[^]]*\"runtime\",\s[^]]*\"agent\"\]\n", re.MULTILINE)
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


def test_a_container_that_is_told_of_no_session_says_so_and_how_to_start_one(session: str) -> None:
    first, *_, last = map(json.loads, ran(session, code=78).splitlines())
    assert (first["event"], last["outcome"]) == ("error", "invalid_task")
    assert "AGENTENV_SESSION is not set. Fix: " in first["problem"]


Told = list[dict[str, Any]]


def several(prompts: Mapping[str, str], code: int = 0) -> tuple[dict[str, dict[str, Any]], Told]:
    """Run agents in one container, with the capabilities and the volumes that Fargate gives.

    Returns:
        What the result says of each, and all events.
    """
    image = built(session_image(Packages(), base=pinned(BASE), platform=PLATFORM, context_hash="test"))
    agents = [{"name": name, "model": "sonnet", "max_turns": 5} for name in prompts]
    told = {"name": "pair", "environment": "e", "pattern": "single_container", "shared_folder": True, "agents": agents}
    variables = {
        "AGENTENV_SESSION": declaration(validate(Session, told)),
        "AGENTENV_TASK": json.dumps({"version": 1, "run": "r", "prompts": prompts}),
    }
    # Without mounts the engine makes volumes that take the image's owner, as Fargate does.
    fargate = ("--init", "--user=0:0", "--read-only", *(f"--cap-drop={name}" for name in FARGATE_DROPPED))
    with running_model_api() as model:
        variables["AGENTENV_MODEL_ROUTE"] = model.url
        given = (f"--env={name}={value}" for name, value in variables.items())
        said = docker("run", "--rm", "--network=host", *fargate, *given, image, code=code)
    events = [*map(json.loads, said.splitlines())]
    result = json.loads("".join(event["text"] for event in events if event["event"] == "result_part"))
    return {agent["name"]: agent for agent in result["agents"]}, events


def test_several_agents_start_with_the_capabilities_and_the_volumes_that_fargate_gives() -> None:
    look = "fake: bash 'id -u; touch /workspace/shared/$(id -u); ls -A /workspace'; say done"
    agents, events = several({"writer": look, "checker": look})
    assert {name: agent["text"] for name, agent in agents.items()} == {"writer": "done", "checker": "done"}
    seen = {event["agent"]: event["text"].split() for event in events if event["event"] == "tool_result"}
    folders = ["checker", "shared", "writer"]
    assert seen == {"writer": ["10401", *folders], "checker": ["10402", *folders]}


def test_nothing_that_an_agent_has_started_outlives_it() -> None:
    gone = """fake: bash 'while grep -q "^Uid:.10401" /proc/[0-9]*/status; do sleep 0.2; done'; say gone"""
    leaves = "fake: bash 'setsid sleep 900 > /dev/null 2>&1 & echo left'; say left"
    agents, _ = several({"writer": leaves, "checker": gone})
    assert {name: agent["text"] for name, agent in agents.items()} == {"writer": "left", "checker": "gone"}


def test_an_agent_that_ends_its_keeper_and_holds_its_output_holds_up_nobody() -> None:
    # Its brackets keep the pattern from being found in the command line of whoever looks for it.
    ends = (
        'fake: bash \'for one in /proc/[0-9]*; do grep -qz "^[k]eeper" $one/cmdline && [ -O $one/cmdline ] && '
        "{ setsid sleep 900 > $one/fd/1 & kill -9 ${one#/proc/}; }; done; sleep 900'; say never"
    )
    agents, _ = several({"writer": ends, "checker": "fake: say 'still here'"}, code=70)
    assert agents["checker"]["text"] == "still here"
    assert agents["writer"]["error"] == "it left no result (exit code -9)"


def test_the_image_says_what_is_in_it(plan: ImagePlan, session: str) -> None:
    labels = json.loads(docker("image", "inspect", "--format", "{{json .Config.Labels}}", session))
    assert labels == plan.labels


def test_nothing_of_the_build_is_left(session: str) -> None:
    script = "find /root /var/lib/apt/lists /var/cache/apt /tmp -type f -size +0 ! -name '.bashrc' ! -name '.profile'"
    assert docker("run", "--rm", "--network=none", "--user=0", session, "bash", "-c", script) == ""


@pytest.fixture(scope="module")
def gateway_built() -> str:
    """The gateway of an environment whose package managers are those of `plan`."""
    packages = Packages(pip=("six",), npm=("express",))
    return built(
        gateway_image(
            base=pinned(BASE), platform=PLATFORM, context_hash="test", packages=packages, session_context_hash="test"
        )
    )


@pytest.fixture(scope="module")
def gateway(gateway_built: str) -> Iterator[str]:
    """As Fargate starts it: volumes that take the owner of the image's folders, and here no policy."""
    container = docker("run", "--detach", "--rm", *HARDENED, gateway_built).strip()
    yield container
    docker("kill", container)


def test_a_gateway_without_a_policy_lives_and_refuses_with_a_reason(gateway: str) -> None:
    check = ("exec", gateway, "python3", "-m", "egress_gateway", "check")
    for _ in range(50):
        if subprocess.run(["docker", *check], check=False, capture_output=True).returncode == 0:
            break
        time.sleep(0.2)
    docker(*check)
    docker("exec", gateway, "python3", "-m", "egress_gateway", "ready", code=1)
    script = (
        "import http.client, json; c = http.client.HTTPConnection('127.0.0.1', 3128); c.request('GET', 'http://x.test/');"
        "r = c.getresponse(); print(r.status, json.loads(r.read())['rule'] == r.headers['x-egress-rule'])"
    )
    assert docker("exec", gateway, "python3", "-c", script).strip() in ("403 True", "503 True")
    assert docker("exec", gateway, "id", "-u").strip() == str(GATEWAY_UID)


def test_the_gateway_writes_to_its_volumes_only(gateway: str) -> None:
    script = (
        "import pathlib; ok = lambda p: not pathlib.Path(p).write_text('x') is None\n"
        "for place in ('/state/a', '/tmp/a'): assert ok(place)\n"
        "for place in ('/usr/local/a', '/policy/a', '/a'):\n"
        "    try: ok(place)\n"
        "    except OSError: continue\n"
        "    raise SystemExit(place)"
    )
    docker("exec", gateway, "python3", "-c", script)


def test_the_gateway_holds_no_installer_and_stays_small(gateway_built: str) -> None:
    script = "import importlib.util as u; print([n for n in ('pip', 'setuptools', 'ensurepip') if u.find_spec(n)])"
    assert docker("run", "--rm", "--network=none", gateway_built, "python3", "-c", script).strip() == "[]"
    size, base = (
        int(docker("image", "inspect", "--format", "{{.Size}}", image)) for image in (gateway_built, pinned(BASE))
    )
    assert size - base < 150_000_000


def test_the_gateway_knows_the_registries_that_the_managers_themselves_name(gateway_built: str, session: str) -> None:
    cat = ("python3", "-c", f"print(open('{REGISTRIES}').read())")
    found = json.loads(docker("run", "--rm", "--network=none", gateway_built, *cat))
    assert {one["manager"] for one in found} == {"npm", "pip"}
    assert all(re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", one["host"]) and one["port"] > 0 for one in found)
    configured = urlsplit(ran(session, "npm", "config", "get", "registry"))
    assert (configured.hostname, configured.port or 443) in {
        (one["host"], one["port"]) for one in found if one["manager"] == "npm"
    }


def test_mirrors_that_the_base_image_is_configured_with_are_what_is_found() -> None:
    base, mirrored = pinned(BASE), "agent-environments-test/mirrored-base"
    lines = (
        f"FROM {base}",
        "RUN printf '[global]\\nindex-url = https://pip.example.test:8443/simple\\nretries = 0\\n' > /etc/pip.conf",
        "ENV GOPROXY=https://go.example.test,direct GOSUMDB=sum.example.test",
    )
    docker("build", "--tag", mirrored, "-", given="\n".join(lines))
    plan = gateway_image(
        base=base,
        platform=PLATFORM,
        context_hash="test",
        packages=Packages(go=("example.com/x",)),
        session_context_hash="test",
    )
    name = f"{mirrored}-registries"
    options = ("--target", "registries", "--tag", name, "--file", "-")
    # The mirror of pip answers nobody here, so what the runner needs is left out.
    runner = RUN_OF_THE_RUNNER.search(plan.dockerfile)
    assert runner is not None
    dockerfile = plan.dockerfile.replace(runner[0], "").replace(base, mirrored)
    docker("build", *options, str(IMAGES / plan.context), given=dockerfile)
    assert json.loads(docker("run", "--rm", name, "cat", f"{LIBRARY}/registries.json")) == [
        {"manager": "go", "host": "go.example.test", "port": 443},
        {"manager": "go", "host": "sum.example.test", "port": 443},
        {"manager": "pip", "host": "pip.example.test", "port": 8443},
    ]
