"""Tries from inside a session what its fence must hold: the far end of `agentenv verify`.

One argument: `{"gateway": "HOST:PORT", "seconds": 1.5, "probes": [["id", "kind", "target"], ...]}`; with `"uid"`, the
probes are tried as that user where the container starts as root, as the supervisor of several agents starts each. One
JSON line on stdout for each probe, `{"event": "probe", "id": ..., "seen": ..., "detail": ...}`, and at the end
`{"event": "probes_done", "count": ...}`. What is seen is told, not judged; no value of a variable is ever printed.
"""

import contextlib
import ctypes
import errno
import http.client
import json
import os
import re
import resource
import secrets
import select
import socket
import ssl
import stat
import struct
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

Outcome = tuple[str, str]
"""What was seen, in one of a few fixed words, and the particulars for people."""

EX_USAGE, EX_OSERR = 64, 71
RESOLV_CONF = Path("/etc/resolv.conf")
PROC = Path("/proc")
CGROUP = Path("/sys/fs/cgroup")
WORKERS = 8
GATEWAY_SECONDS = 12.0
"""A little more than the gateway gives a name and a connection."""
ALL_SECONDS = 20.0
WALK_SECONDS = 6.0
DETAIL_CHARACTERS = 200
NXDOMAIN = 3
TLS_ALERT, TLS_ALERT_BYTES, UNRECOGNIZED_NAME = 21, 7, 112
"""RFC 8446, 6: a record's head of five bytes, level and description. The gateway refuses a name with it."""
QUERY_TYPES = {"A": 1, "TXT": 16}
DNS_HEADER = struct.Struct("!6H")
PR_SET_NO_NEW_PRIVS = 38
CAPABILITIES = {"SETGID": 6, "SETUID": 7}
"""Numbers of those that may be declared (linux/capability.h)."""
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
AF_VSOCK = 40
NO_LIMIT = 1 << 60
"""Version 1 of cgroups writes a number near 2**63 where there is no limit."""
PLACEHOLDER = b"held-by-the-gateway"
CREDENTIAL_NAMES = re.compile(
    r"ANTHROPIC_(API_KEY|AUTH_TOKEN)|CLAUDE_CODE_OAUTH_TOKEN|OPENAI_API_KEY|GEMINI_API_KEY|GOOGLE_APPLICATION_CREDENTIALS"
    r"|AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|CONTAINER_(CREDENTIALS_\w+|AUTHORIZATION_TOKEN\w*))"
    r"|AZURE_CLIENT_SECRET|(GH|GITHUB|GITLAB|NPM|PYPI|HF|SLACK|VAULT)_TOKEN|PULUMI_(ACCESS_TOKEN|CONFIG_PASSPHRASE)"
    r"|(PG|MYSQL_|DATABASE_|DB_)PASSWORD|SSH_AUTH_SOCK"
)
CREDENTIAL_VALUES = re.compile(rb"sk-[A-Za-z0-9]|gh[pousr]_|github_pat_|xox[a-z]-|AKIA[A-Z0-9]|ASIA[A-Z0-9]|-----BEGIN")


