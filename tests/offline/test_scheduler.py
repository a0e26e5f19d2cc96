"""The stand-in's schedules against a moto server."""

from typing import Any

import pytest

from offline.aws.resource import Aws
from tests.offline.aws_driver import CallError, Driver
from tests.offline.outputs import assert_complete

SCHEDULE = "aws:scheduler/schedule:Schedule"
GROUP = "aws:scheduler/scheduleGroup:ScheduleGroup"

CLUSTER = "arn:aws:ecs:eu-west-1:123456789012:cluster/agents"
DEFINITION = "arn:aws:ecs:eu-west-1:123456789012:task-definition/one:1"
TASK: dict[str, Any] = {
    "taskDefinitionArn": DEFINITION,
    "taskCount": 1,
    "platformVersion": "1.4.0",
    "enableExecuteCommand": False,
    "enableEcsManagedTags": True,
    "propagateTags": "TASK_DEFINITION",
    "capacityProviderStrategies": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}],
    "networkConfiguration": {
        "subnets": ["subnet-b", "subnet-a"],
        "securityGroups": ["sg-1"],
        "assignPublicIp": False,
    },
    "tags": {"session": "nightly"},
}
TARGET = {
    "arn": CLUSTER,
    "roleArn": "arn:aws:iam::123456789012:role/scheduler",
    "input": "{}",
    "ecsParameters": TASK,
    "retryPolicy": {"maximumRetryAttempts": 3, "maximumEventAgeInSeconds": 3600},
}
INPUTS: dict[str, Any] = {
    "name": "nightly",
    "description": "Starts session nightly",
    "scheduleExpression": "cron(0 2 * * ? *)",
    "scheduleExpressionTimezone": "Europe/Berlin",
    "flexibleTimeWindow": {"mode": "OFF"},
    "target": TARGET,
}


def test_schedule_lives_and_dies(driver: Driver, aws: Aws) -> None:
    changed = {
        "name": "nightly",
        "scheduleExpression": "rate(1 hours)",
        "startDate": "2030-01-01T00:00:00Z",
        "state": "DISABLED",
        "flexibleTimeWindow": {"mode": "FLEXIBLE", "maximumWindowInMinutes": 5},
        "target": {**TARGET, "ecsParameters": {**TASK, "taskCount": 2}},
    }
    deployed = driver.lifecycle(SCHEDULE, INPUTS, changed)
    assert deployed.id == "default/nightly"
    assert_complete(deployed)
    assert deployed.state["arn"] == f"arn:aws:scheduler:eu-west-1:{aws.account_id}:schedule/default/nightly"
    held = aws.client("scheduler").get_schedule(Name="nightly")
    assert (held["State"], held["ScheduleExpressionTimezone"]) == ("DISABLED", "UTC")
    assert held["Target"]["EcsParameters"] == {
        "TaskDefinitionArn": DEFINITION,
        "TaskCount": 2,
        "PlatformVersion": "1.4.0",
        "EnableExecuteCommand": False,
        "EnableECSManagedTags": True,
        "PropagateTags": "TASK_DEFINITION",
        "CapacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}],
        "NetworkConfiguration": {
            "awsvpcConfiguration": {
                "Subnets": ["subnet-b", "subnet-a"],
                "SecurityGroups": ["sg-1"],
                "AssignPublicIp": "DISABLED",
            }
        },
        "Tags": [{"key": "session", "value": "nightly"}],
    }
    driver.assert_deletes(deployed)


def test_schedule_drift_is_seen(driver: Driver, aws: Aws) -> None:
    deployed = driver.create(SCHEDULE, "drifting", {**INPUTS, "name": "drifting"})
    client = aws.client("scheduler")
    target = client.get_schedule(Name="drifting")["Target"]
    target["EcsParameters"]["NetworkConfiguration"]["awsvpcConfiguration"]["AssignPublicIp"] = "ENABLED"
    client.update_schedule(
        Name="drifting",
        ScheduleExpression="rate(1 minutes)",
        ScheduleExpressionTimezone="Europe/Berlin",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target=target,
        Description="by hand",
        State="DISABLED",
    )
    assert driver.drift(deployed) == ["description", "scheduleExpression", "state", "target"]
    driver.delete(deployed)


def test_group_lives_and_takes_its_schedules_along(driver: Driver, aws: Aws) -> None:
    group = driver.lifecycle(GROUP, {"name": "team", "tags": {"a": "1"}}, {"name": "team", "tags": {"b": "2"}})
    assert group.state["state"] == "ACTIVE"
    assert_complete(group)
    assert aws.client("scheduler").list_tags_for_resource(ResourceArn=group.state["arn"])["Tags"] == [
        {"Key": "b", "Value": "2"}
    ]
    schedule = driver.create(SCHEDULE, "in-group", {**INPUTS, "groupName": "team"})
    assert schedule.id == "team/nightly"
    assert driver.diff(schedule, INPUTS).replaces == ["groupName"]
    driver.assert_deletes(group)
    assert driver.refresh(schedule) is None
    driver.delete(schedule)


def test_schedule_in_a_missing_group_names_it(driver: Driver) -> None:
    with pytest.raises(CallError, match=r"aws:scheduler/schedule:Schedule 'lost'.*ResourceNotFoundException.*nowhere"):
        driver.create(SCHEDULE, "lost", {**INPUTS, "groupName": "nowhere"})


def test_parameters_without_effect_here_are_refused(driver: Driver) -> None:
    target = {**TARGET, "sagemakerPipelineParameters": {"pipelineParameters": [{"name": "a", "value": "b"}]}}
    with pytest.raises(CallError, match="sagemakerPipelineParameters: the stand-in"):
        driver.create(SCHEDULE, "sage", {**INPUTS, "target": target})
    _, failures = driver.check(SCHEDULE, "s", {**INPUTS, "namePrefix": "s-"})
    assert list(failures) == ["namePrefix"]
