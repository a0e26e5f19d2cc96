"""The Dockerfile: parses, carries each package unchanged as one argument, and is named by its content."""

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from agentenv_session.stores import SLOTS
from dockerfile_parse import DockerfileParser
from hypothesis import given
from hypothesis import strategies as st

from components.models.environment import PACKAGE_MANAGERS, Packages
from components.plans.image import (
    INSTALL,
    LIBRARY,
    SERVICE_UIDS,
    STATE_FILES,
    ImagePlan,
    fence_image,
    gateway_image,
    session_image,
)
from tests.unit.certificates import authority

IMAGES = Path(__file__).resolve().parents[3] / "images"
REGISTRIES = f"{LIBRARY}/registries.json"
BASE = f"debian:trixie-slim@sha256:{'a' * 64}"
ALL: dict[str, Any] = {
    "apt": ["jq"],
    "cargo": ["a@1.0.0"],
    "gem": ["rake"],
    "go": ["example.com/x@v1"],
    "npm": ["x"],
    "pip": ["six"],
}
KNOWN = {"FROM", "RUN", "COPY", "ENV", "USER", "WORKDIR", "VOLUME", "CMD"}


CA, OTHER_CA = authority("one"), authority("two")


def plan(
    base: str = BASE,
    platform: str = "linux/amd64",
    context_hash: str = "c",
    authorities: Sequence[str] = (),
    **packages: Any,
) -> ImagePlan:
    return session_image(
        Packages.model_validate(packages),
        base=base,
        platform=platform,
        context_hash=context_hash,
        authorities=authorities,
    )


def gateway(
    base: str = BASE,
    platform: str = "linux/amd64",
    context_hash: str = "c",
    session: str = "s",
    authorities: Sequence[str] = (),
    **packages: Any,
) -> ImagePlan:
    """The gateway of an environment with these packages; `pip=[]` for none, nothing for no package managers."""
    asked = Packages.model_validate(packages) if packages else None
    return gateway_image(
        base=base,
        platform=platform,
        context_hash=context_hash,
        packages=asked,
        session_context_hash=session,
        authorities=authorities,
    )


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    parser = DockerfileParser(fileobj=io.BytesIO(dockerfile.encode()))
    return [(one["instruction"], one["value"]) for one in parser.structure]


def runs(dockerfile: str) -> list[list[str]]:
    """Arguments of each RUN that no shell reads."""
    return [json.loads(value) for name, value in instructions(dockerfile) if name == "RUN" and value.startswith("[")]


def installs(dockerfile: str) -> dict[str, list[str]]:
    """Packages by manager, in the order of the layers."""
    return {run[2]: run[4:] for run in runs(dockerfile) if tuple(run[:2]) == INSTALL and run[3] == "--"}


def runtimes(dockerfile: str) -> list[str]:
    return [run[3] for run in runs(dockerfile) if tuple(run[:3]) == (*INSTALL, "runtime")]


def test_one_layer_a_manager_in_alphabetical_order() -> None:
    assert list(installs(plan(**ALL).dockerfile)) == list(PACKAGE_MANAGERS)
    assert list(installs(plan(npm=["x"], apt=["jq"]).dockerfile)) == ["apt", "npm"]
    assert installs(plan().dockerfile) == {}


@pytest.mark.parametrize("manager", ["cargo", "gem", "go", "npm", "pip"])
def test_a_runtime_is_there_only_when_its_manager_is_asked_for(manager: str) -> None:
    assert runtimes(plan().dockerfile) == ["agent"]
    assert runtimes(plan(**{manager: ALL[manager]}).dockerfile) == ["agent", manager]


def test_the_agent_sdk_is_installed_before_any_package_and_its_versions_are_pinned() -> None:
    found = instructions(plan(**ALL).dockerfile)
    at = next(i for i, (name, value) in enumerate(found) if name == "COPY" and "requirements.txt" in value)
    assert json.loads(found[at + 1][1]) == [*INSTALL, "runtime", "agent"]
    assert not any(INSTALL[1] in value for name, value in found[:at] if name == "RUN")
    assert json.loads(dict(found)["CMD"]) == ["/opt/agentenv/bin/python", "-I", f"{LIBRARY}/session.py"]


def test_a_change_rebuilds_only_what_follows() -> None:
    before, after = instructions(plan(**ALL).dockerfile), instructions(plan(**ALL | {"npm": ["x", "y"]}).dockerfile)
    (changed,) = [i for i, (one, other) in enumerate(zip(before, after, strict=True)) if one != other]
    assert json.loads(before[changed][1])[2:] == ["npm", "--", "x"]


