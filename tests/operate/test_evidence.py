"""The judgement on what the probes saw."""

import json
from datetime import UTC, datetime
from typing import Any

from components.plans.probes import Kind, Probe, Seen
from operate.evidence import Evidence, Examined, command, finished, judged, policy_result

PROBES = (
    Probe("a", "first", Kind.TCP, "203.0.113.10:443", (Seen.BLOCKED,), "a wall"),
    Probe("b", "second", Kind.USER, "", (Seen.NOT_ROOT,), "the image"),
)


def line(**fields: Any) -> str:
    return json.dumps({"event": "probe", **fields})


def test_each_probe_is_judged_by_its_own_line() -> None:
    lines = [
        "starting",
        "7",
        line(id="b", seen="root", detail="uid 0"),
        line(id="a", seen="blocked"),
        line(id="x", seen="blocked"),
    ]
    first, second = judged(PROBES, lines)
    assert (first.ok, first.seen, first.tried) == (True, "blocked", "tcp 203.0.113.10:443")
    assert (second.ok, second.seen, second.detail) == (False, "root", "uid 0")


def test_silence_is_no_success() -> None:
    assert [(r.ok, r.seen) for r in judged(PROBES, [])] == [(False, "not finished")] * 2
    assert not finished([line(id="a", seen="blocked")])
    assert finished(['{"event": "probes_done", "count": 2}'])


def test_the_command_runs_no_shell_and_imports_nothing_of_the_sessions() -> None:
    *program, order = command(PROBES, "10.200.0.2:3128")
    assert program == ["/usr/bin/python3", "-I", "/usr/local/lib/agentenv/verify_fence.py"]
    assert json.loads(order) == {
        "gateway": "10.200.0.2:3128",
        "seconds": 1.5,
        "probes": [["a", "tcp", "203.0.113.10:443"], ["b", "user", ""]],
    }


def test_another_policy_than_the_deployed_one_is_a_difference() -> None:
    assert policy_result("a" * 64, "a" * 64).ok
    assert not policy_result("a" * 64, "b" * 64).ok
    assert not policy_result("a" * 64, "no-policy").ok


def test_the_evidence_says_what_was_probed_when() -> None:
    examined = Examined("twin x", "sha256:1", "docker 28 (runc)", "abc", ())
    at = datetime(2027, 1, 31, 3, 0, 0, tzinfo=UTC)
    results = judged(PROBES, [line(id="a", seen="blocked"), line(id="b", seen="not root")])
    evidence = Evidence("desk", "api-client", "limited", "abc", at, examined, results)
    told = evidence.to_json()
    assert told["ok"] is True
    assert (told["time"], told["image"], told["engine"]) == (
        "2027-01-31T03:00:00+00:00",
        "sha256:1",
        "docker 28 (runc)",
    )
    assert [probe["ok"] for probe in told["probes"]] == [True, True]
    assert json.dumps(told)
