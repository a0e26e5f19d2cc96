"""Keys in the bucket of state and tasks: apart for different environments, and plain in IAM documents."""

import re

import pytest

from components.plans.saved import state_key, state_prefix, task_key


def test_a_plain_name_stays_readable() -> None:
    assert state_key("tickets", "mail-agent", "c-1") == "state/tickets/mail-agent/c-1/state.tar"
    assert task_key("0a1b") == "tasks/0a1b.json"


@pytest.mark.parametrize("name", ["*", "a/b", "Data (EU)", "${aws:username}", "a?", "x" * 256, "Ünïcode"])
def test_a_prefix_holds_nothing_that_means_something_in_an_iam_document(name: str) -> None:
    assert re.fullmatch(r"state/[a-z0-9-]{1,63}/", state_prefix(name))


def test_different_environments_share_no_prefix() -> None:
    names = ["a", "A", "a/b", "a b", "a-b", "a*"]
    prefixes = [state_prefix(name) for name in names]
    assert len(set(prefixes)) == len(names)
    assert not [1 for one in prefixes for other in prefixes if one != other and other.startswith(one)]
