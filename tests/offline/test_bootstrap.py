"""The set-up: each step against fakes of what a machine may have or lack."""

import json
import os
import re
import socket
import ssl
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from offline.bootstrap import (
    __main__ as command_line,
)
from offline.bootstrap import (
    base_image,
    console,
    docker_engine,
    emulator,
    environment,
    host_tools,
    plugins,
    pulumi_cli,
    python_env,
)
from offline.bootstrap.certificates import extra_certificates
from offline.bootstrap.console import BootstrapError
from offline.bootstrap.layout import Layout, find_layout
from offline.bootstrap.servers import Record, Server, is_free
from offline.bootstrap.stamps import digest_of, is_done, set_done

ROOT = find_layout().root
Script = Callable[[str, str], Path]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "it's a checkout")


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Writes executables into a folder that is then the whole PATH, but for the shell's own folder."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def write(name: str, body: str) -> Path:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return path

    return write


class TestConsole:
    def test_says_what_it_does_and_that_it_lives(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(console, "_HEARTBEAT_SECONDS", 0.2)
        command = [sys.executable, "-c", "import time; print('x'); time.sleep(1)"]
        console.run(command, what="thinking", takes="1 s", log=tmp_path / "log", progress=lambda: "half-way")
        said = capsys.readouterr().out
        assert said.startswith("· thinking (1 s) ...\n")
        assert re.search(r"\.\.\. \d+ s, half-way\n", said)
        assert (tmp_path / "log").read_text() == "x\n"

    def test_failure_carries_the_end_of_the_output(self, tmp_path: Path) -> None:
        command = [sys.executable, "-c", "import sys; print('reason'); sys.exit(4)"]
        with pytest.raises(BootstrapError, match=r"thinking: exit code 4\. (.*\n)+ +reason"):
            console.run(command, what="thinking", takes="1 s", log=tmp_path / "log")

    def test_missing_command_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(BootstrapError, match="thinking: /no/such: No such file"):
            console.run(["/no/such"], what="thinking", takes="1 s", log=tmp_path / "log")

    def test_command_that_takes_too_long_is_ended(self, tmp_path: Path) -> None:
        command = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]
        with pytest.raises(BootstrapError, match="no end after"):
            console.run(command, what="thinking", takes="1 s", log=tmp_path / "log", timeout=1.0)
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "log").read_text()), 0)


class TestStamps:
    def test_content_counts_and_times_do_not(self, tmp_path: Path) -> None:
        file, stamp = tmp_path / "in", tmp_path / "run" / "stamp"
        file.write_text("1")
        assert not is_done(stamp, digest_of(file, "x"))
        set_done(stamp, digest_of(file, "x"))
        os.utime(file, (1, 1))
        assert is_done(stamp, digest_of(file, "x"))
        assert not is_done(stamp, digest_of(file, "y"))
        file.write_text("2")
        assert not is_done(stamp, digest_of(file, "x"))

    def test_parts_do_not_run_together(self) -> None:
        assert digest_of("ab", "c") != digest_of("a", "bc")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


