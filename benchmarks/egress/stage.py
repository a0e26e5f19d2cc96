"""Everything that is measured, side by side on the loopback of one network namespace."""

import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trustme

from tests.attack.rig.client import Client
from tests.attack.rig.dns import DnsServer, Record
from tests.attack.rig.gateway import Gateway, wait_for
from tests.attack.rig.namespace import Namespace
from tests.attack.rig.squid import Squid
from tests.attack.rig.upstream import Upstreams

ROOT = Path(__file__).resolve().parents[2]
NAME, TLS_NAME, STREAM = "sink.test", "tls.test", "stream.test"
SINK, TLS_SINK, STREAM_ADDRESS, STREAM_PORT = "127.77.0.10", "127.77.0.11", "127.77.0.20", 8443
RANGE = "127.77.0.0/24"
GATEWAY, SQUID, RESOLVER, CLIENT = "127.10.0.2", "127.10.0.3", "127.10.0.53", "127.0.0.1"
PROXY_PORT = 3128
ROUTE = "stream"
TTL = 3600
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def policy(folder: Path, *more: str) -> dict[str, Any]:
    """The policy of the benchmark, with further allowed hosts."""
    secret = folder / "secret"
    secret.write_text("benchmark")
    return {
        "version": 1,
        "environment": "benchmark",
        "networking": "limited",
        "hosts": [
            {"host": name, "port": 443, "field": "config.networking.allowed_hosts[0]", "private_range": RANGE}
            for name in (NAME, TLS_NAME, *more)
        ],
        "package_managers": False,
        "routes": [
            {
                "name": ROUTE,
                "origin": f"https://{STREAM}:{STREAM_PORT}",
                "header": "x-api-key",
                "secret": f"file:{secret}",
                "sessions": ["benchmark"],
                "private_range": RANGE,
            }
        ],
        "identities": [{"session": "benchmark", "sources": ["127.0.0.0/8"]}],
        "limits": {"tunnels_per_session": 20000, "tunnels": 20000},
    }


class Load:
    """The load generator's process."""

    def __init__(self, namespace: Namespace) -> None:
        self._process = subprocess.Popen(
            namespace.command([sys.executable, "-m", "benchmarks.egress.load"]),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, what: str, via: str | None, *, trust: Path | None = None, **figures: int) -> dict[str, Any]:
        """One command, through the proxy at `via` or directly; with `trust`, to the TLS server.

        Raises:
            RuntimeError: A connection failed.
        """
        assert self._process.stdin
        assert self._process.stdout
        proxy = [via, PROXY_PORT] if via else None
        command: dict[str, Any] = {"do": what, "via": proxy, **figures}
        if trust:
            command |= {"server": [TLS_SINK, 443], "authority": f"{TLS_NAME}:443", "trust": str(trust)}
        else:
            command |= {"server": [SINK, 443], "authority": f"{NAME}:443"}
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(f"{what} via {via or 'nothing'}: {answer['error']}")
        return answer

    def close(self) -> None:
        """End it."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(timeout=10)


class Stage:
    """Starts all processes; ends them on leaving the `with` block.

    Attributes:
        namespace: Where everything runs.
        gateway: The gateway.
        squid: Squid.
        folder: For policies and logs.
        ca_file: Certificate of the authority behind the TLS servers.
        trust: Trusts the stream server's certificate.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise

    def _start(self) -> None:
        keep = self._stack.enter_context
        self.folder = Path(keep(tempfile.TemporaryDirectory()))
        self.namespace = keep(Namespace.create())
        authority = trustme.CA()
        certificate = authority.issue_cert(STREAM, TLS_NAME)
        self.ca_file, server_file = self.folder / "ca.pem", self.folder / "server.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        certificate.private_key_and_cert_chain_pem.write_to_path(str(server_file))
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(server)
        self.trust = ssl.create_default_context(cafile=str(self.ca_file))
        records = {"*": Record(a=(SINK,)), TLS_NAME: Record(a=(TLS_SINK,)), STREAM: Record(a=(STREAM_ADDRESS,))}
        keep(DnsServer(self.namespace, records, address=RESOLVER, ttl=TTL))
        keep(Upstreams([self.namespace], server, tls_ports=[STREAM_PORT], plain_ports=[]))
        self._start_sink(SINK)
        self._start_sink(TLS_SINK, str(server_file))
        settings = {"EGRESS_NAMESERVERS": f"{RESOLVER}:53", "EGRESS_CA_FILE": str(self.ca_file)}
        self.gateway = Gateway(self.namespace, self.folder / "gateway", address=GATEWAY, environment=settings)
        self.gateway.write_policy(policy(self.folder))
        keep(self.gateway.start())
        self.squid = keep(
            Squid(
                self.namespace,
                self.folder,
                address=SQUID,
                hosts=[NAME, TLS_NAME],
                certificate=server_file,
                resolver=RESOLVER,
            )
        )

    def _start_sink(self, address: str, *certificate: str) -> None:
        with (self.folder / f"sink-{address}.log").open("wb") as output:
            sink = self.namespace.start(
                [sys.executable, "-m", "benchmarks.egress.sink", address, "443", *certificate],
                environment={"PATH": os.environ["PATH"]},
                output=output,
                cwd=ROOT,
            )
        self._stack.callback(sink.wait)
        self._stack.callback(sink.terminate)

        def accepts() -> bool:
            try:
                self.namespace.connect(address, 443).close()
            except OSError:
                return False
            return True

        wait_for("the sink accepts connections", accepts)

    def load(self) -> Load:
        """A load generator, ended with the stage."""
        made = Load(self.namespace)
        self._stack.callback(made.close)
        return made

    def client(self) -> Client:
        """A client of the gateway in this process."""
        return Client(self.namespace, CLIENT, (GATEWAY, PROXY_PORT))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def memory_bytes(pid: int) -> int:
    """Memory that a process holds alone (its proportional set size)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no Pss for {pid}")


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of all lie below, in the same unit."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def until(condition: Any, seconds: float = 10) -> float:
    """Seconds until `condition` holds."""
    started = time.monotonic()
    wait_for("the policy is in force", condition, seconds=seconds)
    return time.monotonic() - started
