"""Kept conversations on Fargate: their addresses, one run at a time, and what becomes of a second one."""

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.exceptions import UnauthorizedSSOTokenError

from components.models.tags import RunTag
from components.plans.account import Account
from components.plans.network import walled_garden
from operate.failures import Failure
from operate.fargate_backend import FargateRuns
from operate.runs import Order
from tests.operate.deployed import REGION
from tests.operate.emulated_aws import BUCKET, CLUSTER, Aws, quiet


def test_a_kept_conversation_has_addresses_of_its_own_and_one_run_at_a_time(aws: Aws, runs: FargateRuns) -> None:
    first = runs.start(Order("mail", "do it"), quiet)
    conversation = str(first.conversation)
    key = f"state/api-client/mail/{conversation}/state.tar"
    assert aws.tags[RunTag.CONVERSATION] == conversation
    state = aws.task["state"]
    assert state["load"] is None
    save = urlsplit(state["save"])
    assert save.path == f"/{key}"
    # What the firewall of names lets a limited session resolve.
    account = Account("123456789012", REGION)
    assert save.hostname in walled_garden(account, "t.internal", BUCKET)
    aws.s3.put_object(Bucket=BUCKET, Key=key, Body=b"one")
    (kept,) = runs.conversations()
    assert (kept.id, kept.session, kept.environment, kept.run) == (conversation, "mail", "api-client", first.id)
    with pytest.raises(Failure, match=f"Run {first.id} goes on with conversation {conversation}"):
        runs.resume(first, Order("mail", "more"), quiet)
    with pytest.raises(Failure, match=f"Run {first.id} goes on"):
        runs.forget(conversation)
    aws.pause(0)
    ended = runs.find(conversation)
    assert (ended.id, ended.status) == (first.id, "ended")
    second = runs.resume(ended, Order("", "more"), quiet)
    assert (aws.task["resume"], aws.task["conversation"]) == (True, conversation)
    assert urlsplit(aws.task["state"]["load"]).path.endswith(key)
    assert parse_qs(urlsplit(aws.task["state"]["save"]).query)["X-Amz-Expires"] == ["604800"]
    assert second.conversation == conversation


def test_a_conversation_is_forgotten_with_all_its_versions(aws: Aws, runs: FargateRuns) -> None:
    key, other = (f"state/api-client/mail/{name}/state.tar" for name in ("c1", "c12"))
    for body in (b"one", b"two"):
        aws.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        aws.s3.put_object(Bucket=BUCKET, Key=other, Body=body)
    found = runs.find("c1")
    assert (found.session, found.conversation, found.status) == ("mail", "c1", "ended")
    runs.forget("c1")
    assert [one.id for one in runs.conversations()] == ["c12"]
    versions = aws.s3.list_object_versions(Bucket=BUCKET)
    assert {one["Key"] for one in versions["Versions"]} == {other}
    assert "DeleteMarkers" not in versions
    for unknown, said in (("c1", "There is no conversation"), ("../c12", "no id of a conversation")):
        with pytest.raises(Failure, match=said):
            runs.forget(unknown)