@dataclass(frozen=True)
class Place:
    """A host and a TCP or UDP port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Place":
        """From HOST:PORT; an IPv6 address stands in brackets."""
        host, _, port = text.rpartition(":")
        return cls(host.strip("[]"), int(port))


@dataclass(frozen=True)
class Prober:
    """Tries things on the network.

    Attributes:
        gateway: The way out.
        seconds: How long one step may take.
    """

    gateway: Place
    seconds: float

    def tunnel(self, target: str) -> Outcome:
        """A CONNECT and a ClientHello; a TLS record that comes back means that the other side was reached."""
        place, _, name = target.partition(" ")
        try:
            link = socket.create_connection((self.gateway.host, self.gateway.port), self.seconds)
        except OSError as error:
            return "no gateway", _said(error)
        with link:
            link.settimeout(GATEWAY_SECONDS)
            try:
                link.sendall(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode())
                response = http.client.HTTPResponse(link, method="CONNECT")
                response.begin()
            except (OSError, http.client.HTTPException) as error:
                return "cut", _said(error)
            if response.status != http.client.OK:
                return _refusal(response)
            return self._hello(link, name or Place.parse(place).host)

    def _hello(self, link: socket.socket, name: str) -> Outcome:
        # Who answers is the other side's affair; that bytes come back is the fence's.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing, server_hostname=name)
        with contextlib.suppress(ssl.SSLWantReadError):
            session.do_handshake()
        try:
            link.sendall(outgoing.read())
            first = link.recv(TLS_ALERT_BYTES)
        except TimeoutError:
            return "no answer", "tunnel open, nothing came back"
        except OSError as error:
            return "cut", _said(error)
        if len(first) == TLS_ALERT_BYTES and first[0] == TLS_ALERT and first[-1] == UNRECOGNIZED_NAME:
            return "cut", "TLS alert: unrecognized name"
        return ("reached", "TLS answer") if first else ("cut", "closed after the ClientHello")

    def plain(self, url: str) -> Outcome:
        """A GET in absolute form, as a client sends it that was told of a proxy."""
        connection = http.client.HTTPConnection(self.gateway.host, self.gateway.port, timeout=GATEWAY_SECONDS)
        try:
            connection.request("GET", url)
            response = connection.getresponse()
            return _refusal(response) if "x-egress-rule" in response.headers else ("reached", f"HTTP {response.status}")
        except ConnectionRefusedError as error:
            return "no gateway", _said(error)
        except (OSError, http.client.HTTPException) as error:
            return "cut", _said(error)
        finally:
            connection.close()

    def tcp(self, target: str) -> Outcome:
        """A connection past the gateway."""
        with _resolved(Place.parse(target), socket.SOCK_STREAM) as (link, address):
            return self._connect(link, address)

    def _connect(self, link: socket.socket, address: tuple[object, ...]) -> Outcome:
        link.settimeout(0)
        code = link.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            # Known at once: no route in this namespace, or a rule of it.
            return "blocked", os.strerror(code)
        if not select.select([], [link], [], self.seconds)[1]:
            return "no answer", f"nothing within {self.seconds} s"
        code = link.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0:
            link.settimeout(self.seconds)
            return "connected", ""
        return ("blocked" if code in (errno.ECONNREFUSED, errno.EACCES, errno.EPERM) else "no route outside"), (
            os.strerror(code)
        )

    def udp(self, target: str) -> Outcome:
        """One datagram past the gateway. What a rule drops here fails at once; a closed port elsewhere answers."""
        with _resolved(Place.parse(target), socket.SOCK_DGRAM) as (link, address):
            return self._datagram(link, address, b"agentenv")[0]

    def _datagram(self, link: socket.socket, address: tuple[object, ...], data: bytes) -> tuple[Outcome, bytes]:
        link.settimeout(self.seconds)
        try:
            link.connect(address)
            link.send(data)
        except OSError as error:
            return ("blocked", _said(error)), b""
        try:
            answer = link.recv(4096)
        except TimeoutError:
            return ("no answer", f"sent, nothing within {self.seconds} s"), b""
        except ConnectionRefusedError:
            return ("answered", "port unreachable"), b""
        except OSError as error:
            # An administrator's prohibition is what a fence says; any other reason comes from further away.
            filtered = error.errno in (errno.EACCES, errno.EPERM)
            return ("blocked" if filtered else "no route outside", _said(error)), b""
        return ("answered", f"{len(answer)} bytes"), answer

    def dns(self, target: str, *, stream: bool) -> Outcome:
        """A query at one resolver, or at each that the container knows; the worst outcome of them."""
        name, kind, resolver = target.split(" ")
        resolvers = _resolvers() if resolver == "resolv.conf" else [resolver]
        if not resolvers:
            return "blocked", "no resolver is known here"
        seen = [(self._query(Place(one, 53), name, kind, stream=stream), one) for one in resolvers]
        ranks = ("answered", "no such name", "empty answer", "resolver failed", "no answer", "no route outside")
        order = {word: rank for rank, word in enumerate(ranks)}
        (word, detail), one = min(seen, key=lambda found: order.get(found[0][0], len(order)))
        return word, f"{one}: {detail}"

    def _query(self, resolver: Place, name: str, kind: str, *, stream: bool) -> Outcome:
        query = _dns_query(name, QUERY_TYPES[kind])
        how = socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
        with _resolved(resolver, how) as (link, address):
            if not stream:
                outcome, answer = self._datagram(link, address, query)
            else:
                outcome, answer = self._connect(link, address), b""
                if outcome[0] == "connected":
                    answer = self._over_stream(link, query)
        if outcome[0] == "answered" and not answer:
            # The resolver's host is there and says that nobody listens.
            return "resolver failed", outcome[1]
        if outcome[0] == "connected" and not answer:
            return "resolver failed", "connected, no answer"
        return _dns_outcome(answer) if answer else outcome

    def _over_stream(self, link: socket.socket, query: bytes) -> bytes:
        try:
            link.sendall(struct.pack("!H", len(query)) + query)
            return link.recv(4096)[2:]
        except OSError:
            return b""

    def credentials(self, target: str) -> Outcome:
        """Asks a task's metadata service for credentials, at the path that it would have named."""
        place = Place.parse(target)
        path = os.environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/")
        connection = http.client.HTTPConnection(place.host, place.port, timeout=self.seconds)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            held = response.status == http.client.OK and b"SecretAccessKey" in response.read(65536)
        except (OSError, http.client.HTTPException) as error:
            return "blocked", _said(error)
        finally:
            connection.close()
        return ("credentials", path) if held else ("no credentials", f"HTTP {response.status}")


