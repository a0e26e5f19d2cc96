"""Attacks on the container itself: `main(name, arguments...)`."""

import ctypes
import errno
import os
import platform
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x10000000, 0x20000000, 0x40000000
MS_REMOUNT, MS_BIND = 32, 4096
PTRACE_SEIZE = 0x4206
# Numbers of system calls that the C library has no function for: x86-64, then arm64.
NUMBERS = {
    "pivot_root": (155, 41),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "kexec_load": (246, 104),
    "open_by_handle_at": (304, 265),
    "userfaultfd": (323, 282),
    "fsopen": (430, 430),
    "move_mount": (429, 429),
}
VIRTUAL = ("/proc", "/sys", "/dev")


def main(name: str, *arguments: Any) -> Any:
    attacks: dict[str, Callable[..., Any]] = {
        "status": status,
        "calls": calls,
        "writable": writable,
        "setuid": setuid,
        "processes": processes,
        "families": families,
        "sockets": sockets,
        "search": search,
        "forks": forks,
        "fill": fill,
        "memory": memory,
        "echo": echo,
    }
    return attacks[name](*arguments)


def echo(value: Any) -> Any:
    return value


def status(pid: str = "self") -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def calls() -> dict[str, str]:
    """What came of system calls that leave a container or change the kernel: name -> error, or `allowed`."""
    libc = ctypes.CDLL(None, use_errno=True)
    index = {"x86_64": 0, "aarch64": 1}[platform.machine()]

    def own_namespace() -> int:
        descriptor = os.open("/proc/1/ns/net", os.O_RDONLY)
        return int(libc.setns(descriptor, 0))

    attempts: dict[str, Callable[[], int]] = {
        "mount tmpfs": lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None),
        "mount proc": lambda: libc.mount(b"proc", b"/tmp", b"proc", 0, None),
        "mount bind": lambda: libc.mount(b"/proc", b"/tmp", None, MS_BIND, None),
        "remount root": lambda: libc.mount(None, b"/", None, MS_REMOUNT, None),
        "umount": lambda: libc.umount2(b"/tmp", 0),
        "unshare mount": lambda: libc.unshare(CLONE_NEWNS),
        "unshare user": lambda: libc.unshare(CLONE_NEWUSER),
        "unshare pid": lambda: libc.unshare(CLONE_NEWPID),
        "unshare net": lambda: libc.unshare(CLONE_NEWNET),
        "setns": own_namespace,
        "chroot": lambda: libc.chroot(b"/tmp"),
        "sethostname": lambda: libc.sethostname(b"x", 1),
        "setuid 0": lambda: libc.setuid(0),
        "setgid 0": lambda: libc.setgid(0),
        "mknod": lambda: libc.mknod(b"/tmp/disk", stat.S_IFBLK | 0o600, os.makedev(8, 0)),
        "swapon": lambda: libc.swapon(b"/tmp/none", 0),
    }
    attempts |= {name: partial(libc.syscall, numbers[index], 0, 0, 0, 0, 0) for name, numbers in NUMBERS.items()}
    found = {}
    for name, attempt in attempts.items():
        ctypes.set_errno(0)
        try:
            done = attempt()
        except OSError as error:
            found[name] = errno.errorcode.get(error.errno or 0, "")
            continue
        found[name] = "allowed" if done == 0 else errno.errorcode.get(ctypes.get_errno(), "")
    return found


def files() -> Iterator[os.DirEntry[str]]:
    """Everything on the file system but what the kernel makes up."""
    folders = ["/"]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.path in VIRTUAL:
                        continue
                    yield entry
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except OSError:
            continue


def writable() -> list[str]:
    """Places at which the session can write, each but those below another that is named already."""
    found: list[str] = []
    for entry in files():
        if entry.is_symlink() or not (entry.is_dir() or entry.is_file()):
            continue
        if not any(entry.path.startswith(f"{place}/") for place in found) and os.access(entry.path, os.W_OK):
            found.append(entry.path)
    made_up = ("/sys", "/proc/sys", "/proc/sysrq-trigger", "/sys/fs/cgroup", "/dev")
    return sorted([*found, *(place for place in made_up if os.access(place, os.W_OK))])


