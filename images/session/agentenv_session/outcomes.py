"""How a run ends, in a word and in an exit code."""

from collections.abc import Iterable
from enum import StrEnum


class Outcome(StrEnum):
    """How the work of an agent, or of a whole run, ended."""

    SUCCESS = "success"
    AGENT_ERROR = "agent_error"
    """The agent or the model's API failed."""
    LIMIT_REACHED = "limit_reached"
    """`max_turns` or `max_budget_usd`."""
    REFUSED_BY_POLICY = "refused_by_policy"
    """The gateway let no request to the model through."""
    SAVE_FAILED = "save_failed"
    """The work was done, and its state could not be kept."""
    CRASH = "crash"
    """The runner or the `claude` program failed."""
    INVALID_TASK = "invalid_task"
    """What was to be done cannot be read, or not be done."""
    STOPPED = "stopped"
    """Asked to end before the work was done."""

    @property
    def exit_code(self) -> int:
        """Exit code of the runner."""
        return _CODES[self]


_CODES = {
    Outcome.SUCCESS: 0,
    Outcome.AGENT_ERROR: 10,
    Outcome.LIMIT_REACHED: 11,
    Outcome.REFUSED_BY_POLICY: 12,
    Outcome.SAVE_FAILED: 13,
    Outcome.CRASH: 70,
    Outcome.INVALID_TASK: 78,
    Outcome.STOPPED: 143,
}
_WORST_FIRST = (
    Outcome.CRASH,
    Outcome.INVALID_TASK,
    Outcome.SAVE_FAILED,
    Outcome.REFUSED_BY_POLICY,
    Outcome.AGENT_ERROR,
    Outcome.LIMIT_REACHED,
    Outcome.STOPPED,
    Outcome.SUCCESS,
)


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome of several together; success of none."""
    return min(outcomes, key=_WORST_FIRST.index, default=Outcome.SUCCESS)
