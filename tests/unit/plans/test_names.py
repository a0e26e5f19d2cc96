"""Physical names keep to each service's limits and never collide."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.plans.names import PULUMI_SUFFIX, physical_name

# Limit and pattern of each service, from its API reference.
SERVICES = {
    "iam-role": (64, r"[\w+=,.@-]+"),
    "iam-policy": (128, r"[\w+=,.@-]+"),
    "ecs-cluster": (255, r"[A-Za-z0-9_-]+"),
    "ecs-family": (255, r"[A-Za-z0-9_-]+"),
    "ecs-service": (255, r"[A-Za-z0-9_-]+"),
    "log-group": (512, r"[./\-_#A-Za-z0-9]+"),
    "ecr-repository": (256, r"(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*"),
    "security-group": (255, r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]+"),
    "cloud-map-service": (63, r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"),
    "schedule": (64, r"[0-9a-zA-Z-_.]+"),
    "kms-alias": (250, r"[a-zA-Z0-9/_-]+"),
    "s3-bucket": (63, r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"),
    "dns-firewall": (64, r"(?!^[0-9]+$)([a-zA-Z0-9\-_' ']+)"),
}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("iam-role", "agentenv.demo.data-analysis"),
        ("ecs-family", "agentenv_demo_data-analysis"),
        ("ecr-repository", "agentenv/demo/data-analysis"),
        ("log-group", "/agentenv/demo/data-analysis"),
        ("kms-alias", "agentenv/demo/data-analysis"),
    ],
)
def test_ordinary_names_stay_readable(kind: str, expected: str) -> None:
    assert physical_name(kind, "agentenv", "demo", "data-analysis") == expected


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("agentenv", "demo", "Data Analysis"), r"agentenv\.demo\.data-analysis-[0-9a-f]{8}"),
        (("agentenv", "demo", "x" * 100), r"agentenv\.demo\.x{33}-[0-9a-f]{8}"),
        (("agentenv", "日本"), r"agentenv-[0-9a-f]{8}"),
        (("日本",), r"[0-9a-f]{8}"),
    ],
)
def test_what_is_lost_is_made_up_for_by_a_hash(parts: tuple[str, ...], expected: str) -> None:
    assert re.fullmatch(expected, physical_name("iam-role", *parts))


def test_names_are_the_same_on_every_run() -> None:
    assert physical_name("iam-role", "agentenv", "Demo") == "agentenv.demo-1291a628"


def test_room_is_left_for_the_suffix_unless_there_is_none() -> None:
    assert len(physical_name("iam-role", "x" * 200)) == 64 - PULUMI_SUFFIX
    assert len(physical_name("iam-role", "x" * 200, suffix_room=0)) == 64
    assert physical_name("iam-role", "x" * 64, suffix_room=0) == "x" * 64


@pytest.mark.parametrize(
    ("kind", "parts", "room", "rule"),
    [
        ("lambda", ("x",), 0, "no naming rule for 'lambda'"),
        ("iam-role", (), 0, "empty part"),
        ("iam-role", ("x", ""), 0, "empty part"),
        ("iam-role", ("x",), 60, "no room"),
    ],
)
def test_what_cannot_be_named_is_an_error(kind: str, parts: tuple[str, ...], room: int, rule: str) -> None:
    with pytest.raises(ValueError, match=rf"{rule}.*Fix: "):
        physical_name(kind, *parts, suffix_room=room)


def test_a_name_that_is_cut_at_a_separator_does_not_end_in_it() -> None:
    name = physical_name("ecr-repository", "a" * 238, "B" * 50)
    assert re.fullmatch(SERVICES["ecr-repository"][1], name)


PART = st.text(min_size=1, max_size=80) | st.text("abAB01-._/ ", min_size=1, max_size=20)
PARTS = st.lists(PART, min_size=1, max_size=4).map(tuple)


@given(kind=st.sampled_from(list(SERVICES)), parts=PARTS, room=st.sampled_from([0, PULUMI_SUFFIX]))
def test_within_the_limit_and_the_alphabet(kind: str, parts: tuple[str, ...], room: int) -> None:
    name = physical_name(kind, "agentenv", *parts, suffix_room=room)
    limit, pattern = SERVICES[kind]
    assert len(name) <= limit - room
    assert re.fullmatch(pattern, name, re.ASCII)


@given(kind=st.sampled_from(list(SERVICES)), one=PARTS, other=PARTS)
def test_different_parts_have_names_that_differ_in_more_than_case(
    kind: str, one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    same = physical_name(kind, *one).lower() == physical_name(kind, *other).lower()
    assert same == (one == other)


@pytest.mark.parametrize("kind", SERVICES)
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("p", "Data"), ("p", "data")),
        (("p", "a b"), ("p", "a-b")),
        (("p", "a_b"), ("p", "a-b")),
        (("p", "x-gateway", "role"), ("p", "x", "gateway", "role")),
        (("p", "x", "gateway-role"), ("p", "x-gateway", "role")),
        (("p/x",), ("p", "x")),
        (("p.x",), ("p", "x")),
    ],
)
def test_names_that_look_alike_are_told_apart(kind: str, one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert physical_name(kind, *one) != physical_name(kind, *other)


@pytest.mark.parametrize("kind", SERVICES)
def test_no_name_can_be_made_to_equal_one_that_ends_in_a_hash(kind: str) -> None:
    hashed = physical_name(kind, "Data").removeprefix("/")
    assert physical_name(kind, hashed).removeprefix("/") != hashed