class _resolved:  # noqa: N801 - used as a function
    """A socket for a place, with its address; closed at the end."""

    def __init__(self, place: Place, how: int) -> None:
        self.address: tuple[object, ...]
        family, kind, _, _, self.address = socket.getaddrinfo(place.host, place.port, type=how)[0]
        self.link = socket.socket(family, kind)

    def __enter__(self) -> tuple[socket.socket, tuple[object, ...]]:
        return self.link, self.address

    def __exit__(self, *_: object) -> None:
        self.link.close()


def _refusal(response: http.client.HTTPResponse) -> Outcome:
    rule = response.headers.get("x-egress-rule", "")
    detail = f"{response.status} {rule}".strip()
    if rule == "unknown-session":
        return "not known to the gateway", detail
    if response.status == http.client.FORBIDDEN:
        return "denied", detail
    upstream = response.status in (http.client.BAD_GATEWAY, http.client.GATEWAY_TIMEOUT)
    return ("allowed, upstream unreachable" if upstream and rule else "gateway fault"), detail


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _resolvers() -> list[str]:
    try:
        lines = [line.split() for line in RESOLV_CONF.read_text().splitlines()]
    except OSError:
        return []
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]


def _dns_query(name: str, kind: int) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    recursion_desired = 0x0100
    number = int.from_bytes(secrets.token_bytes(2))
    return DNS_HEADER.pack(number, recursion_desired, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def _dns_outcome(answer: bytes) -> Outcome:
    if len(answer) < DNS_HEADER.size:
        return "resolver failed", f"{len(answer)} bytes"
    _, flags, _, records, _, _ = DNS_HEADER.unpack_from(answer)
    code = flags & 0xF
    if code == NXDOMAIN:
        return "no such name", "NXDOMAIN"
    if code:
        return "resolver failed", f"RCODE {code}"
    return ("answered", f"{records} records") if records else ("empty answer", "")


def write(target: str) -> Outcome:
    """Makes a file in a folder and removes it."""
    path = Path(target) / f".agentenv-{secrets.token_hex(8)}"
    try:
        path.write_bytes(b"probe")
    except OSError as error:
        return ("read-only" if error.errno == errno.EROFS else "refused"), _said(error)
    path.unlink()
    return "writable", ""


def setuid(target: str) -> Outcome:
    """Looks below a folder, on its own file system, for files with the setuid or setgid bit."""
    found: list[str] = []
    deadline = time.monotonic() + WALK_SECONDS
    for path in _files(target):
        if time.monotonic() > deadline:
            return "not finished", f"after {WALK_SECONDS} s"
        found.append(path)
    files = [path for path in found if path]
    return ("found", " ".join(files[:5])) if files else ("none", f"{len(found)} files")


def _files(top: str) -> Iterator[str]:
    """One item a file: its path if it raises privileges, else nothing."""
    device = os.lstat(top).st_dev
    waiting = [top]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue
        for entry in entries:
            try:
                about = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISDIR(about.st_mode) and about.st_dev == device:
                waiting.append(entry.path)
            elif stat.S_ISREG(about.st_mode):
                yield entry.path if about.st_mode & (stat.S_ISUID | stat.S_ISGID) else ""


def user(_: str) -> Outcome:
    """The user that agents run as."""
    ids = (*os.getresuid(), *os.getresgid(), *os.getgroups())
    return ("root" if 0 in ids else "not root"), f"uid {os.getuid()}, gid {os.getgid()}"


def _status() -> dict[str, str]:
    pairs = (line.partition(":") for line in (PROC / "self/status").read_text().splitlines())
    return {name: value.strip() for name, _, value in pairs}


def capabilities(target: str) -> Outcome:
    """All sets of capabilities but the inheritable, which gives none by itself; the bounding set may hold `target`."""
    status = _status()
    bound = sum(1 << CAPABILITIES[name] for name in target.split())
    allowed = {"CapPrm": 0, "CapEff": 0, "CapBnd": bound, "CapAmb": 0}
    held = [f"{name}={status[name]}" for name, bits in allowed.items() if int(status.get(name, "0"), 16) & ~bits]
    return ("found", " ".join(held)) if held else ("none", "")


def no_new_privileges(_: str) -> Outcome:
    """Whether execve may raise privileges."""
    value = _status().get("NoNewPrivs")
    return ("unknown", "") if value is None else ("set" if value == "1" else "not set", f"NoNewPrivs {value}")


def seccomp(_: str) -> Outcome:
    """Whether a filter of the engine's judges system calls, besides the one that every session sets itself."""
    status = _status()
    value = status.get("Seccomp")
    if value is None:
        return "unknown", ""
    # Kernels before 5.9 do not count them.
    count = status.get("Seccomp_filters", "not counted")
    stands = value == "2" and count not in ("0", "1")
    return "set" if stands else "not set", f"Seccomp {value}, filters: {count}"


def pids(_: str) -> Outcome:
    """Limit of processes: the control group's, or the user's."""
    seen, detail = _control_group("pids.max", "pids/pids.max")
    soft, _hard = resource.getrlimit(resource.RLIMIT_NPROC)
    # Kernels give every user a number of their own; one that is set for a session is small.
    if seen != "limited" and soft != resource.RLIM_INFINITY and soft <= 1 << 15:
        return "limited", f"{soft} for this user"
    return seen, detail


def memory(_: str) -> Outcome:
    """Limit of memory, tmpfs included."""
    return _control_group("memory.max", "memory/memory.limit_in_bytes")


def _control_group(*names: str) -> Outcome:
    for name in names:
        try:
            value = (CGROUP / name).read_text().strip()
        except OSError:
            continue
        unlimited = value == "max" or int(value) >= NO_LIMIT
        return ("unlimited" if unlimited else "limited"), value
    return "unknown", "no control group is visible"


def syscall(name: str) -> Outcome:
    """Tries a system call in a child, so that its success changes nothing here."""
    attempts: dict[str, Callable[[], None]] = {
        "mount": _mount,
        "unshare-net": lambda: _checked(_libc().unshare(CLONE_NEWNET)),
        "unshare-user": lambda: _checked(_libc().unshare(CLONE_NEWUSER)),
        "vsock": lambda: socket.socket(AF_VSOCK, socket.SOCK_STREAM).close(),
    }
    child = os.fork()
    if child == 0:
        code = 0
        try:
            attempts[name]()
        except OSError as error:
            code = error.errno or errno.EPERM
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:
        return "refused", f"killed by signal {-code}"
    return ("refused", os.strerror(code)) if code else ("allowed", "")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), "")


