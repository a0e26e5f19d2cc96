"""A session's task has no role: what runs in it could use every right of the role."""

from pulumi_policy import ResourceValidationArgs, Severity

from policies.aws import TASK_DEFINITION
from policies.reading import get
from policies.roles import is_session
from policies.verdict import Findings, nist, resource_rule


def check(args: ResourceValidationArgs, findings: Findings) -> None:
    """The execution role is ECS's own and out of the task's reach; the task role is not."""
    if is_session(args) and get(args.props, "taskRoleArn"):
        findings.violation("taskRoleArn", "gives a session's task a role")


RULE = resource_rule(
    "session-no-task-role",
    "A session's task definition has no task role.",
    types=(TASK_DEFINITION,),
    check=check,
    severity=Severity.CRITICAL,
    controls=(nist("AC-6", "Least Privilege"),),
    fix="remove taskRoleArn; if this is the gateway's own task, tag it agentenv:role=gateway",
)
