"""What is asked of package managers, and what is made of their answers. No manager runs."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.images.programs import program

find_registries = program("session", "find_registries")
Answer = find_registries.Answer
MIRROR = "https://mirror.example.test"
PIP_SAYS = f"""\
Looking in indexes: {MIRROR}/simple, https://extra.example.test:8443/simple
Fetching project page and analyzing links: {MIRROR}/simple/pip/
  Found link https://files.example.test/pip-1.whl (from {MIRROR}/simple/pip/), version: 1
  Skipping link: not a file: https://docs.example.test/pip
Fetching project page and analyzing links: https://extra.example.test:8443/simple/pip/
See https://warnings.example.test/
"""


class Managers:
    """Stands in for processes: answers by the first word of a command that it knows."""

    def __init__(self, **answers: Any) -> None:
        self._answers = {key.replace("_", "-"): answer for key, answer in answers.items()}
        self.commands: list[tuple[str, ...]] = []

    def __call__(self, command: Any) -> Any:
        self.commands.append(command.arguments)
        answer = self._answers[Path(command.arguments[0]).name]
        return answer(command) if callable(answer) else answer


def asked(tmp_path: Path, runner: Callable[[Any], Any], *arguments: str) -> list[tuple[str, str, int]]:
    output = tmp_path / "registries.json"
    assert find_registries.main(["--output", str(output), *arguments], runner=runner) == 0
    return [(one["manager"], one["host"], one["port"]) for one in json.loads(output.read_text())]


def test_pip_names_its_indexes_and_the_hosts_of_their_files(tmp_path: Path) -> None:
    assert asked(tmp_path, Managers(python=Answer(0, PIP_SAYS)), "pip") == [
        ("pip", "extra.example.test", 8443),
        ("pip", "files.example.test", 443),
        ("pip", "mirror.example.test", 443),
    ]


def test_an_optional_manager_may_be_out_of_reach_and_says_what_it_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = f"Fetching project page and analyzing links: {MIRROR}/simple/pip/\n"
    silent = Managers(python=Answer(1, said, "WARNING: x\nERROR: No matching distribution\n"), apt_get=Answer(0, ""))
    assert asked(tmp_path, silent, "--optional", "pip", "apt") == [("pip", "mirror.example.test", 443)]
    assert "pip does not reach its registry" in capsys.readouterr().err


def test_another_manager_that_gives_no_answer_ends_the_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "registries.json"
    silent = Managers(python=Answer(1, "", "ERROR: No matching distribution\n"))
    assert find_registries.main(["--output", str(output), "pip"], runner=silent) == 1
    assert "pip cannot tell where its packages come from: ERROR: No matching distribution" in capsys.readouterr().err
    assert not output.exists()


def test_npm_names_its_registry_those_of_scopes_and_its_files(tmp_path: Path) -> None:
    settings = {
        "registry": f"{MIRROR}/npm/",
        "@corp:registry": "https://npm.corp.example.test:4873/",
        "replace-registry-host": "npmjs",
        "omit-lockfile-registry-resolved": False,
    }

    def npm(command: Any) -> Any:
        if command.arguments[1] == "config":
            return Answer(0, json.dumps(settings), "npm notice")
        return Answer(0, "https://tarballs.example.test/npm/-/npm-1.tgz\n")

    assert asked(tmp_path, Managers(npm=npm), "npm") == [
        ("npm", "mirror.example.test", 443),
        ("npm", "npm.corp.example.test", 4873),
        ("npm", "tarballs.example.test", 443),
    ]


@pytest.mark.parametrize(
    ("proxies", "database", "expected"),
    [
        (f"{MIRROR},https://second.example.test|direct", "sum.example.test", ["mirror", "second", "sum"]),
        (f"{MIRROR}", "sum.example.test+1a2b+Key", ["mirror", "sum"]),
        (f"{MIRROR}", "sum.example.test+1a2b+Key https://copy.example.test/sumdb", ["copy", "mirror"]),
        ("off", "off", []),
    ],
)
def test_go_names_its_proxies_and_its_checksum_database(
    tmp_path: Path, proxies: str, database: str, expected: list[str]
) -> None:
    values = {"GOPROXY": proxies, "GOSUMDB": database}
    found = asked(tmp_path, Managers(go=lambda command: Answer(0, values[command.arguments[2]] + "\n")), "go")
    assert found == [("go", f"{host}.example.test", 443) for host in expected]


def test_gem_names_its_sources_and_their_index(tmp_path: Path) -> None:
    ruby = Answer(0, f"{MIRROR}/\nhttps://index.example.test/info/\n")
    assert asked(tmp_path, Managers(ruby=ruby), "gem") == [
        ("gem", "index.example.test", 443),
        ("gem", "mirror.example.test", 443),
    ]


def test_cargo_names_what_replaces_its_index_the_index_and_where_crates_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "cargo"
    home.mkdir()
    monkeypatch.setenv("CARGO_HOME", str(home))
    (home / "config.toml").write_text(
        f'[source.crates-io]\nreplace-with = "corp"\n[source.corp]\nregistry = "sparse+{MIRROR}:8443/index/"\n'
        '[registries.own]\nindex = "sparse+https://own.example.test/"\n[net]\nretry = 3\n'
    )
    fetched: list[str] = []

    def cargo(command: Any) -> Any:
        fetched.append(Path(command.folder, "Cargo.toml").read_text())
        index = home / "registry/index/mirror.example.test-1949cf8c6b5b557f"
        index.mkdir(parents=True)
        (index / "config.json").write_text(json.dumps({"dl": "https://crates.example.test/{crate}", "api": "x"}))
        return Answer(0, "")

    assert asked(tmp_path, Managers(cargo=cargo), "cargo") == [
        ("cargo", "crates.example.test", 443),
        ("cargo", "mirror.example.test", 8443),
        ("cargo", "own.example.test", 443),
    ]
    assert "[dependencies]\ncfg-if" in fetched[0]


def test_cargo_names_the_index_of_its_own_by_the_folder_that_it_keeps_it_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARGO_HOME", str(tmp_path / "cargo"))
    (tmp_path / "cargo/registry/index/index.example-registry.test-1949cf8c6b5b557f").mkdir(parents=True)
    found = asked(tmp_path, Managers(cargo=Answer(0, "")), "cargo")
    assert found == [("cargo", "index.example-registry.test", 443)]


def test_what_is_not_https_is_told_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sites = Answer(0, "http://deb.example.test/debian\nhttp://deb.example.test/debian\nhttps://s.example.test/debian\n")
    managers = Managers(apt_get=sites)
    assert asked(tmp_path, managers, "apt") == [("apt", "s.example.test", 443)]
    assert capsys.readouterr().err.count("apt: http://deb.example.test/debian is not https") == 1
    assert "--no-release-info" in managers.commands[0]


def test_equal_places_are_written_once_and_in_order(tmp_path: Path) -> None:
    managers = Managers(
        ruby=Answer(0, f"{MIRROR}/b\n{MIRROR}:443/a\n"),
        go=lambda c: Answer(0, MIRROR if c.arguments[2] == "GOPROXY" else "off"),
    )
    assert asked(tmp_path, managers, "go", "gem") == [
        ("gem", "mirror.example.test", 443),
        ("go", "mirror.example.test", 443),
    ]


@pytest.mark.parametrize("arguments", [("pip",), ("--output", "x"), ("--output", "x", "conda")])
def test_other_command_lines_are_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        find_registries.main(arguments, runner=Managers())
    assert caught.value.code == 2


def test_a_process_runs_where_and_with_what_it_is_told(tmp_path: Path) -> None:
    script = "import os, sys; print(os.getcwd(), os.environ['X']); print('e', file=sys.stderr); sys.exit(3)"
    command = find_registries.Command((sys.executable, "-c", script), {"X": "seen"}, str(tmp_path))
    assert find_registries.run(command) == Answer(3, f"{os.path.realpath(tmp_path)} seen\n", "e\n")