def _mount() -> None:
    libc = _libc()
    _checked(libc.mount(b"agentenv", b"/mnt", b"tmpfs", 0, None))
    libc.umount2(b"/mnt", 0)


def environ(target: str) -> Outcome:
    """Names of variables, of this process and of every other that may be read, which look like they hold a secret."""
    held = set(target.split())
    found = {f"{name} (own)" for name in _suspicious(_own_environment()) if name not in held}
    for path in PROC.glob("[0-9]*/environ"):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        found |= {f"{name} (process {path.parent.name})" for name in _suspicious(content) if name not in held}
    return ("found", ", ".join(sorted(found))) if found else ("none", "")


def _own_environment() -> bytes:
    return b"\0".join(name + b"=" + value for name, value in os.environb.items())


def _suspicious(content: bytes) -> Iterator[str]:
    for pair in content.split(b"\0"):
        raw, _, value = pair.partition(b"=")
        name = raw.decode(errors="replace")
        # What stands where a program wants a key, and the gateway has the real one.
        if value and value != PLACEHOLDER and (CREDENTIAL_NAMES.fullmatch(name) or CREDENTIAL_VALUES.match(value)):
            yield name


def absent(target: str) -> Outcome:
    """Paths that must not be there."""
    found = [path for path in target.split() if os.path.lexists(path)]
    return ("found", " ".join(found)) if found else ("none", "")


