"""Fuzz one target with atheris (libFuzzer): `python -m tests.attack.fuzz TARGET [--runs N] [--seed N] [CORPUS]`.

An input that breaks an invariant ends the run with its traceback and a non-zero exit code; libFuzzer writes the input
to a file, which can be given as CORPUS to repeat it.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-untyped]

RUNS, SEED, LONGEST = 100_000, 1, 6000


def main() -> None:
    """Set libFuzzer up with the target's own seeds and words, and run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack.fuzz")
    parser.add_argument("target", choices=("authority", "head", "hello"))
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("corpus", nargs="*", type=Path)
    options = parser.parse_args()
    with atheris.instrument_imports(include=["egress_gateway", "h11", "idna"]):
        from tests.attack.fuzz.targets import TARGETS
    target = TARGETS[options.target]()
    target.check(b"")
    with tempfile.TemporaryDirectory() as folder:
        seeds, words = Path(folder) / "seeds", Path(folder) / "words"
        seeds.mkdir()
        for index, seed in enumerate(target.seeds):
            (seeds / str(index)).write_bytes(seed)
            # Targets that take the first byte for themselves see the rest whole.
            (seeds / f"{index}-whole").write_bytes(b"\xff" + seed)
        words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in target.words))
        arguments = [f"-runs={options.runs}", f"-seed={options.seed}", f"-max_len={LONGEST}", f"-dict={words}"]
        corpus = [str(path) for path in options.corpus] or [str(seeds)]
        # libFuzzer ends its process at once, and would leave the folder behind.
        child = os.fork()
        if child == 0:
            atheris.Setup([sys.argv[0], *arguments, *corpus], target.check)
            atheris.Fuzz()
        _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
