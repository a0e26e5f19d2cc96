"""What was seen against what was expected: the judgement on each probe, and the record of a verification."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from components.plans.image import AGENT_UIDS
from components.plans.probes import Probe, Seen, Surroundings

PROGRAM = "/usr/local/lib/agentenv/verify_fence.py"
PROBE_SECONDS = 1.5
"""Time-out of one step on the network."""
VERSION = 1


@dataclass(frozen=True)
class Result:
    """A probe and what came of it.

    Attributes:
        id: The probe's.
        title: For people.
        tried: What was done, to what.
        expected: The outcomes that are as designed; the usual one first.
        seen: The outcome.
        detail: Its particulars.
        why: What the expectation rests on.
    """

    id: str
    title: str
    tried: str
    expected: tuple[str, ...]
    seen: str
    detail: str
    why: str

    @property
    def ok(self) -> bool:
        """Whether it was as expected."""
        return self.seen in self.expected

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "id": self.id,
            "title": self.title,
            "tried": self.tried,
            "expected": list(self.expected),
            "seen": self.seen,
            "detail": self.detail,
            "why": self.why,
            "ok": self.ok,
        }


@dataclass(frozen=True)
class Examined:
    """What a runtime says of an examination that it carried out.

    Attributes:
        where: Which container: the running one, a twin, a task.
        image: Reference of the image, by digest or id.
        engine: What carried it, with version.
        policy_in_force: Hash of the policy that the gateway says it enforces; None where it cannot be asked.
        lines: What the program in the container printed.
    """

    where: str
    image: str
    engine: str
    policy_in_force: str | None
    lines: tuple[str, ...]


Plan = Callable[[Surroundings], Sequence[Probe]]
"""Makes the probes of a session when it is known what is round it."""
Progress = Callable[[str], None]
"""Told what is being waited for."""
Examination = tuple[Sequence[Probe], Examined]
"""The probes that were tried, and what was seen."""


@dataclass(frozen=True)
class Evidence:
    """The record of one verification.

    Attributes:
        session: Name of the session.
        environment: Name of its environment.
        networking: `limited` or `unrestricted`.
        policy_hash: Hash of the policy that the stack deployed.
        time: When it began.
        examined: What the runtime says.
        results: In the order of the probes.
    """

    session: str
    environment: str
    networking: str
    policy_hash: str
    time: datetime
    examined: Examined
    results: tuple[Result, ...]

    @property
    def ok(self) -> bool:
        """Whether everything was as expected."""
        return all(result.ok for result in self.results)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "version": VERSION,
            "time": self.time.astimezone(UTC).isoformat(timespec="seconds"),
            "session": self.session,
            "environment": self.environment,
            "networking": self.networking,
            "policy_hash": self.policy_hash,
            "policy_in_force": self.examined.policy_in_force,
            "image": self.examined.image,
            "engine": self.examined.engine,
            "where": self.examined.where,
            "ok": self.ok,
            "probes": [result.to_json() for result in self.results],
        }


def command(probes: Sequence[Probe], gateway: str, *, supervised: bool = False) -> list[str]:
    """The command that runs `probes` in a session's container, in front of no shell.

    Args:
        probes: What to try.
        gateway: HOST:PORT as the session reaches it.
        supervised: Whether the container starts as root for several agents, none of which is: the probes are the first.
    """
    order: dict[str, Any] = {
        "gateway": gateway,
        "seconds": PROBE_SECONDS,
        "probes": [[probe.id, probe.kind, probe.target] for probe in probes],
    }
    if supervised:
        order["uid"] = AGENT_UIDS[0]
    # -I: neither the session's variables nor its folder decide what is imported.
    return ["/usr/bin/python3", "-I", PROGRAM, json.dumps(order, separators=(",", ":"))]


def judged(probes: Sequence[Probe], lines: Iterable[str]) -> tuple[Result, ...]:
    """What came of `probes`, by the lines that the program printed; one that it is silent about did not finish."""
    said = {line["id"]: line for line in _events(lines) if line.get("event") == "probe" and "id" in line}
    return tuple(_judged(probe, said.get(probe.id, {})) for probe in probes)


def finished(lines: Iterable[str]) -> bool:
    """Whether the program came to its end."""
    return any(line.get("event") == "probes_done" for line in _events(lines))


def policy_result(deployed: str, in_force: str) -> Result:
    """Whether the gateway enforces the policy that the stack deployed."""
    return Result(
        "policy",
        "policy in force",
        "gateway",
        (deployed[:12],),
        in_force[:12],
        "",
        "the gateway reads a changed policy within seconds",
    )


def _judged(probe: Probe, said: Mapping[str, Any]) -> Result:
    return Result(
        id=probe.id,
        title=probe.title,
        tried=f"{probe.kind} {probe.target}".strip(),
        expected=probe.expected,
        seen=str(said.get("seen", Seen.NOT_FINISHED)),
        detail=str(said.get("detail", "")),
        why=probe.why,
    )


def _events(lines: Iterable[str]) -> Iterable[dict[str, Any]]:
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event
