"""`agentenv`: asks and operates what a stack has deployed."""

import io
import json
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from operate import docker_gateway, run_commands
from operate.explain import InForce, explain_host, explain_policy
from operate.failures import Exit, Failure, tell, usage
from operate.options import Json, OutputsFile, StackName, print_json, waiting
from operate.outputs import AnyEnvironment, DockerEnvironment
from operate.reading import read_outputs
from operate.tables import show_answer, show_evidence, show_policy
from operate.verify import verify as verify_session

REGISTRIES_FILE = "/usr/local/share/egress-gateway/registries.json"

app = typer.Typer(
    help="Ask and operate what a stack of agent environments has deployed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(run_commands.app)


@app.callback()
def agentenv() -> None:
    """Ask and operate what a stack of agent environments has deployed."""


@app.command()
def explain(
    environment: Annotated[str, typer.Argument(help="Name of an environment.")],
    host: Annotated[str | None, typer.Argument(help="A host name, HOST:PORT, URL or address.")] = None,
    stack: StackName = None,
    outputs: OutputsFile = None,
    as_json: Json = False,  # noqa: FBT002 - how typer declares a flag
) -> None:
    """Say which hosts sessions of an environment reach, and which field of the stack file decides it."""
    deployed = read_outputs(stack, outputs).environment(environment)
    in_force = _in_force(deployed)
    if host is not None:
        answer = explain_host(host, deployed, in_force)
        print_json(answer.to_json() | {"told_by": in_force.told_by}) if as_json else show_answer(Console(), answer)
        return
    policy = explain_policy(environment, deployed, in_force)
    print_json(policy) if as_json else show_policy(Console(), policy)


@app.command()
def verify(
    session: Annotated[str, typer.Argument(help="Name of a session.")],
    host: Annotated[str | None, typer.Option("--host", help="The allowed host to reach.")] = None,
    evidence: Annotated[Path | None, typer.Option("--evidence", help="Write the evidence to a JSON file.")] = None,
    stack: StackName = None,
    outputs: OutputsFile = None,
    as_json: Json = False,  # noqa: FBT002 - how typer declares a flag
) -> None:
    """Try from inside a session what its fence must hold; exits with 1 if anything is not as declared."""
    deployed = read_outputs(stack, outputs)
    with waiting(f"verify {session}") as progress:
        seen = verify_session(session, deployed, host, progress)
    if evidence is not None:
        try:
            evidence.write_text(json.dumps(seen.to_json(), indent=2) + "\n")
        except OSError as error:
            raise usage(f"{evidence} cannot be written ({error}). Fix: name a file in a folder that exists.") from None
    print_json(seen.to_json()) if as_json else show_evidence(Console(), seen)
    if not seen.ok:
        raise typer.Exit(Exit.DIFFERENCE)


def _in_force(environment: AnyEnvironment) -> InForce:
    if isinstance(environment, DockerEnvironment):
        return docker_gateway.ask(environment)
    told_by = f"from the stack's outputs; the list of registries is {REGISTRIES_FILE} in the gateway's image"
    return InForce(None, None, told_by)


def ended_by(number: int, _frame: FrameType | None) -> None:
    """A signal as an exception, so that what was made is removed; the exit code as shells have it."""
    sys.exit(128 + number)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Agents say what a terminal's encoding does not have.
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, ended_by)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, ended_by)
    try:
        app()
    except Failure as failure:
        # Notes say what went wrong besides, while cleaning up.
        tell("\n".join((str(failure), *getattr(failure, "__notes__", ()))))
        sys.exit(failure.code)


if __name__ == "__main__":
    main()