def setuid() -> list[str]:
    """Files that give privileges to whoever runs them, and block devices."""
    found = []
    for entry in files():
        mode = entry.stat(follow_symlinks=False).st_mode
        capabilities = entry.is_file(follow_symlinks=False) and "security.capability" in os.listxattr(entry.path)
        if (stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID)) or stat.S_ISBLK(mode) or capabilities:
            found.append(entry.path)
    return found + [entry.path for entry in os.scandir("/dev") if stat.S_ISBLK(entry.stat().st_mode)]


def processes() -> dict[str, str]:
    """Every process that can be seen: its command, and what came of looking into it."""
    libc = ctypes.CDLL(None, use_errno=True)
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                command = (folder / "cmdline").read_bytes().split(b"\0")[0].decode()
            except OSError:
                continue
            traced = libc.ptrace(PTRACE_SEIZE, int(folder.name), None, None) == 0
            found[folder.name] = f"{command} {'traced' if traced else errno.errorcode[ctypes.get_errno()]}"
    return found


def families() -> list[str]:
    """Kinds of sockets that no network namespace holds, or that reach around the firewall, and that can be made."""
    made = []
    for name in ("AF_VSOCK", "AF_PACKET", "AF_BLUETOOTH", "AF_TIPC", "AF_RDS", "AF_CAN"):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, socket.SOCK_RAW):
            try:
                socket.socket(getattr(socket, name), kind, 0).close()
            except OSError:
                continue
            made.append(name)
            break
    return made


def sockets() -> dict[str, list[str]]:
    """UNIX sockets within reach: files, and abstract names of the network namespace."""
    lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    abstract = {fields[-1] for fields in map(str.split, lines) if len(fields) > 7 and fields[-1].startswith("@")}
    found = [entry.path for entry in files() if stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode)]
    return {"abstract": sorted(abstract), "files": sorted(found)}


def search(needle: str) -> list[str]:
    """Where a text is: environments of processes, files."""
    wanted = needle.encode()
    places = [*Path("/proc").glob("*/environ"), Path("/proc/self/mountinfo")]
    places += [Path(entry.path) for entry in files() if entry.is_file(follow_symlinks=False)]
    found = []
    for path in places:
        try:
            if wanted in path.read_bytes():
                found.append(str(path))
        except OSError:
            continue
    return found


def forks(most: int) -> list[Any]:
    """Children that do nothing until they cannot be made any more; how many there were, and why there were no more."""
    children: list[int] = []
    reason = "no limit"
    try:
        while len(children) < most:
            child = os.fork()
            if child == 0:
                signal.pause()
                os._exit(0)
            children.append(child)
    except OSError as error:
        reason = errno.errorcode[error.errno or 0]
    finally:
        # Long enough that others can be looked at meanwhile.
        time.sleep(2)
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)
    return [len(children), reason]


def fill(folder: str, most: int) -> list[Any]:
    """Write up to `most` bytes to a file; how many, and why no more."""
    path, written, piece = Path(folder) / "filled", 0, bytes(1 << 20)
    try:
        with path.open("wb", buffering=0) as file:
            while written < most:
                written += file.write(piece)
        return [written, "no limit"]
    except OSError as error:
        time.sleep(1)
        return [written, errno.errorcode[error.errno or 0]]
    finally:
        path.unlink(missing_ok=True)


def memory(most: int) -> list[Any]:
    """Use up to `most` bytes of memory in a child; how it ended."""
    child = os.fork()
    if child == 0:
        kept = [b"x" * (1 << 24) for _ in range(most >> 24)]
        os._exit(len(kept) == 0)
    _, ended = os.waitpid(child, 0)
    return [os.WIFSIGNALED(ended) and os.WTERMSIG(ended), "signal"]