def test_an_added_manager_changes_nothing_before_it() -> None:
    before, after = instructions(plan(apt=["jq"]).dockerfile), instructions(plan(apt=["jq"], npm=["x"]).dockerfile)
    at = next(i for i, (name, value) in enumerate(before) if name == "RUN" and '"jq"' in value)
    assert before[: at + 1] == after[: at + 1]


def test_the_program_of_sessions_is_copied_behind_all_packages() -> None:
    found = instructions(plan(**ALL).dockerfile)
    copy = next(i for i, (name, value) in enumerate(found) if name == "COPY" and "session.py" in value)
    last = max(i for i, (name, value) in enumerate(found) if name == "RUN" and INSTALL[1] in value)
    assert copy > last


def test_equal_packages_are_one_image_however_they_are_written() -> None:
    assert plan(pip=["six", "attrs"]) == plan(pip=["attrs", "six", "six"])
    assert plan(go=["example.com/x"]) == plan(go=["example.com/x@latest", "example.com/x"])


@pytest.mark.parametrize(
    "other",
    [
        plan(pip=["six==1"]),
        plan(pip=["six"], base=f"debian:trixie-slim@sha256:{'b' * 64}"),
        plan(pip=["six"], platform="linux/arm64"),
        plan(pip=["six"], context_hash="d"),
        plan(npm=["six"]),
        gateway(),
    ],
)
def test_whatever_decides_the_content_is_in_the_tag(other: ImagePlan) -> None:
    assert other.tag != plan(pip=["six"]).tag


@pytest.mark.parametrize(
    "found", [plan(**ALL), plan(), gateway(), gateway(**ALL)], ids=["all", "none", "gateway", "gateway with registries"]
)
def test_nothing_runs_as_root_and_no_file_raises_privileges(found: ImagePlan) -> None:
    steps = instructions(found.dockerfile)
    uid = "10002" if found.labels["org.opencontainers.image.title"].endswith("gateway") else "10001"
    assert [value for name, value in steps if name == "USER"] == [f"{uid}:{uid}"]
    at = steps.index(("USER", f"{uid}:{uid}"))
    assert not {"RUN", "COPY"} & {name for name, _ in steps[at:]}
    last = json.loads([value for name, value in steps if name == "RUN"][-1])
    assert last[:2] == ["find", "/"]
    assert last[-6:] == ["/6000", "-exec", "chmod", "u-s,g-s", "{}", "+"]


def test_a_session_has_writable_places_that_a_task_volume_takes_the_owner_of() -> None:
    steps = instructions(plan().dockerfile)
    assert ("VOLUME", '["/tmp", "/workspace", "/home/agent"]') in steps
    assert ("WORKDIR", "/workspace") in steps
    assert "install -d -o 10001 -g 10001 /workspace" in steps[1][1]


def test_python_packages_are_found_first_only_where_there_are_some() -> None:
    assert "PATH=/opt/venv/bin:/usr/local/sbin" in plan(pip=["six"]).dockerfile
    assert "/opt/venv" not in plan(npm=["x"]).dockerfile


def test_the_gateway_holds_pinned_packages_and_no_installer() -> None:
    steps = instructions(gateway().dockerfile)
    second = [i for i, (name, _) in enumerate(steps) if name == "FROM"][1]
    assert any("--require-hashes" in value for _, value in steps[:second])
    assert not any("pip" in value or "venv" in value for _, value in steps[second:])


