"""Measures the egress gateway against a direct connection and against Squid (peek and splice), and prints the ratios.

Usage: python -m benchmarks.egress    (about two minutes; exit 1 when a goal is missed)

The three take turns within each measure, so that a busy machine is busy for all of them; what is printed is the median
over the rounds. `generator` is how much of one processor the load generator itself took: well below 100 %, it waits for
what is measured.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.egress.stage import (
    GATEWAY,
    ROUTE,
    SQUID,
    STREAM,
    STREAM_ADDRESS,
    STREAM_PORT,
    Load,
    Stage,
    cpu_seconds,
    memory_bytes,
    percentile,
    policy,
    until,
)

ROUNDS = 5
SETUPS = {1: 150, 50: 800, 200: 1000}
TRANSFERS = {1: 400_000_000, 20: 400_000_000}
IDLE = 5000
WAYS = {"direct": None, "squid": SQUID, "gateway": GATEWAY}


@dataclass(frozen=True)
class Goal:
    """A figure that must not be above, or below, a bound."""

    name: str
    value: float
    bound: float
    unit: str = ""
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        """One line of the table at the end."""
        word = "at least" if self.at_least else "at most"
        verdict = "met" if self.met else "MISSED"
        return f"  {verdict:6}  {self.name}: {self.value:.2f}{self.unit} ({word} {self.bound:g}{self.unit})"


def in_turns(rounds: int, measure: Callable[[str | None], list[float]]) -> dict[str, list[float]]:
    """Figures of each way: the median over the rounds."""
    found: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, via in WAYS.items():
            found[way].append(measure(via))
    return {way: [median(figures) for figures in zip(*rows, strict=True)] for way, rows in found.items()}


def setups(load: Load, trust: Path | None) -> list[Goal]:
    """Time from the first packet of a connection to the end of the TLS handshake.

    Without `trust`, to the first byte that a server without TLS answers to the ClientHello: what the proxies themselves
    take of it. The goals are for whole connections, so this has none.
    """
    goals = []
    what = "TLS connection" if trust else "tunnel alone"
    for concurrency, count in SETUPS.items():

        def measure(via: str | None, concurrency: int = concurrency, count: int = count) -> list[float]:
            answer = load.do("setups", via, trust=trust, concurrency=concurrency, count=count)
            latencies = answer["latencies"]
            p50, p99 = percentile(latencies, 0.5) * 1000, percentile(latencies, 0.99) * 1000
            return [p50, p99, count / answer["seconds"], 100 * answer["cpu"] / answer["seconds"]]

        figures = in_turns(ROUNDS, measure)
        print(f"set-up of a {what}, {concurrency} at a time: p50, p99 in milliseconds; per second; generator")
        for way, (p50, p99, rate, cpu) in figures.items():
            print(f"  {way:8} {p50:8.2f} {p99:8.2f} {rate:8.0f} {cpu:5.0f} %")
        if not trust:
            continue
        for index, (label, bound) in enumerate((("p50", 1.0), ("p99", 1.5))):
            ratio = figures["gateway"][index] / figures["squid"][index]
            goals.append(Goal(f"set-up {label}, {concurrency} at a time, gateway / squid", ratio, bound))
    return goals


def throughput(load: Load) -> list[Goal]:
    """Bytes per second from the server to the client."""
    goals = []
    for tunnels, size in TRANSFERS.items():

        def measure(via: str | None, tunnels: int = tunnels, size: int = size) -> list[float]:
            answer = load.do("transfer", via, tunnels=tunnels, bytes=size)
            return [answer["bytes_per_second"] / 1e6, 100 * answer["cpu"] / answer["seconds"]]

        figures = in_turns(ROUNDS, measure)
        print(f"throughput of {tunnels} tunnel{'s' * (tunnels > 1)}: MB/s; generator")
        for way, (rate, cpu) in figures.items():
            print(f"  {way:8} {rate:8.0f} {cpu:5.0f} %")
        ratio = figures["gateway"][0] / figures["squid"][0]
        goals.append(Goal(f"throughput of {tunnels}, gateway / squid", ratio, 0.9, at_least=True))
    return goals


def processor(stage: Stage, load: Load) -> None:
    """Processor time of the proxies for 1,000 set-ups."""
    print("processor time for 1,000 set-ups, 50 at a time: seconds")
    spent = {}
    for way, pid in (("squid", stage.squid.pid), ("gateway", stage.gateway.pid)):
        before = cpu_seconds(pid)
        load.do("setups", WAYS[way], concurrency=50, count=2000)
        spent[way] = (cpu_seconds(pid) - before) / 2
        print(f"  {way:8} {spent[way]:8.2f}")
    print(f"  ratio    {spent['gateway'] / spent['squid']:8.2f}")


def idle(stage: Stage, load: Load) -> list[Goal]:
    """Memory of idle tunnels, and whether new ones open beside them."""
    kib = {}
    for way, pid in (("squid", stage.squid.pid), ("gateway", stage.gateway.pid)):
        before = memory_bytes(pid)
        held = load.do("hold", WAYS[way], count=IDLE)["held"]
        kib[way] = (memory_bytes(pid) - before) / held / 1024
        beside = load.do("setups", WAYS[way], concurrency=1, count=200)["latencies"]
        still = load.do("release", WAYS[way])["open"]
        print(f"{IDLE:,} idle tunnels, {way}: {kib[way]:.1f} KiB each; set-up beside them p50 ", end="")
        print(f"{percentile(beside, 0.5) * 1000:.2f} ms; still open at the end: {still:,}")
    return [
        Goal("memory of an idle tunnel", kib["gateway"], 64, " KiB"),
        Goal("idle tunnels held while new ones open", still, IDLE, at_least=True),
    ]


def streamed(stage: Stage) -> None:
    """First byte of a streamed answer on connections that are open: directly with TLS, and on the route without."""
    request = "GET {}/stream?count=1&gap=0 HTTP/1.1\r\nHost: {}\r\n\r\n"
    direct = stage.namespace.connect(STREAM_ADDRESS, STREAM_PORT)
    with stage.trust.wrap_socket(direct, server_hostname=STREAM) as tls, stage.client().dial() as route:
        times: dict[str, list[float]] = {"direct": [], "gateway": []}
        for _ in range(200):
            for way, connection, prefix, host in (
                ("direct", tls, "", STREAM),
                ("gateway", route, f"/{ROUTE}", GATEWAY),
            ):
                started = time.perf_counter()
                connection.sendall(request.format(prefix, host).encode())
                answer = b""
                while b"data: 0" not in answer:
                    answer += connection.recv(65536)
                times[way].append((time.perf_counter() - started) * 1000)
                while not answer.endswith(b"0\r\n\r\n"):
                    answer += connection.recv(65536)
    print("first byte of a streamed answer, on open connections: p50, p99 in milliseconds")
    for way, figures in times.items():
        print(f"  {way:8} {percentile(figures, 0.5):8.2f} {percentile(figures, 0.99):8.2f}")
    print(f"  the gateway adds {percentile(times['gateway'], 0.5) - percentile(times['direct'], 0.5):.2f} ms (p50)")


def policy_change(stage: Stage) -> list[Goal]:
    """Seconds from a policy file in place until it is in force: a host more, and a host less."""
    client, opened, closed = stage.client(), [], []
    for number in range(5):
        name = f"new-{number}.test"
        stage.gateway.write_policy(policy(stage.folder, name))
        opened.append(until(lambda name=name: client.connect(f"{name}:443").status == 200))
        stage.gateway.write_policy(policy(stage.folder))
        closed.append(until(lambda name=name: client.connect(f"{name}:443").status == 403))
    print(
        f"policy in force: {max(opened):.2f} s for a host more, {max(closed):.2f} s for a host less (longest of five)"
    )
    return [Goal("policy change in force", max(opened + closed), 2, " s")]


def main() -> int:
    """Measure and print; the exit code."""
    with Stage() as stage:
        load = stage.load()
        goals = [*setups(load, stage.ca_file), *setups(load, None), *throughput(load)]
        processor(stage, load)
        streamed(stage)
        goals += [*policy_change(stage), *idle(stage, load)]
    print("goals:")
    for goal in goals:
        print(goal)
    return 0 if all(goal.met for goal in goals) else 1


if __name__ == "__main__":
    sys.exit(main())
