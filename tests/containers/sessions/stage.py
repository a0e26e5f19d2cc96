"""The stage that the scenes share: a deployed stack, a stand-in for the Messages API, and the `agentenv` command."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import Request, urlopen

from agentenv_session.environment import API_KEY, PLACEHOLDER
from docker import DockerClient
from docker.models.containers import Container

from components.models.tags import RUN, RunTag, Tag, label
from offline.model_api.container import ModelApiContainer
from operate.docker_gateway import Gateway
from operate.outputs import DockerEnvironment, DockerSession, Outputs
from operate.tokens import token_hash
from tests.deployment import BASE, ROOT

STACK = "session-scenes"
ENVIRONMENT = "scenes"
RANGE = "10.220.0.0/16"
DENIED = "denied.example.com"
TOKEN = "a-token-of-the-scenes-0123456789abcdef"
NO_RETRY = "CLAUDE_CODE_MAX_RETRIES=0"
"""So that a scene need not sit through the CLI's own patience with an API that is down."""
CHAT_PORT, DOZER_PORT = 18311, 18312
PATIENCE_SECONDS = 60.0
IDLE_SECONDS = 150.0
"""The shortest time that a stack file may say, and what a busy machine needs to save and end."""
# A program of a team's own: it asks the model as any would that was written for the API, and knows its network.
OWN = """
import json, os, urllib.request
task = json.loads(os.environ["AGENTENV_TASK"])
body = {"model": "own", "max_tokens": 9, "messages": [{"role": "user", "content": task["prompt"]}]}
request = urllib.request.Request(os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages", json.dumps(body).encode(),
    {"x-api-key": os.environ["ANTHROPIC_API_KEY"], "content-type": "application/json"})
answer = json.load(urllib.request.urlopen(request, timeout=20))
policy = json.load(open(os.environ["AGENTENV_POLICY_FILE"]))
print(json.dumps({"event": "own", "said": answer["content"][0]["text"], "session": policy["session"]}))
"""
KEYS = r'cat /proc/[0-9]*/environ 2>/dev/null | tr "\0" "\n" | grep -E "^[A-Z_]*(API_KEY|AUTH_TOKEN)[A-Z_]*=" | sort -u'
"""What an agent finds of keys in all processes that it may read: a few lines, so that none of them is cut."""
NO_KEY = f"{API_KEY}={PLACEHOLDER}"
"""The one line that it is to find."""
T = TypeVar("T")


def declaration(key: Path, authority: str) -> dict[str, Any]:
    """The stack file: one limited environment, and a session of each pattern."""
    secret = {
        "name": "ANTHROPIC_API_KEY",
        "source": f"file:{key}",
        "inject": {"origin": "https://api.anthropic.com", "header": "x-api-key"},
    }

    def session(name: str, pattern: str, **further: Any) -> dict[str, Any]:
        return {
            "name": name,
            "environment": ENVIRONMENT,
            "pattern": pattern,
            "secrets": [secret],
            "resources": {"cpu": 1, "memory_gib": 0.5, "disk_gib": 1},
            **({} if "agents" in further else {"agent": agent("agent", 10)}),
            **further,
        }

    def agent(name: str, max_turns: int) -> dict[str, Any]:
        return {"name": name, "model": "sonnet", "max_turns": max_turns}

    served = {"token_sha256": token_hash(TOKEN)}
    return {
        "team": "scenes",
        "runtime": "docker",
        "base_image": BASE,
        "docker": {"range": RANGE},
        "private_hosts": {"api.anthropic.com": RANGE},
        "certificate_authorities": [authority],
        "environments": [{"name": ENVIRONMENT, "config": {"type": "cloud", "networking": {"type": "limited"}}}],
        "sessions": [
            session("worker", "ephemeral"),
            session("hasty", "ephemeral", agent=agent("agent", 2)),
            session("own", "ephemeral", command=["/usr/bin/python3", "-c", OWN]),
            session("notebook", "hybrid"),
            session("pair", "single_container", agents=[agent("writer", 10), agent("checker", 10)]),
            session("chat", "long_running", ports=[CHAT_PORT], **served),
            session("dozer", "long_running", ports=[DOZER_PORT], idle_timeout=60, **served),
        ],
    }


def until(found: Callable[[], T], what: str, seconds: float = PATIENCE_SECONDS) -> T:
    """The first truthy answer of `found`.

    Raises:
        AssertionError: there was none in time.
    """
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)
    return answer


def events(text: str) -> list[dict[str, Any]]:
    """What a runner wrote, line by line."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@dataclass(frozen=True)
class Ended:
    """A run that has ended.

    Attributes:
        code: Exit code of the command that waited for it, or asked.
        info: `RunInfo`, `result` and `problem`, as `--json` gives them.
    """

    code: int
    info: dict[str, Any]

    @property
    def id(self) -> str:
        """Of the run."""
        return str(self.info["id"])

    @property
    def agents(self) -> dict[str, dict[str, Any]]:
        """Name -> what the result says of that agent."""
        assert self.info["result"], self.info
        return {agent["name"]: agent for agent in self.info["result"]["agents"]}

    @property
    def text(self) -> str:
        """The only agent's answer."""
        (agent,) = self.agents.values()
        return str(agent["text"])

    @property
    def echoed(self) -> dict[str, Any]:
        """The answer of a script that ends with `echo`: how the API saw the conversation."""
        told: dict[str, Any] = json.loads(self.text)
        return told


