"""Every agent of a session has `max_turns`: sessions do not time out, so nothing else ends their spending."""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.reading import get, shown
from policies.sessions import TYPES, entries
from policies.verdict import Findings, nist, resource_rule


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """Report each agent without a positive limit; a session that runs a command of its own has no agent to limit."""
    for entry in entries(args, findings):
        with findings.deferring():
            for at, agent in entry.agents:
                with findings.deferring():
                    turns = get(agent, "max_turns")
                    if isinstance(turns, bool) or not isinstance(turns, int | float) or turns < 1:
                        findings.violation(f"{at}.max_turns", f"is {'missing' if turns is None else shown(turns)}")


RULE = resource_rule(
    "session-max-turns",
    "Every agent of a session has max_turns.",
    types=TYPES,
    check=check,
    severity=Severity.HIGH,
    controls=(nist("SC-5", "Denial-of-service Protection"),),
    fix="set max_turns on the agent, e.g. max_turns: 30",
)
