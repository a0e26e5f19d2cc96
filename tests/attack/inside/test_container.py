"""The container: what a session is, may and sees, told from within."""

import pytest

from tests.attack.cases import Case
from tests.attack.inside.cases import single
from tests.attack.inside.conftest import Rig
from tests.attack.inside.programs import container
from tests.attack.inside.sessions import Session

pytestmark = pytest.mark.containers

TOPIC = "The container"
WRITABLE = {"/dev/mqueue", "/dev/shm", "/home/agent", "/tmp", "/workspace"}


@pytest.fixture(params=["desk", "free", "shop"])
def session(request: pytest.FixtureRequest) -> Session:
    """A limited run, an unrestricted run, a service."""
    found: Session = request.getfixturevalue(request.param)
    return found


@single(
    TOPIC,
    "privileges",
    "capabilities, new privileges, system call filter, user and groups",
    "no capability in any set, NoNewPrivs, a filter, not root, one group; a service's user is its own",
)
def test_privileges(case: Case, session: Session, desk: Session, shop: Session) -> None:
    for process in ("1", "self"):
        status = session.run(container, "status", process)
        sets = [status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")]
        assert sets == ["0" * 16] * 5
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert len({*status["Uid"].split()}) == 1
        assert int(status["Uid"].split()[0]) >= 10000
        assert {*status["Groups"].split(), *status["Gid"].split()} == {"10001"}
    assert desk.run(container, "status")["Uid"] != shop.run(container, "status")["Uid"]


@single(
    TOPIC,
    "system-calls",
    "mount, umount, remount, unshare, setns, chroot, pivot_root, mknod, setuid 0, bpf, keyctl, init_module and others",
    "each is refused",
)
def test_system_calls(case: Case, session: Session) -> None:
    calls = session.run(container, "calls")
    assert len(calls) > 20
    assert {name: error for name, error in calls.items() if error not in ("EPERM", "ENOSYS", "EACCES")} == {}


@single(
    TOPIC,
    "read-only-root",
    "every folder and file of the file system, /sys, /proc/sys, /dev",
    "writable are /tmp, /workspace, /home/agent and the container's own shared memory",
)
def test_read_only_root(case: Case, session: Session) -> None:
    assert {*session.run(container, "writable")} <= WRITABLE
    assert {"/tmp", "/workspace", "/home/agent"} <= {*session.run(container, "writable")}


@single(TOPIC, "setuid-files", "setuid and setgid files, file capabilities, block devices", "there are none")
def test_setuid_files(case: Case, session: Session) -> None:
    assert session.run(container, "setuid") == []


@single(
    TOPIC,
    "processes",
    "processes of the fence, of other sessions, of the host: seen or traced",
    "only the session's own are there",
)
def test_processes(case: Case, rig: Rig, session: Session) -> None:
    commands = {seen.split()[0] for seen in session.run(container, "processes").values()}
    assert commands <= {"/sbin/docker-init", "/dev/init", "/usr/bin/python3"}, commands
    config = session.container.attrs["HostConfig"]
    assert (config["PidMode"], config["IpcMode"], config["UTSMode"], config["Privileged"]) == ("", "private", "", False)
