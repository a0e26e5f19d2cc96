"""One test run at a time on a host: the suites' stacks, address ranges and the engine itself are the same for all."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = Path("/tmp/agent-environments-tests.lock")
"""The same for every user and checkout, whatever folder either of them has for temporary files."""


@contextmanager
def turn(say: Callable[[str], None], file: Path = LOCK) -> Iterator[None]:
    """Wait until no other test run of this host is inside. The kernel ends a turn with its process, however that ends.

    Args:
        say: Told that there is one to wait for.
        file: Locked meanwhile; made when needed.
    """
    with os.fdopen(_opened(file)) as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another test run uses this host's Docker engine (it holds {file}); waiting for it to end ...")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _opened(file: Path) -> int:
    try:
        # Without O_CREAT: in a folder that all may write to, the kernel refuses it for another user's file.
        return os.open(file, os.O_RDONLY)
    except FileNotFoundError:
        return os.open(file, os.O_RDONLY | os.O_CREAT, 0o644)
