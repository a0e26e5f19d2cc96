"""Measures how fast sessions start, what images weigh, what an idle session holds and costs.

Usage: python -m benchmarks.sessions [--quick]    (about four minutes, longer while images are new; --quick leaves them
out; exit 1 when a goal is missed)

`agentenv start` and a plain `docker run` of the same image with the same task, which asks the same stand-in for the
Messages API without a fence and a gateway, take turns, so that a busy machine is busy for both. What is printed is the
median.
"""

import sys
from statistics import median

from benchmarks.egress.__main__ import Goal
from benchmarks.sessions.images import SMALL, Built, built, history, remove
from benchmarks.sessions.stage import Stage, Took
from components.models.environment import Packages
from components.models.session import Session
from components.plans.task import price

ROUNDS = 10
MIB = 2**20
DOLLARS = 0.05
"""What the documents say that a container costs an hour at least."""
DATA = Packages(pip=("numpy", "pandas"), npm=("express",))
ONE_MORE = Packages(pip=("numpy", "pandas", "six"), npm=("express",))
OURS, PLAIN, ALONE = "agentenv start --wait", "docker run", "docker run, claude alone"
NO_REGISTRY = "Unable to download data from"
"""What gem says where it reaches no registry."""
QUICK = "--quick"
"""Without the images."""


def speed(stage: Stage) -> list[Goal]:
    """From the command to the agent's first request and to the end."""
    ways = {
        OURS: stage.agentenv,
        PLAIN: stage.plain,
        ALONE: stage.claude,
    }
    took: dict[str, list[Took]] = {name: [] for name in ways}
    empty: list[float] = []
    own: list[float] = []
    # One of each first: an engine reads an image from the disk once.
    for way in (*ways.values(), stage.empty):
        way()
    for _ in range(ROUNDS):
        empty.append(stage.empty())
        own.append(stage.own_start())
        for name, way in ways.items():
            took[name].append(way())
    request = {name: median(one.request for one in took[name]) for name in ways}
    end = {name: median(one.end for one in took[name]) for name in ways}
    print(f"start of a session, median of {ROUNDS}: seconds to the first request, to the end")
    for name in ways:
        print(f"  {name:24} {request[name]:6.2f} {end[name]:6.2f}")
    print(f"  {'docker run, true':24} {'':6} {median(empty):6.2f}")
    print(f"  {'agentenv start --help':24} {'':6} {median(own):6.2f}")
    alone = f"to the first request {request[OURS] / request[ALONE]:.2f}, to the end {end[OURS] / end[ALONE]:.2f}"
    print(f"  agentenv / claude alone: {alone}")
    ours = took[OURS]
    steps = {what: median(one.reached[what] for one in ours) for what in ours[0].reached}
    told = ", ".join(f"{what} {at:.2f}" for what, at in sorted(steps.items(), key=lambda step: step[1]))
    print(f"  agentenv start: {told}")
    print(
        f"  agentenv / docker run, its own start counted: to the first request {request[OURS] / request[PLAIN]:.2f}, "
        f"to the end {end[OURS] / end[PLAIN]:.2f}"
    )
    # The goal is on top of the command's own start: that of Python, which `docker` does without.
    less = median(own)
    return [
        Goal(
            "to the first request, agentenv less its own start / docker run",
            (request[OURS] - less) / request[PLAIN],
            1.3,
        ),
        Goal("to the end, agentenv less its own start / docker run", (end[OURS] - less) / end[PLAIN], 1.3),
    ]


def images() -> list[Goal]:
    """Size of each manager's layers; what is built again."""
    bare = built(Packages())
    print(f"image without packages: {bare.size / MIB:.0f} MiB in {len(bare.layers)} layers; largest, MiB: ", end="")
    print(
        ", ".join(f"{size / MIB:.0f}" for size in sorted((layer.size for layer in history(bare.tag)), reverse=True)[:3])
    )
    print("what a package manager adds, with one small package: MiB, layers")
    missed = [manager for manager, packages in SMALL.items() if not added(manager, packages, bare)]
    first, second = built(DATA), built(Packages(npm=("express",), pip=("pandas", "numpy")))
    new = set(second.layers) - set(first.layers)
    print(f"a second environment with the same packages: {len(new)} new layers, {second.seconds:.2f} s of the engine")
    return [
        Goal("package managers that were not built", len(missed), 0),
        Goal("second environment with the same packages, new layers", len(new), 0),
        *one_more(first),
    ]


def added(manager: str, packages: Packages, bare: Built) -> bool:
    """Print what a manager adds to an image without packages; False where it cannot be built, and should be."""
    try:
        one = built(packages)
    except RuntimeError as error:
        # The one registry that has no stand-in and no mirror everywhere this is run.
        excused = manager == "gem" and NO_REGISTRY in str(error)
        why = "left out, its registry is not reached from here" if excused else str(error).strip().splitlines()[-1]
        print(f"  {manager:6} not built: {why}")
        return excused
    print(f"  {manager:6} {(one.size - bare.size) / MIB:6.0f} {len(one.layers) - len(bare.layers):3}")
    return True


def one_more(before: Built) -> list[Goal]:
    """One pip package more: which layers are built again, and how much is in them."""
    after = built(ONE_MORE)
    known = set(history(before.tag))
    sizes = [layer.size for layer in history(after.tag) if layer not in known]
    large = [size for size in sizes if size >= MIB]
    small = sum(sizes) - sum(large)
    print(
        f"one pip package more: {len(sizes)} layers built again, {len(large)} of them with {sum(large) / MIB:.1f} MiB,"
    )
    print(f"  the others (the runner itself) with {small / 1024:.0f} KiB; {after.seconds:.1f} s")
    return [
        # That of pip's packages: with none of them the packages would not be there.
        Goal("one pip package more, layers of a MiB or more that are built again", len(large), 1),
        Goal("the same", len(large), 1, at_least=True),
        Goal("one pip package more, all smaller layers that are built again", small / 1024, 2048, " KiB"),
    ]


def memory(stage: Stage) -> None:
    """What a session that stays up holds."""
    fresh = stage.memory()
    stage.message()
    print(f"memory of an idle service: {fresh:.0f} MiB before its first message, {stage.memory():.0f} MiB after it")


def cost() -> list[Goal]:
    """Dollars an hour of a session of the default size on Fargate, by list price."""
    fields = {"name": "s", "environment": "e", "pattern": "ephemeral", "agent": {"model": "sonnet", "max_turns": 1}}
    dollars = price(Session.model_validate(fields))
    print(f"a session of the default size on Fargate: ${dollars:.4f} an hour")
    return [Goal("cents an hour of the default session", 100 * dollars, 100 * DOLLARS)]


def main() -> int:
    """Measure and print; the exit code."""
    with Stage() as stage:
        memory(stage)
        goals = speed(stage)
    if QUICK not in sys.argv[1:]:
        try:
            goals += images()
        finally:
            remove()
    goals += cost()
    print("goals:")
    for goal in goals:
        print(goal)
    return 0 if all(goal.met for goal in goals) else 1


if __name__ == "__main__":
    sys.exit(main())
