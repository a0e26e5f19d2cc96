"""Keys in the bucket of state and tasks: apart for different environments, and plain in IAM documents."""

import re
from collections.abc import Callable

import pytest

from components.plans.saved import state_key, state_prefix, task_key, tasks_prefix


def test_a_plain_name_stays_readable() -> None:
    assert state_key("tickets", "mail-agent", "c-1") == "state/tickets/mail-agent/c-1/state.tar"
    assert task_key("tickets", "0a1b") == "tasks/tickets/0a1b.json"


@pytest.mark.parametrize("name", ["*", "a/b", "Data (EU)", "${aws:username}", "a?", "x" * 256, "Ünïcode"])
def test_a_prefix_holds_nothing_that_means_something_in_an_iam_document(name: str) -> None:
    assert re.fullmatch(r"state/[a-z0-9-]{1,63}/", state_prefix(name))
    assert re.fullmatch(r"tasks/[a-z0-9-]{1,63}/", tasks_prefix(name))


@pytest.mark.parametrize("prefix_of", [state_prefix, tasks_prefix])
def test_different_environments_share_no_prefix(prefix_of: Callable[[str], str]) -> None:
    names = ["a", "A", "a/b", "a b", "a-b", "a*"]
    prefixes = [prefix_of(name) for name in names]
    assert len(set(prefixes)) == len(names)
    assert not [1 for one in prefixes for other in prefixes if one != other and other.startswith(one)]