def test_of_two_runs_that_were_started_at_once_one_goes_on(
    aws: Aws, runs: FargateRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "state/api-client/mail/c1/state.tar"
    aws.s3.put_object(Bucket=BUCKET, Key=key, Body=b"one")
    order = Order("mail", "on", conversation="c1", resume=True)
    first = runs.start(order, quiet)
    # ECS lists a task some moments after it has taken it: here only after the second was asked for.
    listed = aws.ecs.get_paginator
    monkeypatch.setattr(aws.ecs, "get_paginator", lambda name: listed(name) if len(aws.asked) > 1 else _Nothing())
    with pytest.raises(Failure, match=f"Run {first.id} goes on"):
        runs.start(order, quiet)
    assert [arn.rpartition("/")[2] for arn in aws.running()] == [first.id]


def test_a_second_run_that_ecs_lists_first_waits_until_the_other_is_listed_too(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.s3.put_object(Bucket=BUCKET, Key="state/api-client/mail/c1/state.tar", Body=b"one")
    order = Order("mail", "on", conversation="c1", resume=True)
    listed, looks = aws.ecs.get_paginator, 0

    def late(name: str) -> Any:
        nonlocal looks
        looks += name == "list_tasks"
        return listed(name) if looks > 8 else _Nothing()

    monkeypatch.setattr(aws.ecs, "get_paginator", late)
    pauses: list[float] = []
    runs = FargateRuns(aws.deployed(), replace(aws.clients(), pause=pauses.append, clock=lambda: sum(pauses)))
    first = aws.ecs.run_task(**_asked(aws, order))["tasks"][0]["taskArn"].rpartition("/")[2]
    with pytest.raises(Failure, match=f"Run {first} goes on"):
        runs.start(order, quiet)
    assert [arn.rpartition("/")[2] for arn in aws.running()] == [first]
    assert pauses
    looks = -(10**6)
    aws.ecs.stop_task(cluster=CLUSTER, task=first)
    alone = runs.start(order, quiet)
    assert [arn.rpartition("/")[2] for arn in aws.running()] == [alone.id], "what is never listed is not waited for"
    assert 60 <= sum(pauses) < 90


def _asked(aws: Aws, order: Order) -> dict[str, Any]:
    """What `RunTask` is told of an order by somebody else."""
    asked: dict[str, Any] = {}
    real = aws.ecs.run_task

    def full(**told: Any) -> Any:
        asked.update(told)
        return {"tasks": [], "failures": []}

    aws.ecs.run_task = full
    with pytest.raises(Failure, match="started no task"):
        FargateRuns(aws.deployed(), aws.clients()).start(order, quiet)
    aws.ecs.run_task = real
    return asked | {"clientToken": "other"}


def test_no_task_stays_of_a_start_that_is_interrupted_while_it_looks_for_others(aws: Aws) -> None:
    aws.s3.put_object(Bucket=BUCKET, Key="state/api-client/mail/c1/state.tar", Body=b"one")
    runs = FargateRuns(aws.deployed(), aws.clients())

    def interrupted(**_: Any) -> Any:
        if aws.asked:
            raise KeyboardInterrupt
        return {"tasks": []}

    aws.ecs.describe_tasks = interrupted
    with pytest.raises(KeyboardInterrupt):
        runs.start(Order("mail", "on", conversation="c1", resume=True), quiet)
    assert (len(aws.asked), aws.running()) == (1, [])


def test_credentials_that_cannot_be_had_are_told(aws: Aws) -> None:
    def expired() -> bool:
        raise UnauthorizedSSOTokenError

    runs = FargateRuns(aws.deployed(), replace(aws.clients(), temporary=expired))
    with pytest.raises(Failure, match=r"AWS cannot be asked: .*SSO"):
        runs.start(Order("mail", "x"), quiet)
    assert aws.asked == []


class _Nothing:
    """A list with nothing on it."""

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        return [{"taskArns": []}]


def test_whoever_signs_with_temporary_credentials_is_told(aws: Aws, runs: FargateRuns, notes: list[str]) -> None:
    runs.start(Order("mail", "x"), quiet)
    assert notes == []
    aws.temporary = True
    runs.start(Order("desk", "x"), quiet)
    assert notes == []
    runs.start(Order("mail", "x"), quiet)
    assert "temporary" in notes[0]


def test_what_was_never_kept_is_not_gone_on_with(aws: Aws, runs: FargateRuns) -> None:
    with pytest.raises(Failure, match="has kept no conversation"):
        runs.start(Order("mail", "x", conversation="c9", resume=True), quiet)
    run = runs.start(Order("desk", "x"), quiet)
    with pytest.raises(Failure, match="hybrid"):
        runs.resume(run, Order("desk", "x"), quiet)
    with pytest.raises(Failure, match="no bucket"):
        FargateRuns(aws.deployed(state_bucket=""), aws.clients()).start(Order("mail", "x"), quiet)
