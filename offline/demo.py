"""After `make demo`: a container that plays api.example.com, and `agentenv verify` in each session of the stack.

The stand-in has the example host's name on the network that the gateway resolves and connects in, so the allowed host
is really reached, on a machine without the Internet too.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import docker
from rich.console import Console

HOST = "api.example.com"
UPSTREAM = "agentenv-demo-upstream"
STOP_SECONDS = 1
# `openssl` is in every image of ours: Debian's ca-certificates needs it. The probe judges no certificate.
SERVE = (
    f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN={HOST} "
    "-keyout /tmp/key -out /tmp/certificate 2>/dev/null "
    "&& exec openssl s_server -quiet -accept 443 -key /tmp/key -cert /tmp/certificate -www"
)


def main(stack: str) -> int:
    """Verify each session of `stack`.

    Returns:
        0 when everything was seen as expected, else 1.
    """
    # Wide enough for the tables of probes, wherever they are read.
    columns = max(Console().width, 132)
    console = Console(width=columns)
    outputs = json.loads(
        subprocess.run(
            ["pulumi", "stack", "output", "--json", "--stack", stack], check=True, capture_output=True, text=True
        ).stdout
    )
    failed = []
    with upstream(outputs):
        for name, session in outputs["sessions"].items():
            networking = outputs["environments"][session["environment"]]["networking"]
            console.rule(f"{name}: {networking}, in environment {session['environment']}")
            done = subprocess.run(
                [sys.executable, "-m", "operate", "verify", name, "--stack", stack],
                check=False,
                env={**os.environ, "COLUMNS": str(columns)},
            )
            failed += [name] if done.returncode else []
    if failed:
        console.print(f"not as expected: {', '.join(failed)}", style="bold red")
    return 1 if failed else 0


@contextmanager
def upstream(outputs: dict[str, dict[str, dict[str, object]]]) -> Iterator[None]:
    """The stand-in for the example host, on the network of the limited environment's gateway, while it is wanted."""
    limited = next(e for e in outputs["environments"].values() if e["networking"] == "limited")
    engine = docker.from_env()
    for left in engine.containers.list(all=True, filters={"name": f"^{UPSTREAM}$"}):
        left.remove(force=True, v=True)
    images = limited["images"]
    assert isinstance(images, dict)
    container = engine.containers.create(
        images["session"],
        ["sh", "-c", SERVE],
        name=UPSTREAM,
        user="10001:10001",
        cap_drop=["ALL"],
        read_only=True,
        tmpfs={"/tmp": "mode=1777"},
        sysctls={"net.ipv4.ip_unprivileged_port_start": "0"},
        security_opt=["no-new-privileges"],
        network=str(limited["egress_network"]),
        mem_limit="64m",
        init=True,
    )
    try:
        network = engine.networks.get(str(limited["egress_network"]))
        network.disconnect(container)
        network.connect(container, aliases=[HOST])
        container.start()
        yield
    finally:
        container.remove(force=True, v=True)
        engine.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "demo"))
