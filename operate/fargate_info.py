"""What ECS says of a task, in the words of runs."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from components.models.tags import RunTag, Tag
from components.plans.image import PREPARED
from components.plans.task import CONTAINER
from operate import results
from operate.fargate_tasks import PROBES
from operate.runs import RunInfo, Status

_STATUS: Mapping[str, Status] = {
    "PROVISIONING": "starting",
    "PENDING": "starting",
    "ACTIVATING": "starting",
    "RUNNING": "running",
    "DEACTIVATING": "stopping",
    "STOPPING": "stopping",
    "DEPROVISIONING": "stopping",
    "STOPPED": "ended",
    "DELETED": "ended",
}
_ORDINARY = "Essential container in task exited"
"""What ECS says of every task whose container has ended by itself."""
_SERVICE = "service:"
"""What the group of a service's task begins with."""
NEVER = datetime.min.replace(tzinfo=UTC)


def tags_of(task: Mapping[str, Any]) -> Mapping[str, str]:
    """Tags of a task."""
    return {pair["key"]: pair.get("value", "") for pair in task.get("tags", ())}


def container_of(task: Mapping[str, Any]) -> Mapping[str, Any]:
    """What ECS says of the session's container of a task."""
    return next((one for one in task.get("containers", ()) if one.get("name") == CONTAINER), {})


def is_service(task: Mapping[str, Any]) -> bool:
    """Whether a service keeps it up."""
    return str(task.get("group", "")).startswith(_SERVICE)


def is_run(task: Mapping[str, Any]) -> bool:
    """Whether a task is a run of a session: neither a gateway nor a service's, and it does not only probe its fence."""
    return Tag.SESSION in tags_of(task) and not is_service(task) and task.get("startedBy") != PROBES


def created(task: Mapping[str, Any]) -> tuple[datetime, str]:
    """When ECS took it, and its ARN: what orders tasks."""
    return task.get("createdAt", NEVER), str(task["taskArn"])


def task_id(task: Mapping[str, Any]) -> str:
    """Last part of its ARN."""
    return str(task["taskArn"]).rpartition("/")[2]


def info_of(task: Mapping[str, Any]) -> RunInfo:
    """The run that a task is; the environment by its tag."""
    tags, container = tags_of(task), container_of(task)
    status = _status(task)
    over = status == "ended"
    # A container that never ran has none.
    code = container.get("exitCode") if over else None
    outcome = (results.outcome(code, own_command=_runs_command(task)) or "crash") if over else None
    return RunInfo(
        id=task_id(task),
        session=tags.get(Tag.SESSION, ""),
        environment=tags.get(Tag.ENVIRONMENT, ""),
        status=status,
        started=_utc(task.get("startedAt")),
        ended=_utc(task.get("executionStoppedAt") or task.get("stoppedAt")) if over else None,
        exit_code=code,
        outcome=outcome,
        image=str(container.get("imageDigest") or tags.get(RunTag.IMAGE, "")),
        policy_hash=tags.get(RunTag.POLICY, ""),
        conversation=tags.get(RunTag.CONVERSATION),
        reason=reason_of(task),
        kind="run",
    )


def reason_of(task: Mapping[str, Any]) -> str | None:
    """AWS's own words for the end of a task, where they say more than its exit code: the container's, then the task's.

    Examples are `OutOfMemoryError: ...`, `CannotPullContainerError: ...` and `Your Spot Task was interrupted.`
    """
    said = (container_of(task).get("reason"), task.get("stoppedReason"))
    return "; ".join(dict.fromkeys(one for one in said if one and one != _ORDINARY)) or None


def _status(task: Mapping[str, Any]) -> Status:
    status = _STATUS.get(task["lastStatus"], "starting")
    asked_to_end = task.get("desiredStatus") == "STOPPED"
    return "stopping" if asked_to_end and status != "ended" else status


def _runs_command(task: Mapping[str, Any]) -> bool:
    told = (task.get("overrides") or {}).get("containerOverrides", ())
    command = next((one.get("command", ()) for one in told if one.get("name") == CONTAINER), ())
    return tuple(command[: len(PREPARED)]) == PREPARED


def _utc(time: datetime | None) -> datetime | None:
    return time.astimezone(UTC) if time else None
