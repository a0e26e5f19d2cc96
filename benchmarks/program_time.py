"""The stack program's time, as a ratio to a bare program that registers as many resources in a loop.

Both run against Pulumi's mocks in processes of their own, from the first import to the last registration: processor
time, the best of RUNS, so that only Python's own work is measured. Then: the import time of the program by module.

Usage: python benchmarks/program_time.py    (exit 1 when the ratio is above GOAL)
"""

import importlib
import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GOAL = 1.5
RUNS = 5
DIGEST = "sha256:" + "d" * 64


def mocked() -> "object":
    """Mocks that answer every registration and every invoke of the program."""
    import pulumi

    class Answers(pulumi.runtime.Mocks):
        registered: list[str] = []  # noqa: RUF012 - one process, one program

        def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, object]]:
            self.registered.append(args.typ)
            computed = {"arn": f"arn:{args.name}", "repositoryUrl": "r", "digest": DIGEST, "prefixListId": "pl"}
            return args.name, {**args.inputs, **computed}

        def call(self, _args: pulumi.runtime.MockCallArgs) -> dict[str, object]:  # type: ignore[override]
            return {
                "accountId": "123456789012",
                "partition": "aws",
                "dnsSuffix": "amazonaws.com",
                "names": ["a", "b", "c"],
                "proxyEndpoint": "r",
                "userName": "AWS",
                "password": "p",
            }

    answers = Answers()
    pulumi.runtime.set_mocks(answers, project="agent-environments", stack="demo", preview=False)
    return answers


def run_program() -> list[str]:
    """The demo-aws stack; returns the types that it registered."""
    import pulumi
    import yaml

    answers = mocked()
    from components.environment import Environment
    from components.fargate import Fargate
    from components.models.stack import Stack
    from components.session import Session

    data = yaml.safe_load((ROOT / "Pulumi.demo-aws.yaml").read_text())["config"]["agent-environments:stack"]
    stack = Stack.parse(data | {"base_image": f"debian:trixie-slim@{DIGEST}"})

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def program() -> None:
        runtime = Fargate("agents", {"stack": stack, "region": "eu-west-1"})
        for model in stack.environments:
            sessions = stack.sessions_of(model.name)
            environment = Environment(model.name, {"runtime": runtime, "environment": model, "sessions": sessions})
            for session in sessions:
                if session.is_service or session.schedule:
                    Session(session.name, {"environment": environment, "session": session})

    program()
    return answers.registered  # type: ignore[attr-defined, no-any-return]


def run_bare(count: int, classes: list[str]) -> int:
    """As many plain resources in a loop, with the same SDK modules loaded: they would dwarf everything else."""
    import pulumi

    mocked()
    for place in classes:
        # The SDK's modules are lazy: they load when a class in them is looked up.
        module, _, name = place.partition(":")
        getattr(importlib.import_module(module), name)
    from pulumi_aws import iam

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def program() -> None:
        for index in range(count):
            iam.RolePolicy(f"p{index}", role="r", policy='{"Version": "2012-10-17", "Statement": []}')

    program()
    return count


def seconds(*arguments: str) -> tuple[float, list[str]]:
    """Best of RUNS of this file with `arguments`, and the types of what it registered."""
    best, types = float("inf"), []
    for _ in range(RUNS):
        done = subprocess.run(
            [sys.executable, __file__, *arguments], check=True, capture_output=True, text=True, cwd=ROOT / "infra"
        )
        answer = json.loads(done.stdout)
        best, types = min(best, answer["seconds"]), answer["types"]
    return best, types


def imports() -> list[tuple[float, str]]:
    """(milliseconds, module): top-level packages by the time that their own modules take to import."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import components.fargate, components.environment"],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    total: dict[str, float] = {}
    for line in done.stderr.splitlines():
        own, _, name = line.removeprefix("import time:").split("|")
        if own.strip().isdigit():
            parts = name.strip().split(".")
            key = ".".join(parts[:2]) if parts[0] in ("pulumi_aws", "components") else parts[0]
            total[key] = total.get(key, 0) + int(own) / 1000
    return sorted(((spent, name) for name, spent in total.items()), reverse=True)[:15]


def loaded() -> list[str]:
    """Modules of `pulumi_aws` whose classes the program really loads; the package's root lists all, lazily."""
    code = (
        "import sys, runpy; sys.argv = ['x', 'program'];"
        f"runpy.run_path({__file__!r})['run_program']();"
        "print(*sorted({m.split('.')[1] for m in sys.modules if m.startswith('pulumi_aws.') and m.count('.') > 1}))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT / "infra")
    return done.stdout.split()


def main() -> int:
    """Measure and print; returns the exit code."""
    if sys.argv[1:]:
        started = time.process_time()
        types = run_program() if sys.argv[1] == "program" else ["x"] * run_bare(int(sys.argv[2]), sys.argv[3:])
        print(json.dumps({"seconds": time.process_time() - started, "types": types}))
        return 0
    ours, types = seconds("program")
    used = {kind.split(":")[1].split("/")[0]: kind.rpartition(":")[2] for kind in types if kind.startswith("aws:")}
    classes = [f"pulumi_aws.{service}:{name}" for service, name in sorted(used.items())]
    bare, _ = seconds("bare", str(len(types)), *classes, "pulumi_docker_build:Image")
    ratio = ours / bare
    print(f"program, {len(types)} resources: {ours:.2f} s")
    print(f"bare loop of as many, same SDK modules: {bare:.2f} s")
    print(f"ratio {ratio:.2f} (goal: at most {GOAL})")
    print("import time, milliseconds of the modules' own:")
    for spent, name in imports():
        print(f"  {spent:8.0f}  {name}")
    print("pulumi_aws services loaded:", ", ".join(loaded()))
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
