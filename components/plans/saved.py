"""What runs on Fargate leave in a stack's bucket, and where: saved state, and task documents that are too long."""

from components.plans.names import physical_name

STATE, TASKS = "state/", "tasks/"
"""What keys begin with."""
STATE_VERSIONS = 5
"""Old versions of a conversation's state that stay for longer than a day: it is saved at the end of each turn."""
TASK_DAYS = 1
"""Days after which a task document goes: a run reads it at its start."""


def state_prefix(environment: str) -> str:
    """What the keys of all state of an environment begin with; different environments have different ones.

    It holds no character that means something in an IAM document, whatever the environment is called.
    """
    return f"{STATE}{_plain(environment)}/"


def tasks_prefix(environment: str) -> str:
    """What the keys of all task documents of an environment begin with, with the same guarantees."""
    return f"{TASKS}{_plain(environment)}/"


def state_key(environment: str, session: str, conversation: str) -> str:
    """Key of the state of one conversation."""
    return f"{state_prefix(environment)}{session}/{conversation}/state.tar"


def task_key(environment: str, name: str) -> str:
    """Key of one task document; `name` is one that nobody guesses, and that no tag of a run tells."""
    return f"{tasks_prefix(environment)}{name}.json"


def _plain(environment: str) -> str:
    return physical_name("cloud-map-service", environment, suffix_room=0)