LOCAL: dict[str, Callable[[str], Outcome]] = {
    "write": write,
    "setuid": setuid,
    "user": user,
    "capabilities": capabilities,
    "no-new-privileges": no_new_privileges,
    "seccomp": seccomp,
    "pids": pids,
    "memory": memory,
    "syscall": syscall,
    "environ": environ,
    "absent": absent,
}


def network(prober: Prober) -> dict[str, Callable[[str], Outcome]]:
    """What goes over the network, by kind."""
    return {
        "tunnel": prober.tunnel,
        "plain": prober.plain,
        "tcp": prober.tcp,
        "udp": prober.udp,
        "dns-udp": lambda target: prober.dns(target, stream=False),
        "dns-tcp": lambda target: prober.dns(target, stream=True),
        "credentials": prober.credentials,
    }


def attempt(action: Callable[[str], Outcome], target: str) -> Outcome:
    """One probe; what it cannot do is an outcome too, and never the expected one."""
    try:
        return action(target)
    except socket.gaierror as error:
        return "blocked", f"no address: {_said(error)}"
    except Exception as error:  # noqa: BLE001 - one probe must not end the others
        return "unknown", f"{type(error).__name__}: {_said(error)}"


def say(number: str, outcome: Outcome) -> None:
    """One line for one probe, in one write."""
    seen, detail = outcome
    line = {"event": "probe", "id": number, "seen": seen, "detail": detail[:DETAIL_CHARACTERS]}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def become(uid: int) -> None:
    """Be this user, as an agent is whose supervisor is root; whoever is not root stays what it is.

    Raises:
        OSError: it may not.
    """
    if os.getuid() != 0:
        return
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    _checked(_libc().prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def main(arguments: list[str]) -> int:
    """Run the probes of the one argument.

    Returns:
        0 when all have been tried, whatever was seen; 64 for an argument that is none; 71 where it cannot become the
        user that is asked for.
    """
    try:
        (text,) = arguments
        order = json.loads(text)
        prober = Prober(Place.parse(order["gateway"]), float(order["seconds"]))
        wanted = [(str(number), str(kind), str(target)) for number, kind, target in order["probes"]]
        uid = int(order.get("uid") or os.getuid())
    except (ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"verify_fence: not a list of probes: {type(error).__name__}: {error}\n")
        return EX_USAGE
    try:
        become(uid)
    except OSError as error:
        sys.stderr.write(f"verify_fence: cannot become uid {uid}: {_said(error)}\n")
        return EX_OSERR
    over = network(prober)
    # First what forks: a child of a process with threads may find a lock held for ever.
    for number, kind, target in wanted:
        if kind not in over:
            local = LOCAL.get(kind)
            say(number, attempt(local, target) if local else ("unknown", f"no probe of kind {kind} in this image"))
    pool = ThreadPoolExecutor(max_workers=WORKERS)
    running = {pool.submit(attempt, over[kind], target): number for number, kind, target in wanted if kind in over}
    done, late = wait(running, timeout=ALL_SECONDS)
    for future in sorted(done, key=lambda future: running[future]):
        say(running[future], future.result())
    for future in late:
        say(running[future], ("not finished", f"after {ALL_SECONDS} s"))
    sys.stdout.write(json.dumps({"event": "probes_done", "count": len(wanted)}) + "\n")
    sys.stdout.flush()
    pool.shutdown(wait=False)
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # Threads that still wait for an answer must not hold the container.
    os._exit(code)
