"""The supervisor of several agents: what it may do, and what it takes from them."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from agentenv_session import supervise
from agentenv_session.layout import Layout
from agentenv_session.settings import AgentSettings, Declaration, Task

from tests.session.box import PROGRAM

# Capabilities 6 and 7, SETGID and SETUID, are what a supervisor has. Version 3 of capset takes two words of each set.
WITH_LITTLE = f"""
import ctypes, sys
from pathlib import Path
sys.path.insert(0, {str(PROGRAM.parent)!r})
from agentenv_session.supervise import set_mode
libc, left = ctypes.CDLL(None, use_errno=True), 1 << 6 | 1 << 7
assert not libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(left, left)), ctypes.get_errno()
for mode in (0o1777, 0o755):
    set_mode(Path(sys.argv[1]), mode)
    print(oct(Path(sys.argv[1]).stat().st_mode & 0o7777))
Path(sys.argv[1]).chmod(0o700)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities that it can put down")
@pytest.mark.parametrize(("owner", "can"), [(0, True), (10001, False)])
def test_a_supervisor_changes_the_mode_of_a_volume_whoever_owns_it(tmp_path: Path, owner: int, can: bool) -> None:
    folder = tmp_path / "volume"
    folder.mkdir()
    os.chown(folder, owner, owner)
    tmp_path.chmod(0o711)
    done = subprocess.run(
        [sys.executable, "-I", "-c", WITH_LITTLE, folder.name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["0o1777", "0o755"], done.stderr
    # Without what is tested, it may only where it is the owner.
    assert (done.returncode == 0, "PermissionError" in done.stderr) == (can, not can)
    assert stat.S_IMODE(folder.stat().st_mode) == (0o700 if can else 0o755)


def test_agents_whose_folders_cannot_be_made_crash_with_a_result(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    declaration = Declaration("s", "e", "single_container", (AgentSettings("a", "m"), AgentSettings("b", "m")))
    code = supervise.main(
        declaration, Task(prompts=("x",)), {}, Layout(tmp_path), lambda event, fields: told.append(dict(fields))
    )
    result = json.loads(told[-2]["text"])
    assert (code, result["outcome"], [agent["name"] for agent in result["agents"]]) == (70, "crash", ["a", "b"])
    assert all("No such file or directory" in agent["error"] for agent in result["agents"])
