"""The commands about runs: start, list, logs, stop, resume, result, forget, token."""

import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from operate import messages, results
from operate.attend import attend, code_of, show, show_lines
from operate.backends import runs_of
from operate.events import clean
from operate.failures import Exit, Failure, tell, usage
from operate.options import Json, OutputsFile, StackName, print_json, waiting
from operate.orders import parse_input
from operate.outputs import DockerSession, Outputs
from operate.reading import read_outputs
from operate.run_tables import show_runs
from operate.runs import Order, RunInfo, Runs
from operate.signals import signals_held
from operate.tokens import new_token, token_hash

MOST_CHARACTERS = 1_000_000
"""Of an input file: more is no task."""
Prompt = Annotated[str | None, typer.Option("--prompt", "-p", help="What the agent is to do.")]
Input = Annotated[
    str | None,
    typer.Option(
        "--input",
        help="A file with the prompt (- for standard input); as JSON a list of prompts that are answered one after "
        "another, or an object with a prompt for each agent.",
    ),
]
Env = Annotated[list[str] | None, typer.Option("--env", help="K=V: a further variable; may be given several times.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the end and show the result.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Show what happens as it happens.")]
Name = Annotated[str, typer.Argument(help="A run, or a session that stays up.")]

app = typer.Typer()


@app.command()
def start(
    session: Annotated[str, typer.Argument(help="Name of a session.")],
    prompt: Prompt = None,
    input_file: Input = None,
    env: Env = None,
    wait: Wait = False,  # noqa: FBT002 - how typer declares a flag
    follow: Follow = False,  # noqa: FBT002 - how typer declares a flag
    stack: StackName = None,
    outputs: OutputsFile = None,
    as_json: Json = False,  # noqa: FBT002 - how typer declares a flag
) -> None:
    """Start a run of a session, or a session that stays up and has stopped; prints the run's id."""
    deployed = read_outputs(stack, outputs)
    deployed.session(session)
    order = _order(session, prompt, input_file, env or [])
    runs = runs_of(deployed)
    _check_token(deployed, order)
    with ExitStack() as held:
        with waiting(f"start {session}") as progress:
            info = runs.start(order, progress)
            held.enter_context(signals_held())
        _go_on(runs, deployed, info, order, held, wait=wait, follow=follow, as_json=as_json)


@app.command("list")
def list_runs(
    session: Annotated[str | None, typer.Option("--session", help="Only of this session.")] = None,
    stack: StackName = None,
    outputs: OutputsFile = None,
    as_json: Json = False,  # noqa: FBT002 - how typer declares a flag
) -> None:
    """List runs, services and, as JSON, kept conversations."""
    runs = runs_of(read_outputs(stack, outputs))
    with waiting("list") as progress:
        progress("asking")
        found = runs.list(session)
        kept = [one for one in runs.conversations() if session in (None, one.session)] if as_json else []
    if as_json:
        print_json({"runs": [one.to_json() for one in found], "conversations": [one.to_json() for one in kept]})
    else:
        show_runs(Console(), found)


@app.command()
def logs(
    name: Name,
    follow: Follow = False,  # noqa: FBT002 - how typer declares a flag
    stack: StackName = None,
    outputs: OutputsFile = None,
    as_json: Json = False,  # noqa: FBT002 - how typer declares a flag
) -> None:
    """Show what a run or a service has said; with --json its own lines as they are."""
    runs = runs_of(read_outputs(stack, outputs))
    show_lines(name, runs.lines(runs.find(name), follow), as_json=as_json)


@app.command()
def stop(
    name: Name,
    stack: StackName = None,
    outputs: OutputsFile = None,
    as_json: Json = False,  # noqa: FBT002 - how typer declares a flag
) -> None:
    """End a run or a service in good order: it saves its state first. A service stays down until it is resumed."""
    runs = runs_of(read_outputs(stack, outputs))
    with waiting(f"stop {name}") as progress:
        info = runs.stop(runs.find(name), progress)
    if as_json:
        print_json(info.to_json())
    else:
        sys.stdout.write(clean(f"{info.id} has ended: {info.outcome}") + "\n")


@app.command()
def resume(
    name: Annotated[str, typer.Argument(help="A run, a conversation, or a session that stays up.")],
    prompt: Prompt = None,
    input_file: Input = None,
    env: Env = None,
    wait: Wait = False,  # noqa: FBT002 - how typer declares a flag
    follow: Follow = False,  # noqa: FBT002 - how typer declares a flag
    stack: StackName = None,
    outputs: OutputsFile = None,
    as_json: Json = False,  # noqa: FBT002 - how typer declares a flag
) -> None:
    """Go on with a kept conversation in a new run, or start again a session that stays up."""
    deployed = read_outputs(stack, outputs)
    runs = runs_of(deployed)
    order = _order("", prompt, input_file, env or [])
    with ExitStack() as held:
        with waiting(f"resume {name}") as progress:
            known = runs.find(name)
            order = replace(order, session=known.session)
            _check_token(deployed, order)
            info = runs.resume(known, order, progress)
            held.enter_context(signals_held())
        _go_on(runs, deployed, info, order, held, wait=wait, follow=follow, as_json=as_json)