def stages(dockerfile: str) -> dict[str, list[tuple[str, str]]]:
    """The instructions of each stage, by its name; the last has none."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, value in instructions(dockerfile):
        if name == "FROM":
            stage = value.partition(" AS ")[2]
            found[stage] = []
        else:
            found[stage].append((name, value))
    return found


def test_the_gateway_runs_its_package_with_places_of_its_own_to_write() -> None:
    last = dict(stages(gateway().dockerfile)[""])
    assert json.loads(last["CMD"]) == ["python3", "-m", "egress_gateway"]
    assert json.loads(last["VOLUME"]) == ["/state", "/tmp"]
    assert "PYTHONPATH=/usr/local/lib/egress-gateway:/usr/local/lib/egress-gateway/packages" in last["ENV"]
    assert any("install -d -o 10002 -g 10002 /policy /state" in value for _, value in stages(gateway().dockerfile)[""])


def test_registries_are_asked_for_before_any_package_of_a_user_and_copied_into_the_gateway() -> None:
    found = gateway(npm=["express"], cargo=["ripgrep"]).dockerfile
    asking = stages(found)["registries"]
    assert json.loads(asking[-1][1])[:4] == ["python3", f"{LIBRARY}/find_registries.py", "--output", REGISTRIES]
    assert json.loads(asking[-1][1])[4:] == ["--optional", "pip", "apt", "cargo", "npm"]
    assert runtimes(found) == ["agent", "cargo", "npm", "pip"]
    assert installs(found) == {}
    assert ("COPY", f"--from=registries {REGISTRIES} /usr/local/share/egress-gateway/registries.json") in stages(found)[
        ""
    ]


def test_pip_is_asked_whether_or_not_packages_come_by_it_but_must_answer_only_if_they_do() -> None:
    (without,) = [run for run in runs(gateway(apt=["jq"]).dockerfile) if run[1].endswith("find_registries.py")]
    (declared,) = [run for run in runs(gateway(pip=["six"]).dockerfile) if run[1].endswith("find_registries.py")]
    assert without[4:] == ["--optional", "pip", "apt"]
    assert declared[4:] == ["apt", "pip"]


def test_the_stage_that_asks_begins_as_the_session_image_does() -> None:
    def content(steps: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return [(name, value.replace("session/", "")) for name, value in steps]

    session = content(instructions(plan(npm=["express"]).dockerfile)[1:])
    asking = content(stages(gateway(npm=["express"]).dockerfile)["registries"])
    shared = next(index for index, (one, other) in enumerate(zip(session, asking, strict=False)) if one != other)
    assert json.loads(session[shared - 2][1])[2:] == ["runtime", "npm"]


def test_gateways_share_a_build_unless_their_registries_may_differ() -> None:
    assert gateway(session="other") == gateway()
    assert gateway().context == "egress-gateway"
    assert "registries" not in gateway().dockerfile
    assert gateway(pip=["six"]) == gateway(pip=["attrs"])
    assert len({gateway(pip=["six"]).tag, gateway(npm=["x"]).tag, gateway(pip=["six"], session="other").tag}) == 3
    assert gateway(pip=["six"]).context == "."


def sources(found: ImagePlan) -> list[str]:
    """What an image copies out of its context."""
    copies = [value.split() for name, value in instructions(found.dockerfile) if name == "COPY"]
    given = [words[:-1] for words in copies if not words[0].startswith("--from")]
    return [word for words in given for word in words if not word.startswith("--")]


@pytest.mark.parametrize("found", [gateway(), gateway(**ALL), plan(**ALL)], ids=["gateway", "registries", "session"])
def test_every_file_that_an_image_copies_is_in_its_context(found: ImagePlan) -> None:
    assert sources(found)
    assert [source for source in sources(found) if not (IMAGES / found.context / source).exists()] == []


def test_the_context_of_all_images_holds_what_the_gateway_copies_and_no_more() -> None:
    kept = {line[1:] for line in (IMAGES / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {one if one.startswith("session/") else one.partition("/")[0] for one in sources(gateway(**ALL))}
    assert copied == kept


def test_labels_say_what_is_in_it_and_where_it_comes_from() -> None:
    found = plan(pip=["six"])
    assert found.labels["org.opencontainers.image.title"] == "agent-environments session"
    assert found.labels["org.opencontainers.image.base.name"] == "debian:trixie-slim"
    assert found.labels["org.opencontainers.image.base.digest"] == f"sha256:{'a' * 64}"
    assert json.loads(found.labels["agent-environments.packages"]) == {"pip": ["six"]}
    assert re.fullmatch(r"[0-9a-f]{64}", found.labels["agent-environments.content"])
    assert re.fullmatch(r"[0-9a-f]{32}", found.tag)
    assert found.labels["agent-environments.content"].startswith(found.tag)


@pytest.mark.parametrize("base", ["debian:trixie-slim", "debian@", "debian:trixie-slim@latest"])
def test_a_base_without_digest_is_refused(base: str) -> None:
    with pytest.raises(ValueError, match=r"must be pinned.*Fix: write"):
        plan(base=base)
    with pytest.raises(ValueError, match=r"must be pinned.*Fix: write"):
        gateway(base=base)


def test_no_line_is_too_long_for_the_builder() -> None:
    found = plan(pip=[f"a{i:05}{'x' * 200}" for i in range(500)])
    assert max(map(len, found.dockerfile.splitlines())) < 1000


TEXT = st.text(st.sampled_from("ab1.-_+@:/=*~^<>![], ;$`'\"\\|&\n#%{}()é"), min_size=1, max_size=20)
PLAUSIBLE = {
    "apt": r"[a-z][a-z0-9+.-]{1,12}(:amd64)?(=[0-9]:[0-9.+~-]{1,8}\*?|/[a-z]{2,8})?",
    "cargo": r"[a-z][a-z0-9_-]{0,12}(@[~^=]?[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3})?",
    "gem": r"[a-z][a-z0-9_-]{0,12}(:(~> )?[0-9]{1,2}\.[0-9]{1,2})?",
    "go": r"[a-z]{1,8}\.com(/[a-z][a-z0-9_~-]{0,8}){1,3}(@(latest|v[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{1,2}))?",
    "npm": r"(@[a-z]{1,8}/)?[a-z][a-z0-9._-]{0,12}(@([~^]|>=)?[0-9]{1,2}(\.[0-9]{1,2}){0,2}|@next)?",
    "pip": r"[a-z][a-z0-9]{0,12}(\[[a-z]{1,8}\])?((==|>=|<|~=)[0-9]{1,2}\.[0-9]{1,2})?",
}
ANY_PACKAGES = st.fixed_dictionaries(
    {},
    optional={m: st.lists(st.from_regex(p, fullmatch=True) | TEXT, max_size=3) for m, p in PLAUSIBLE.items()},
)


@given(ANY_PACKAGES)
def test_whatever_is_accepted_renders_to_a_dockerfile_that_carries_it_unchanged(packages: dict[str, list[str]]) -> None:
    accepted: dict[str, Any] = {}
    for manager, texts in packages.items():
        for text in texts:
            try:
                Packages.model_validate({manager: [text]})
            except ValueError:
                continue
            accepted.setdefault(manager, []).append(text)
    found = plan(**accepted)
    assert {name for name, _ in instructions(found.dockerfile)} <= KNOWN
    if "go" in accepted:
        accepted["go"] = [text if "@" in text else f"{text}@latest" for text in accepted["go"]]
    wanted = {manager: sorted(set(texts)) for manager, texts in sorted(accepted.items())}
    assert installs(found.dockerfile) == wanted


def test_the_fence_holds_nftables_and_becomes_nobody_unless_told_otherwise() -> None:
    found = fence_image(base=BASE, platform="linux/amd64", context_hash="c")
    steps = dict(instructions(found.dockerfile))
    assert found.context == "fence"
    assert "nftables python3" in found.dockerfile
    assert steps["USER"] == "65534:65534"
    assert json.loads(steps["ENTRYPOINT"])[-1] == "/usr/local/lib/agentenv-fence/fence.py"
    assert found.tag != fence_image(base=BASE, platform="linux/amd64", context_hash="d").tag


@pytest.mark.parametrize("found", [plan(**ALL, authorities=[CA]), gateway(**ALL, authorities=[CA])])
def test_an_authority_is_trusted_before_anything_comes_from_a_mirror(found: ImagePlan) -> None:
    for steps in stages(found.dockerfile).values():
        ran = [json.loads(value) for name, value in steps if name == "RUN" and value.startswith("[")]
        at = ran.index(["update-ca-certificates"])
        assert ran[at - 1][-1].splitlines() == CA.splitlines()
        assert not any("pip" in run or INSTALL[1] in run for run in ran[:at])
        assert "NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt" in next(v for n, v in steps if n == "ENV")


def test_an_authority_decides_the_tag_and_each_certificate_is_a_file_of_its_own() -> None:
    tags = {plan().tag, plan(authorities=[CA]).tag, plan(authorities=[CA, OTHER_CA]).tag, gateway().tag}
    assert len(tags | {gateway(authorities=[CA]).tag}) == 5
    (written,) = [run for run in runs(plan(authorities=[CA + OTHER_CA]).dockerfile) if run[:2] == ["python3", "-c"]]
    assert written[3:] == [CA, OTHER_CA]


def test_agents_of_one_container_have_users_and_groups_of_their_own() -> None:
    dockerfile = plan().dockerfile
    assert "for uid in $(seq 10401 10420)" in dockerfile
    assert 'echo "agent$uid:x:$uid:$uid::/home/agent:/bin/bash" >> /etc/passwd' in dockerfile
    assert "groupadd --gid 10400 agents" in dockerfile


def test_a_volume_holds_the_files_that_the_image_puts_there_and_no_more() -> None:
    dockerfile = plan().dockerfile
    assert "install -d -m 0755 /var/lib/agentenv/state" in dockerfile
    for name in SLOTS:
        assert f"install -m 0660 -o 10001 -g 10001 /dev/null /var/lib/agentenv/state/{name}" in dockerfile
    assert STATE_FILES == SLOTS


def test_services_have_users_in_the_image_and_what_waits_for_their_fence() -> None:
    dockerfile = plan().dockerfile
    assert f"for uid in $(seq {SERVICE_UIDS[0]} {SERVICE_UIDS[-1]})" in dockerfile
    assert "service$uid:x:$uid:10001::/home/agent:/bin/bash" in dockerfile
    assert any(
        name == "COPY" and {"session.py", "behind_fence.py"} <= set(value.split())
        for name, value in instructions(dockerfile)
    )
