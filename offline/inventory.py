"""After `make demo-aws`: start each session of the stack once, and show what the emulated AWS then holds.

The runs are started as `agentenv start` does it, by the stack's outputs; everything in the tables is read back with
boto3.
"""

import json
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import boto3
from rich.console import Console
from rich.table import Table

from components.models.tags import Role, Tag
from operate.fargate_backend import FargateRuns
from operate.outputs import FargateEnvironment, FargateSession, Outputs
from operate.runs import Order

SHORT_DIGEST = len("sha256:") + 12
PROMPT = "Say what you are for."


def main(stack: str) -> None:
    """Print the tables for `stack`."""
    console = Console(width=max(Console().width, 132))
    command = ["pulumi", "stack", "output", "--json", "--stack", stack]
    outputs = Outputs.parse(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    start(outputs)
    (cluster,) = {one.cluster for one in outputs.environments.values() if isinstance(one, FargateEnvironment)}
    for table in (environments(stack, cluster), tasks(cluster)):
        console.print(table)
    console.print(totals(stack))


def start(outputs: Outputs) -> None:
    """Run each session that does not stay up once, unless a run of it is already there."""
    runs = FargateRuns(outputs)
    there = {info.session for info in runs.list(None)}
    for name, session in outputs.sessions.items():
        if isinstance(session, FargateSession) and session.service is None and name not in there:
            runs.start(Order(name, None if session.own_command else PROMPT), lambda _: None)


def environments(stack: str, cluster: str) -> Table:
    """One row an environment: what fences it in and what it runs."""
    ec2 = boto3.client("ec2")
    table = Table(title="Environments", title_justify="left")
    for column in ("environment", "networking", "session may reach", "image", "gateway", "log group (days)"):
        table.add_column(column, overflow="fold")
    groups = ec2.describe_security_groups(Filters=[_of(stack)])["SecurityGroups"]
    names = {group["GroupId"]: group for group in groups}
    for group in groups:
        tags = _tags(group)
        if tags.get(Tag.ROLE) != Role.SESSION or Tag.ENVIRONMENT not in tags:
            continue
        environment = tags[Tag.ENVIRONMENT]
        table.add_row(
            environment,
            tags[Tag.NETWORKING],
            "\n".join(sorted(_reach(group["IpPermissionsEgress"], names))),
            "\n".join(_images(stack, environment, Role.SESSION)),
            "\n".join(_services(cluster, environment)),
            "\n".join(_log_groups(environment, stack)),
        )
    return table


def tasks(cluster: str) -> Table:
    """One row a run: session, size and state."""
    table = Table(title="Runs, one of each session (the emulator plays their states)", title_justify="left")
    for column in ("session", "environment", "task definition", "vCPU", "GiB", "state"):
        table.add_column(column, overflow="fold")
    for task in _tasks(cluster):
        tags = _tags(task)
        over = task["overrides"]
        table.add_row(
            tags.get(Tag.SESSION, "?"),
            tags.get(Tag.ENVIRONMENT, "?"),
            task["taskDefinitionArn"].rpartition("/")[2],
            f"{int(over.get('cpu', 0)) / 1024:g}",
            f"{int(over.get('memory', 0)) / 1024:g}",
            task["lastStatus"],
        )
    return table


def totals(stack: str) -> str:
    """One line: what else there is."""
    ec2, iam = boto3.client("ec2"), boto3.client("iam")
    endpoints = ec2.describe_vpc_endpoints(Filters=[_of(stack)])["VpcEndpoints"]
    vpcs = ec2.describe_vpcs(Filters=[_of(stack)])["Vpcs"]
    roles = [role for role in iam.list_roles()["Roles"] if role["RoleName"].startswith(f"agentenv.{stack}.")]
    schedules = boto3.client("scheduler").list_schedules()["Schedules"]
    return (
        f"{len(vpcs)} VPCs, {len(endpoints)} endpoints, {len(roles)} roles, "
        f"{len(schedules)} schedules. Read back from {boto3.client('ec2').meta.endpoint_url}."
    )


def _of(stack: str) -> dict[str, Any]:
    return {"Name": f"tag:{Tag.STACK}", "Values": [stack]}


def _tags(thing: dict[str, Any]) -> dict[str, str]:
    listed: Iterable[dict[str, str]] = thing.get("Tags") or thing.get("tags") or ()
    return {tag.get("Key") or tag["key"]: tag.get("Value") or tag.get("value", "") for tag in listed}


def _tasks(cluster: str) -> list[dict[str, Any]]:
    ecs = boto3.client("ecs")
    arns = ecs.list_tasks(cluster=cluster)["taskArns"]
    found = ecs.describe_tasks(cluster=cluster, tasks=arns, include=["TAGS"])["tasks"] if arns else []
    return [task for task in found if Tag.SESSION in _tags(task)]


def _reach(permissions: list[dict[str, Any]], groups: dict[str, dict[str, Any]]) -> Iterable[str]:
    for permission in permissions:
        port = permission.get("FromPort")
        suffix = "" if port in (None, -1) else f":{port}"
        for pair in permission.get("UserIdGroupPairs", []):
            role = _tags(groups.get(pair["GroupId"], {})).get(Tag.ROLE, pair["GroupId"])
            yield f"{role}{suffix}"
        for listed in permission.get("PrefixListIds", []):
            found = boto3.client("ec2").describe_managed_prefix_lists(PrefixListIds=[listed["PrefixListId"]])
            yield f"{found['PrefixLists'][0]['PrefixListName'].rpartition('.')[2]}{suffix}"
        for cidr in permission.get("IpRanges", []):
            yield f"{cidr['CidrIp']}{suffix}"


def _images(stack: str, environment: str, role: Role) -> Iterable[str]:
    ecs = boto3.client("ecs")
    for arn in ecs.list_task_definitions(status="ACTIVE")["taskDefinitionArns"]:
        answer = ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"])
        tags = _tags(answer)
        if (tags.get(Tag.STACK), tags.get(Tag.ENVIRONMENT), tags.get(Tag.ROLE)) == (stack, environment, role):
            repository, _, digest = answer["taskDefinition"]["containerDefinitions"][0]["image"].partition("@")
            yield f"{repository.rpartition('/')[2]}@{digest[:SHORT_DIGEST]}..."


def _services(cluster: str, environment: str) -> Iterable[str]:
    ecs = boto3.client("ecs")
    arns = ecs.list_services(cluster=cluster)["serviceArns"]
    if not arns:
        return
    answer = ecs.describe_services(cluster=cluster, services=arns, include=["TAGS"])
    for service in answer["services"]:
        tags = _tags(service)
        if tags.get(Tag.ENVIRONMENT) == environment and tags.get(Tag.ROLE) == Role.GATEWAY:
            yield f"{service['desiredCount']} task wanted ({service['status']})"


def _log_groups(environment: str, stack: str) -> Iterable[str]:
    logs = boto3.client("logs")
    for group in logs.describe_log_groups()["logGroups"]:
        tags = logs.list_tags_log_group(logGroupName=group["logGroupName"])["tags"]
        if tags.get(Tag.ENVIRONMENT) == environment and tags.get(Tag.STACK) == stack:
            yield f"{group['logGroupName']} ({group.get('retentionInDays', 'for ever')})"


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "demo-aws")