@app.command()
def result(
    run: Annotated[str, typer.Argument(help="Id of a run that has ended.")],
    stack: StackName = None,
    outputs: OutputsFile = None,
    as_json: Json = False,  # noqa: FBT002 - how typer declares a flag
) -> None:
    """Show the result of a run that has ended, and exit with its code; with --json the result document."""
    runs = runs_of(read_outputs(stack, outputs))
    info = runs.find(run)
    if info.kind == "service" or info.status != "ended":
        # It says why there is none.
        runs.result(info)
    if not as_json:
        show(runs, info, quiet=False, as_json=False)
    problem: Failure | None = None
    try:
        with waiting(f"run {info.id}") as progress:
            progress("collecting the result")
            document = runs.result(info)
        print_json(document)
    except Failure as failure:
        problem = failure
        tell(str(failure))
    raise typer.Exit(code_of(info, problem))


@app.command()
def forget(
    conversation: Annotated[str, typer.Argument(help="Id of a kept conversation.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,  # noqa: FBT002 - how typer declares a flag
    stack: StackName = None,
    outputs: OutputsFile = None,
) -> None:
    """Remove what is kept of a conversation, its files included, for good."""
    runs = runs_of(read_outputs(stack, outputs))
    if not yes and not typer.confirm(f"Remove conversation {conversation} and its files for good?", err=True):
        raise typer.Exit(Exit.DIFFERENCE)
    runs.forget(conversation)


@app.command()
def token(as_json: Json = False) -> None:  # noqa: FBT002 - how typer declares a flag
    """Make a token for a session that stays up, and the hash of it for its token_sha256."""
    made = new_token()
    if as_json:
        print_json({"token": made, "token_sha256": token_hash(made)})
    else:
        sys.stdout.write(f"AGENTENV_TOKEN={made}\ntoken_sha256: {token_hash(made)}\n")


def _order(session: str, prompt: str | None, input_file: str | None, env: list[str]) -> Order:
    variables: dict[str, str] = {}
    for pair in env:
        name, sign, value = pair.partition("=")
        if not sign:
            raise usage(f"--env {name!r} has no value. Fix: write it like --env NAME=VALUE.")
        variables[name] = value
    if input_file is None:
        return Order(session, prompt, env=variables)
    one, several, prompts = parse_input(_read(input_file), as_json=input_file.endswith(".json"))
    if prompt is not None and one is not None:
        raise usage("--prompt and --input are both given, and an order has one of them. Fix: leave one out.")
    return Order(session, prompt if prompt is not None else one, several, variables, prompts=prompts)


def _read(name: str) -> str:
    try:
        if name == "-":
            text = sys.stdin.read(MOST_CHARACTERS + 1)
        else:
            with Path(name).open(encoding="utf-8") as file:
                text = file.read(MOST_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise usage(f"--input {name} cannot be read ({error}). Fix: name a text file in UTF-8.") from None
    if len(text) > MOST_CHARACTERS:
        raise usage(
            f"--input {name} has more than {MOST_CHARACTERS:,} characters. Fix: mount the file, and say where it is."
        )
    return text


def _go_on(
    runs: Runs,
    deployed: Outputs,
    info: RunInfo,
    order: Order,
    held: ExitStack,
    *,
    wait: bool,
    follow: bool,
    as_json: bool,
) -> None:
    """After a start: to the end of the run, to the answer of the service, or not at all."""
    if info.kind == "service":
        held.close()
        _served(runs, deployed, info, order, follow=follow, as_json=as_json)
    elif wait or follow:
        attend(runs, info, held, follow=follow, as_json=as_json)
    else:
        runs.detach(info)
        if as_json:
            print_json(info.to_json())
        else:
            sys.stdout.write(f"{info.id}\n")


def _check_token(deployed: Outputs, order: Order) -> None:
    """Before a service is woken for a message that nobody can send."""
    session = deployed.session(order.session)
    if order.prompt is not None and isinstance(session, DockerSession) and session.session.serves_agents:
        messages.token()


def _served(runs: Runs, deployed: Outputs, info: RunInfo, order: Order, *, follow: bool, as_json: bool) -> None:
    if order.prompt is not None:
        _message(runs, deployed, info, order.prompt, as_json=as_json)
    elif follow:
        show_lines(info.id, runs.lines(info, follow=True), as_json=as_json)
    elif as_json:
        print_json(info.to_json())
    else:
        sys.stdout.write(f"{info.id}\n")


def _message(runs: Runs, deployed: Outputs, info: RunInfo, text: str, *, as_json: bool) -> None:
    session = deployed.session(info.session)
    if not isinstance(session, DockerSession):
        raise messages.no_way_in(info.session)
    if not session.ports:
        raise usage(f"Session {info.session!r} serves no port. Fix: leave out --prompt, or give the session ports.")
    address = session.ports[str(session.session.ports[0])]
    with waiting(f"message to {info.session}") as progress:

        def wake() -> None:
            # It may have been about to stop when it was looked at.
            runs.start(Order(info.session), lambda _: None)

        answer = messages.send(address, text, messages.token(), progress, wake=wake)
    if as_json:
        print_json(answer)
    else:
        sys.stdout.write(clean(str(answer.get("text", ""))).rstrip("\n") + "\n")
    codes = {outcome: code for code, outcome in results.OUTCOMES.items()}
    raise typer.Exit(codes.get(str(answer.get("outcome")), Exit.UNREACHABLE))