class TestServers:
    def test_start_answer_stop(self, tmp_path: Path) -> None:
        server = Server("web", tmp_path)
        port = server.choose_port(free_port())
        command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
        record = server.start(command, port=port, ready=lambda: not is_free(port), seconds=30)
        assert server.running() == record
        assert record.port == port
        assert server.stop()
        assert server.running() is None
        assert not server.stop()
        assert server.choose_port(1) == port, "the port of the last run is tried first"

    def test_server_that_ends_at_once_is_an_error_with_its_log(self, tmp_path: Path) -> None:
        server = Server("web", tmp_path)
        with pytest.raises(BootstrapError, match=r"web ended at once (.*\n)+ +no config"):
            server.start([sys.executable, "-c", "print('no config')"], ready=lambda: False, seconds=30)
        assert server.running() is None

    def test_server_that_never_answers_is_stopped(self, tmp_path: Path) -> None:
        server, seen = Server("web", tmp_path), list[Record | None]()

        def ready() -> bool:
            seen.append(server.running())
            return False

        with pytest.raises(BootstrapError, match="web gave no answer in 1 s"):
            server.start(SLEEPER, ready=ready, seconds=1)
        assert seen[0] is not None
        assert server.running() is None

    def test_another_process_of_the_same_id_is_left_alone(self, tmp_path: Path) -> None:
        stranger = subprocess.Popen(SLEEPER)
        try:
            record = {"pid": stranger.pid, "birth": "1", "port": 0}
            (tmp_path / "web.json").write_text(json.dumps(record))
            server = Server("web", tmp_path)
            assert server.running() is None
            assert not server.stop()
            assert stranger.poll() is None
        finally:
            stranger.kill()
            stranger.wait()

    def test_taken_port_is_not_chosen(self, tmp_path: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            chosen = Server("web", tmp_path).choose_port(port)
        assert chosen != port
        assert is_free(chosen)


class TestPythonEnvironment:
    def test_old_python_is_refused(self, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(python_env, "MINIMUM", (9, 9))
        with pytest.raises(BootstrapError, match=r"must be 9\.9 or newer; choose one with make PYTHON="):
            python_env.prepare(layout)

    def test_settings_of_tools_need_no_installation(self, layout: Layout) -> None:
        layout.root.mkdir()
        project = layout.root / "pyproject.toml"
        project.write_text("[project]\nname = 'a'\n[tool.ruff]\nline-length = 1\n")
        before = python_env._packaging(layout)
        project.write_text("[project]\nname = 'a'\n[tool.ruff]\nline-length = 2\n")
        assert python_env._packaging(layout) == before
        project.write_text("[project]\nname = 'b'\n")
        assert python_env._packaging(layout) != before


class TestRequirements:
    @pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
    def test_every_package_has_hashes_and_no_index_is_named(self, name: str) -> None:
        text = (ROOT / name).read_text()
        assert "://" not in text
        assert not re.search(r"^--(?!hash)", text, re.MULTILINE)
        pins = re.findall(r"^[a-z0-9][^\s=]*==\S+.*?(?=^[a-z0-9]|\Z)", text, re.MULTILINE | re.DOTALL)
        assert len(pins) > 20
        assert [pin for pin in pins if "--hash=sha256:" not in pin] == []

    def test_sdk_and_cli_are_of_one_version(self) -> None:
        toolchain = ROOT / "offline" / "toolchain"
        cli = pulumi_cli.cli_version(toolchain / "go.mod")
        for file in (ROOT / "requirements.txt", ROOT / "requirements-dev.txt", toolchain / "constraints.txt"):
            assert plugins.pinned_version(file, "pulumi") == cli

    def test_missing_pin_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "requirements.txt").write_text("pulumi-awsx==1.0\n")
        with pytest.raises(BootstrapError, match=r"pins no pulumi-aws; make lock"):
            plugins.pinned_version(tmp_path / "requirements.txt", "pulumi-aws")


@pytest.fixture
def go_mod(layout: Layout) -> None:
    folder = layout.root / "offline" / "toolchain"
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text("module m\n\nrequire github.com/pulumi/pulumi/pkg/v3 v3.259.0\n")


@pytest.mark.usefixtures("go_mod")
class TestPulumiCli:
    def test_machines_own_is_used(self, layout: Layout, script: Script) -> None:
        own = script("pulumi", "echo v3.251.0")
        pulumi_cli.prepare(layout)
        assert (layout.bin / "pulumi").readlink() == own
        own.write_text("#!/bin/sh\nexit 1\n")
        pulumi_cli.prepare(layout)

    def test_none_of_the_three_ways(self, layout: Layout, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
        old = script("pulumi", "echo v3.249.9")
        monkeypatch.setattr(pulumi_cli, "reachable", lambda url: f"{url} cannot be reached")
        with pytest.raises(BootstrapError) as caught:
            pulumi_cli.prepare(layout)
        assert str(caught.value).splitlines() == [
            "pulumi 3.250 or newer (3.x): none of the three ways is open",
            f"  1. the machine's own pulumi: {old} is 3.249.9",
            "  2. Pulumi's official installer: https://get.pulumi.com/install.sh cannot be reached",
            "  3. building it from Go modules: go is not on PATH (any from 1.21 on fetches the version that is needed)",
        ]

    @pytest.mark.parametrize("version", ["v4.0.0", "v2.300.0", "no version"])
    def test_another_major_version_is_refused(self, layout: Layout, script: Script, version: str) -> None:
        script("pulumi", f"echo {version}")
        with pytest.raises(BootstrapError):
            pulumi_cli._link_machine_cli(layout, layout.bin / "pulumi")

    def test_own_folder_is_not_the_machine(
        self, layout: Layout, script: Script, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        layout.bin.mkdir(parents=True)
        script("pulumi", "echo v3.259.0").rename(layout.bin / "pulumi")
        monkeypatch.setenv("PATH", str(layout.bin))
        with pytest.raises(BootstrapError, match="not on PATH"):
            pulumi_cli._link_machine_cli(layout, layout.bin / "pulumi")

    def test_built_for_the_version_of_go_mod(
        self, layout: Layout, script: Script, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        script("go", 'if [ "$1" = env ]; then echo go1.21.0; else echo "$@" > "$4"; fi')
        monkeypatch.setattr(pulumi_cli, "reachable", lambda url: "no")
        pulumi_cli.prepare(layout)
        assert (
            "version.Version=v3.259.0 github.com/pulumi/pulumi/pkg/v3/cmd/pulumi" in (layout.bin / "pulumi").read_text()
        )

    def test_unreachable_page_is_told_in_seconds(self) -> None:
        assert "cannot be reached" in pulumi_cli.reachable(f"http://127.0.0.1:{free_port()}/")


class TestPlugins:
    @pytest.fixture(autouse=True)
    def requirements(self, layout: Layout) -> None:
        layout.bin.mkdir(parents=True)
        lines = ("pulumi-aws==7.1.0", "pulumi-docker==5.0.0", "pulumi-docker-build==0.0.9")
        (layout.root / "requirements.txt").write_text("".join(f"{line} \\\n" for line in lines))

    def test_stand_ins_are_installed_where_the_cli_looks(self, layout: Layout) -> None:
        layout.python.parent.mkdir(parents=True)
        layout.python.write_text('#!/bin/sh\necho "$@"\n')
        layout.python.chmod(0o755)
        plugins.prepare(layout)
        home = layout.pulumi_home / "plugins"
        for path, module in (
            (layout.bin / "pulumi-language-python", "offline.language_host"),
            (home / "resource-aws-v7.1.0" / "pulumi-resource-aws", "offline.aws"),
            (home / "resource-docker-v5.0.0" / "pulumi-resource-docker", "offline.docker"),
            (home / "resource-docker-build-v0.0.9" / "pulumi-resource-docker-build", "offline.docker_build"),
        ):
            done = subprocess.run([path, "127.0.0.1:1"], capture_output=True, text=True, check=True)
            assert done.stdout == f"-P -m {module} 127.0.0.1:1\n"

    def test_language_host_that_came_with_the_cli_is_kept(self, layout: Layout, tmp_path: Path) -> None:
        for name in ("pulumi", "pulumi-language-python"):
            (tmp_path / name).touch()
        (layout.bin / "pulumi").symlink_to(tmp_path / "pulumi")
        plugins.prepare(layout)
        assert not (layout.bin / "pulumi-language-python").exists()

    def test_second_time_nothing_is_written(self, layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
        plugins.prepare(layout)
        assert capsys.readouterr().out.count("stand-in:") == 4
        plugins.prepare(layout)
        assert capsys.readouterr().out == ""


class TestDockerClient:
    def test_client_without_buildkit_is_passed_over(
        self, layout: Layout, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        script("docker", 'if [ "$1" = --version ]; then echo Docker version 28.2.2, build x; else exit 1; fi')
        other = tmp_path / "other"
        other.mkdir()
        (other / "docker").write_text("#!/bin/sh\necho Docker version 20.10.24, build x\n")
        (other / "docker").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:{other}")
        assert docker_engine.find_client(layout) == str(other / "docker")

    def test_newer_client_with_buildx_is_taken(self, layout: Layout, script: Script) -> None:
        docker = script("docker", 'if [ "$1" = --version ]; then echo Docker version 28.2.2; else echo buildx; fi')
        assert docker_engine.find_client(layout) == str(docker)

    def test_mirrors(self, script: Script) -> None:
        docker = script("docker", "printf 'http://127.0.0.1:1/\\nhttp://a.example/\\n'")
        assert docker_engine.mirrors(str(docker)) == ["http://127.0.0.1:1", "http://a.example"]

    def test_without_root_one_error_says_what_to_type(
        self, layout: Layout, script: Script, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        script("docker", 'if [ "$1" = --version ]; then echo Docker version 20.10.24; else exit 1; fi')
        script("apt-get", "exit 1")
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        with pytest.raises(
            BootstrapError, match=r"docker engine: .*info gets no answer.*sudo apt-get install docker\.io"
        ):
            docker_engine.prepare(layout, "http://127.0.0.1:1")
        script("dockerd", "exit 1")
        with pytest.raises(BootstrapError, match="only root can start dockerd"):
            docker_engine.prepare(layout, "http://127.0.0.1:1")


def pem(data: bytes) -> str:
    return ssl.DER_cert_to_PEM_cert(data)


class TestCertificates:
    def test_only_what_debian_lacks(self, tmp_path: Path) -> None:
        stock, local, bundle = tmp_path / "stock", tmp_path / "local", tmp_path / "bundle"
        (stock / "mozilla").mkdir(parents=True)
        local.mkdir()
        (stock / "mozilla" / "a.crt").write_text(pem(b"stock"))
        (local / "own.crt").write_text(f"# a note\n{pem(b'own')}")
        bundle.write_text(pem(b"stock").replace("\n", "\r\n") + pem(b"own") + pem(b"proxy"))
        found = extra_certificates(bundle, stock, local)
        assert sorted(found.values()) == sorted([pem(b"own"), pem(b"proxy")])
        assert all(re.fullmatch(r"machine-[0-9a-f]{12}\.crt", name) for name in found)

    def test_without_debians_own_there_is_nothing_to_compare(self, tmp_path: Path) -> None:
        bundle = tmp_path / "bundle"
        bundle.write_text(pem(b"one of a hundred"))
        assert extra_certificates(bundle, tmp_path / "absent", tmp_path / "absent") == {}


def debian_tree(root: Path) -> Path:
    for name in ("etc/apt/apt.conf.d", "etc/dpkg/dpkg.cfg.d", "usr/share/doc/bash", "var/log", "var/cache/apt", "tmp"):
        (root / name).mkdir(parents=True)
    (root / "etc/apt/sources.list").write_text("deb http://archive.example/debian trixie main\n")
    for name in (
        "usr/share/doc/bash/copyright",
        "usr/share/doc/bash/changelog",
        "var/log/bootstrap.log",
        "etc/shadow-",
    ):
        (root / name).write_text("text\n")
    (root / "etc/machine-id").write_text("1234\n")
    (root / "tmp" / "link").symlink_to("/")
    return root


class TestBaseImage:
    def test_trimmed_tree_keeps_what_the_official_one_has(self, tmp_path: Path) -> None:
        root = debian_tree(tmp_path / "root")
        base_image.trim(root)
        files = {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}
        assert files == {
            "etc/apt/sources.list",
            "etc/apt/apt.conf.d/docker-clean",
            "etc/dpkg/dpkg.cfg.d/docker",
            "usr/share/doc/bash/copyright",
        }
        assert (root / "var/cache/apt/archives/partial").is_dir()
        assert (root / "etc/apt/sources.list").read_text().splitlines() == [
            "deb http://archive.example/debian trixie main",
            "deb http://archive.example/debian trixie-updates main",
            "deb http://archive.example/debian-security trixie-security main",
        ]

    def test_equal_trees_give_equal_images(self, tmp_path: Path) -> None:
        archives: list[dict[str, bytes]] = []
        for name in ("one", "two"):
            folder = tmp_path / name
            root = debian_tree(folder / "root")
            base_image.trim(root)
            base_image.add_certificates(root, {"machine-1.crt": pem(b"own")})
            os.utime(root / "etc/apt/sources.list", (0, len(archives)))
            base_image.write_image(root, folder / "image.tar", ["debian:x"], "amd64")
            with tarfile.open(folder / "image.tar") as image:
                archives.append({member: image.extractfile(member).read() for member in image.getnames()})  # type: ignore[union-attr]
        assert archives[0] == archives[1]
        manifest = json.loads(archives[0]["manifest.json"])
        assert manifest == [{"Config": "config.json", "RepoTags": ["debian:x"], "Layers": ["layer.tar"]}]

    def test_certificates_are_where_debian_looks_for_them(self, tmp_path: Path) -> None:
        base_image.add_certificates(tmp_path, {"machine-1.crt": pem(b"own")})
        assert (tmp_path / "usr/local/share/ca-certificates/machine-1.crt").read_text() == pem(b"own")

    def test_pulled_image_is_named_by_digest(self, layout: Layout, script: Script) -> None:
        docker = script(
            "docker",
            """case "$1" in
            pull) ;;
            image) echo '["other@sha256:0", "debian@sha256:1"]' ;;
            esac""",
        )
        layout.run.mkdir(parents=True)
        assert base_image.prepare(layout, str(docker), "127.0.0.1:1") == "debian:trixie-slim@sha256:1"
        docker.write_text('#!/bin/sh\n[ "$1" = image ] && echo \'["debian@sha256:1"]\'\n')
        assert base_image.prepare(layout, str(docker), "127.0.0.1:1") == "debian:trixie-slim@sha256:1"

    def test_unreachable_and_no_root_is_one_error(
        self, layout: Layout, script: Script, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        docker = script("docker", "exit 1")
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        layout.run.mkdir(parents=True)
        with pytest.raises(BootstrapError, match="cannot be pulled, and only root can make it"):
            base_image.prepare(layout, str(docker), "127.0.0.1:1")


class TestEnvironment:
    def sourced(self, layout: Layout, times: int = 1) -> dict[str, str]:
        names = ["PATH", "AWS_ENDPOINT_URL", "VIRTUAL_ENV", "PULUMI_BACKEND_URL", "AGENT_ENVIRONMENTS_ECR_REGISTRY"]
        show = (
            f"import json, os; e = os.environ; print(json.dumps({{n: e[n] for n in {names}}} | {{'all': ' '.join(e)}}))"
        )
        text = '. "$1"; ' * times + 'exec "$2" -c "$3"'
        done = subprocess.run(
            ["/bin/sh", "-euc", text, "sh", str(layout.env_file), sys.executable, show],
            capture_output=True,
            text=True,
            check=True,
            env={"PATH": "/usr/bin:/bin", "AWS_PROFILE": "production", "AWS_SESSION_TOKEN": "x"},
        )
        return dict(json.loads(done.stdout))

    def test_sourcing_gives_the_toolchain_and_the_emulated_aws(self, layout: Layout) -> None:
        values = environment.variables(
            layout, endpoint="http://127.0.0.1:1", registry="127.0.0.1:2", base_image="debian:trixie-slim@sha256:1"
        )
        environment.write(layout, values)
        found = self.sourced(layout)
        assert found["PATH"].split(":")[:2] == [str(layout.bin), str(layout.venv / "bin")]
        assert found["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
        assert found["PULUMI_BACKEND_URL"] == f"file://{layout.state}"
        assert found["AGENT_ENVIRONMENTS_ECR_REGISTRY"] == "127.0.0.1:2"
        assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN"} & set(found["all"].split())
        assert self.sourced(layout, times=2) == found


class TestEmulator:
    def test_new_emulator_is_marked_and_starts_from_nothing(
        self, layout: Layout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        moto = layout.venv / "bin" / "moto_server"
        moto.parent.mkdir(parents=True)
        moto.symlink_to(Path(sys.executable).with_name("moto_server"))
        (layout.state / "aws").mkdir(parents=True)
        (layout.state / "aws" / "firewall.json").write_text("{}")
        monkeypatch.setattr(emulator, "DEFAULT_PORT", free_port())
        try:
            first = emulator.prepare(layout)
            assert not (layout.state / "aws").exists()
            (layout.run / "aws-is-new").unlink()
            assert emulator.prepare(layout) == first
            assert not (layout.run / "aws-is-new").exists(), "it still runs: nothing is new"
        finally:
            emulator.server(layout).stop()


class TestCommandLine:
    def test_fault_is_one_error_and_an_exit_code(
        self, layout: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def fail(_: Layout) -> None:
            raise BootstrapError("no go")

        layout.root.mkdir()
        monkeypatch.setattr(command_line, "find_layout", lambda: layout)
        monkeypatch.setattr(python_env, "prepare", fail)
        assert command_line.main(["up"]) == 1
        assert capsys.readouterr().err == "error: no go\n"

    def test_down_stops_what_runs_but_what_is_kept(
        self, layout: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        layout.root.mkdir()
        monkeypatch.setattr(command_line, "find_layout", lambda: layout)
        registry, aws = Server("registry", layout.run), Server("aws", layout.run)
        try:
            for server in (registry, aws):
                server.start(SLEEPER, ready=lambda: True, seconds=1)
            assert command_line.main(["running"]) == 0
            assert capsys.readouterr().out == "registry,aws\n"
            command_line.main(["down", "--keep", "registry"])
            assert registry.running()
            assert not aws.running()
        finally:
            registry.stop()
            aws.stop()


def test_programs_that_tests_run_are_installed_where_they_are_missing(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr("offline.bootstrap.debian.install", lambda packages, **_: asked.append(packages))
    monkeypatch.setattr("shutil.which", lambda program: None if program == "nft" else program)
    host_tools.prepare(layout)
    assert asked == [["nftables"]]
    monkeypatch.setattr("shutil.which", lambda program: program)
    host_tools.prepare(layout)
    assert len(asked) == 1
