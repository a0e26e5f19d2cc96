"""What sessions are measured on: a stack of its own, a stand-in for the Messages API, and the same image by itself."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from docker.models.containers import Container

from operate.tokens import new_token, token_hash
from tests.deployment import BASE, ROOT, played
from tests.turn import turn

STACK = "agentenv-test-benchmark"
RANGE = "10.226.0.0/16"
PORT = 18341
MODEL = "sonnet"
PROMPT = "fake: say done"
"""What the stand-in answers with one word."""
CLAUDE = "/opt/agentenv/lib/python3.13/site-packages/claude_agent_sdk/_bundled/claude"
SECONDS = 180
# As `components.plans.docker` limits a session, without its network.
HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--init", "--cpus=1", "--memory=6g")
SCRATCH = ("/tmp:mode=1777", "/workspace:uid=10001,gid=10001,exec", "/home/agent:uid=10001,gid=10001")


@dataclass(frozen=True)
class Took:
    """How long one start took, in seconds from the command's own start.

    Attributes:
        request: To the agent's first request for a message.
        end: To the end of the command.
        reached: Of a run, what happened in between -> when.
    """

    request: float
    end: float
    reached: Mapping[str, float] = field(default_factory=dict)


class Stage:
    """The stack, up, with its stand-in; all removed at the end.

    Attributes:
        image: Of its sessions.
    """

    image: str

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            opened.enter_context(turn(print))
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="agentenv-benchmark-")))
            # The key's file is read by the gateway's user.
            folder.chmod(0o711)
            self._home, self._token = folder / "home", new_token()
            up = opened.enter_context(played(folder, STACK, self._declaration))
            self._client, self._outputs, self._api, self._key = up.client, up.file, up.api, up.key
            environment = up.told["environments"]["bench"]
            self.image = environment["images"]["session"]
            self._network = environment["egress_network"]
            self._service = up.told["sessions"]["idle"]["container"]
            self._opened = opened.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._opened.close()

    def _declaration(self, key: Path, authority: str) -> dict[str, Any]:
        secret = {
            "name": "ANTHROPIC_API_KEY",
            "source": f"file:{key}",
            "inject": {"origin": "https://api.anthropic.com", "header": "x-api-key"},
        }
        common = {"environment": "bench", "agent": {"model": MODEL, "max_turns": 5}, "secrets": [secret]}
        service = {"ports": [PORT], "token_sha256": token_hash(self._token), "idle_timeout": "2h"}
        return {
            "team": "benchmark",
            "base_image": BASE,
            "docker": {"range": RANGE},
            "private_hosts": {"api.anthropic.com": RANGE},
            "certificate_authorities": [authority],
            "environments": [{"name": "bench", "config": {"type": "cloud", "networking": {"type": "limited"}}}],
            "sessions": [
                {"name": "task", "pattern": "ephemeral", **common},
                {"name": "idle", "pattern": "long_running", **common, **service},
            ],
        }

    def agentenv(self) -> Took:
        """`agentenv start --wait` of an ephemeral session that says one word."""
        took, began, out = self._took(self._command("start", "task", "--wait", "--prompt", PROMPT))
        run = json.loads(out)
        told = self._ran(self._command("logs", run["id"]))
        events = {event["event"]: event["time"] for event in map(json.loads, told.splitlines())}
        reached = {
            "container started": run["started"],
            "runner at work": events["session_started"],
            "turn started": events["turn_started"],
            "turn ended": events["turn_ended"],
            "container ended": run["ended"],
        }
        since = {what: datetime.fromisoformat(time).timestamp() - began for what, time in reached.items()}
        return replace(took, reached=since | {"first request": took.request, "command ended": took.end})

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "operate", *arguments, "--json", "--outputs", str(self._outputs)]

    def plain(self) -> Took:
        """`docker run` of the same image with the same task: no fence, no gateway, and the key inside."""
        session = {"name": "task", "environment": "bench", "pattern": "ephemeral"}
        agent = {"name": "agent", "model": MODEL, "max_turns": 5}
        told = {
            "AGENTENV_SESSION": json.dumps({**session, "agent": agent}),
            "AGENTENV_TASK": json.dumps({"version": 1, "run": "plain", "prompt": PROMPT}),
        }
        return self._plain(*(f"--env={name}={value}" for name, value in told.items()), self.image)

    def claude(self) -> Took:
        """`docker run` of the same image, but of its `claude` alone: what nobody can be faster than."""
        return self._plain(self.image, CLAUDE, "--print", "--model", MODEL, PROMPT)

    def _plain(self, *arguments: str) -> Took:
        return self._took(["docker", "run", "--rm", *self._options(), "--network", self._network, *arguments])[0]

    def empty(self) -> float:
        """Seconds of a `docker run` of the same image that does nothing."""
        return self._took(["docker", "run", "--rm", *self._options(), self.image, "true"], asks=False)[0].end

    def own_start(self) -> float:
        """Seconds of an `agentenv start` that only says how it is called: what the command takes before it begins."""
        return self._took([sys.executable, "-m", "operate", "start", "--help"], asks=False)[0].end

    def _options(self) -> list[str]:
        variables = {"ANTHROPIC_API_KEY": self._key, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
        given = [f"--env={name}={value}" for name, value in variables.items()]
        return [*HARDENED, *(f"--tmpfs={folder}" for folder in SCRATCH), *given]

    def _took(self, command: list[str], *, asks: bool = True) -> tuple[Took, float, str]:
        """How long a command took, when it began in seconds since 1970, and what it printed."""
        known = len(self._messages()) if asks else 0
        began, clock = time.time(), time.monotonic()
        out = self._ran(command)
        end = time.monotonic() - clock
        return Took(self._messages()[known] - began if asks else 0, end), began, out

    def _ran(self, command: list[str]) -> str:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "XDG_STATE_HOME": str(self._home), "AGENTENV_TOKEN": self._token},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{command[:4]} ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def _messages(self) -> list[float]:
        """When each request for a message came, in seconds since 1970."""
        asked = [one for one in self._api.requests() if str(one["path"]).startswith("/v1/messages?")]
        return [datetime.fromisoformat(str(one["time"])).timestamp() for one in asked]

    def message(self) -> None:
        """Have the service answer a message."""
        self._ran(self._command("start", "idle", "--prompt", PROMPT))

    def memory(self) -> float:
        """MiB that the service's container holds, without what the kernel can drop."""
        container: Container = self._client.containers.get(self._service)
        told: Any = container.stats(stream=False)
        used = told["memory_stats"]
        inactive = used["stats"].get("inactive_file", used["stats"].get("total_inactive_file", 0))
        return float(used["usage"] - inactive) / 2**20