@dataclass
class Stage:
    """All of it.

    Attributes:
        client: The Docker engine.
        outputs: Of the stack.
        file: The same, for `--outputs`.
        home: Where the command keeps its records.
        api: The stand-in.
        key: The model's key, which the gateway adds.
    """

    client: DockerClient
    outputs: Outputs
    file: Path
    home: Path
    api: ModelApiContainer
    key: str

    @property
    def environment(self) -> DockerEnvironment:
        """What the stack says of the only environment."""
        found = self.outputs.environment(ENVIRONMENT)
        assert isinstance(found, DockerEnvironment)
        return found

    def session(self, name: str) -> DockerSession:
        """What the stack says of a session."""
        found = self.outputs.session(name)
        assert isinstance(found, DockerSession)
        return found

    def variables(self) -> dict[str, str]:
        """Of a command."""
        return {**os.environ, "XDG_STATE_HOME": str(self.home), "AGENTENV_TOKEN": TOKEN, "COLUMNS": "200"}

    def command(self, *arguments: str) -> list[str]:
        """`agentenv` with these arguments, about this stack."""
        return [sys.executable, "-m", "operate", *arguments, "--outputs", str(self.file)]

    def agentenv(self, *arguments: str, given: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run `agentenv` to its end."""
        return subprocess.run(
            self.command(*arguments),
            cwd=ROOT,
            env=self.variables(),
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def told(self, *arguments: str, given: str | None = None) -> dict[str, Any]:
        """The JSON that `agentenv ... --json` prints; it must succeed."""
        done = self.agentenv(*arguments, "--json", given=given)
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def ran(self, *arguments: str, given: str | None = None) -> Ended:
        """`start` or `resume` a run and wait for its end."""
        done = self.agentenv(*arguments, "--wait", "--json", given=given)
        assert done.stdout, done.stderr
        return Ended(done.returncode, json.loads(done.stdout))

    def result(self, run: str) -> Ended:
        """What is on record of a run that has ended."""
        done = self.agentenv("result", run, "--json")
        assert done.stdout, done.stderr
        info = next(one for one in self.told("list")["runs"] if one["id"] == run)
        return Ended(done.returncode, info | {"result": json.loads(done.stdout)})

    def container(self, run: str) -> Container:
        """The session container of a run."""
        return self.client.containers.get(f"agentenv-run-{run}-session")

    def said(self, run: str) -> list[dict[str, Any]]:
        """Events of a run so far."""
        done = self.agentenv("logs", run, "--json")
        assert done.returncode == 0, done.stderr
        return events(done.stdout)

    def wait_for_event(self, run: str, name: str, count: int = 1) -> None:
        """Return once a run that goes on has told of this event so often."""

        def seen() -> bool:
            told = events(self.container(run).logs(stderr=False).decode())
            return [event["event"] for event in told].count(name) >= count

        until(seen, f"{count} times {name} of run {run}")

    def address(self, service: str) -> str:
        """HOST:PORT of a service."""
        return next(iter(self.session(service).ports.values()))

    def healthy(self, service: str) -> bool:
        """Whether a service answers."""
        try:
            with urlopen(f"http://{self.address(service)}/healthz", timeout=5) as response:
                return bool(json.load(response)["status"] == "ok")
        except OSError:
            return False

    def post(self, service: str, text: str, conversation: str | None = None, token: str = TOKEN) -> dict[str, Any]:
        """Send a message to a service that answers, or soon will, and wait for the answer."""
        until(lambda: self.healthy(service), f"{service} serves")
        request = Request(
            f"http://{self.address(service)}/messages?wait=true",
            data=json.dumps({"text": text} | ({"conversation": conversation} if conversation else {})).encode(),
            headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
        )
        with urlopen(request, timeout=60) as response:
            answer: dict[str, Any] = json.load(response)
        return answer

    def gateway_log(self) -> list[dict[str, Any]]:
        """The lines of the gateway's log."""
        container = self.client.containers.get(self.environment.gateway.container)
        return events(container.logs().decode())

    def admitted(self) -> set[str]:
        """Networks from which the gateway takes requests of runs."""
        _, runs = self.environment.range.subnets()
        sources = Gateway(self.client, self.environment).sources()
        return {str(source) for source in sources if source.subnet_of(runs)}

    def keepers(self) -> list[int]:
        """Process ids of the keepers that this stage's commands left behind."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes().split(b"\0")
                home = f"XDG_STATE_HOME={self.home}".encode() in (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if home and b"operate.keeper" in command:
                found.append(int(folder.name))
        return found

    def leftovers(self) -> Mapping[str, object]:
        """All that runs may leave behind, by kind; empty when there is nothing."""
        filters: Any = {"label": [RUN, f"{label(Tag.STACK)}={STACK}"]}
        found = {
            "containers": [one.name for one in self.client.containers.list(all=True, filters=filters)],
            "networks": [one.name for one in self.client.networks.list(filters=filters)],
            "admissions": self.admitted(),
            "keepers": self.keepers(),
        }
        return {kind: left for kind, left in found.items() if left}

    def volumes(self) -> list[str]:
        """Names of the volumes that keep conversations."""
        filters: Any = {"label": [label(RunTag.CONVERSATION), f"{label(Tag.STACK)}={STACK}"]}
        return [str(volume.name) for volume in self.client.volumes.list(filters=filters)]
