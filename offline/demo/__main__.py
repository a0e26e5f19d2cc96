"""`python -m offline.demo prepare`, then, after `pulumi up`, `python -m offline.demo STACK`.

The second plays api.example.com and the Messages API on the network that the gateway resolves and connects in, runs
`agentenv verify` in each session of the stack, and starts one of them.
"""

import json
import os
import subprocess
import sys
from contextlib import ExitStack, closing
from typing import Any

import docker
from rich.console import Console

from offline.demo.key import NotPrepared, prepare, value
from offline.demo.upstream import upstream
from offline.demo.work import SESSION, show
from offline.model_api.authority import Authority
from offline.model_api.container import model_api

COLUMNS = 132
"""At the least: wide enough for the tables of probes, wherever they are read."""


def main(arguments: list[str]) -> int:
    """Prepare, or show; 0 when everything was as expected, else 1."""
    if arguments == ["prepare"]:
        try:
            prepare()
        except NotPrepared as problem:
            sys.stderr.write(f"demo: {problem}\n")
            return 1
        return 0
    return demonstrate(arguments[0] if arguments else "demo")


def demonstrate(stack: str) -> int:
    """Verify each session of `stack`, and start one."""
    console = Console(width=max(Console().width, COLUMNS))
    command = ["pulumi", "stack", "output", "--json", "--stack", stack]
    outputs = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    (secret,) = outputs["sessions"][SESSION]["session"]["secrets"]
    limited = outputs["environments"][outputs["sessions"][SESSION]["environment"]]
    with ExitStack() as opened:
        engine = opened.enter_context(closing(docker.from_env()))
        images, network = limited["images"], limited["egress_network"]
        opened.enter_context(upstream(engine, images["session"], network, f"agentenv-{stack}-upstream"))
        failed = _verify(stack, outputs, console)
        # No session holds it: what arrives with it has come by the gateway.
        key = value(engine, images["gateway"], secret["source"])
        opened.enter_context(
            model_api(
                engine,
                images["gateway"],
                [network],
                Authority.shared(),
                name=f"agentenv-{stack}-model-api",
                expected_key=key,
            )
        )
        failed += [] if show(stack, console, engine, limited) else [f"{SESSION} at work"]
    if failed:
        console.print(f"not as expected: {', '.join(failed)}", style="bold red")
    return 1 if failed else 0


def _verify(stack: str, outputs: dict[str, dict[str, dict[str, Any]]], console: Console) -> list[str]:
    """`agentenv verify` in each session; those where something differs."""
    failed = []
    for name, session in outputs["sessions"].items():
        networking = outputs["environments"][session["environment"]]["networking"]
        console.rule(f"{name}: {networking}, in environment {session['environment']}")
        done = subprocess.run(
            [sys.executable, "-m", "operate", "verify", name, "--stack", stack],
            check=False,
            env={**os.environ, "COLUMNS": str(console.width)},
        )
        failed += [name] if done.returncode else []
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
