"""What runs on Fargate leave in a stack's bucket, and where: saved state, and task documents that are too long."""

from components.plans.names import physical_name

STATE, TASKS = "state/", "tasks/"
"""What keys begin with."""
TASK_DAYS = 1
"""Days after which a task document goes: a run reads it at its start."""


def state_prefix(environment: str) -> str:
    """What the keys of all state of an environment begin with; different environments have different ones.

    It holds no character that means something in an IAM document, whatever the environment is called.
    """
    return f"{STATE}{physical_name('cloud-map-service', environment, suffix_room=0)}/"


def state_key(environment: str, session: str, conversation: str) -> str:
    """Key of the state of one conversation."""
    return f"{state_prefix(environment)}{session}/{conversation}/state.tar"


def task_key(token: str) -> str:
    """Key of the task document of the run with this token, which nobody guesses."""
    return f"{TASKS}{token}.json"
