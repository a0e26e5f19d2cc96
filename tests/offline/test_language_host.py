# ruff: noqa: N802 (gRPC fixes the names of the methods)
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    language_pb2,
    language_pb2_grpc,
    resource_pb2,
    resource_pb2_grpc,
)

from offline.language_host.host import LanguageHost
from offline.language_host.plugin_process import plugin_command, stream_plugin
from offline.language_host.program import run_program


class FakeEngine(engine_pb2_grpc.EngineServicer, resource_pb2_grpc.ResourceMonitorServicer):
    """As much of the engine as a program without resources of its own talks to."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.outputs: dict[str, Any] = {}
        self.address = ""

    def Log(self, request: Any, context: Any) -> Any:
        if request.severity == engine_pb2.ERROR:
            self.errors.append(request.message)
        return empty_pb2.Empty()

    def SupportsFeature(self, request: Any, context: Any) -> Any:
        return resource_pb2.SupportsFeatureResponse(hasSupport=True)

    def RegisterResource(self, request: Any, context: Any) -> Any:
        return resource_pb2.RegisterResourceResponse(urn=f"urn:pulumi:dev::p::{request.type}::{request.name}")

    def RegisterResourceOutputs(self, request: Any, context: Any) -> Any:
        self.outputs = {key: value.string_value for key, value in request.outputs.fields.items()}
        return empty_pb2.Empty()

    def SignalAndWaitForShutdown(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    fake = FakeEngine()
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    engine_pb2_grpc.add_EngineServicer_to_server(fake, server)
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(fake, server)
    fake.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield fake
    server.stop(None).wait()


Run = Callable[..., Any]


@pytest.fixture
def run(engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a program as a call of the engine does: in a thread of its own. Gives the response."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", list(sys.argv))

    program = tmp_path / "program"
    program.mkdir()

    def run_text(text: str | None, **config: str) -> Any:
        if text is not None:
            (program / "__main__.py").write_text(textwrap.dedent(text))
        request = language_pb2.RunRequest(
            project="p",
            stack="dev",
            pwd=str(program),
            parallel=4,
            monitor_address=engine.address,
            config={f"p:{key}": value for key, value in config.items()},
            info=language_pb2.ProgramInfo(
                root_directory=str(tmp_path), program_directory=str(program), entry_point="."
            ),
        )
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(run_program, request, engine.address).result(60)

    return run_text


def test_program_runs_in_its_folder_with_its_config(run: Run, engine: FakeEngine, tmp_path: Path) -> None:
    (tmp_path / "program" / "neighbour.py").write_text("NAME = 'next door'\n")
    response = run(
        """
        import os, pulumi
        import neighbour
        pulumi.export("cwd", os.getcwd())
        pulumi.export("greeting", pulumi.Config().require("greeting"))
        pulumi.export("neighbour", neighbour.NAME)
        """,
        greeting="hello",
    )
    assert (response.error, response.bail) == ("", False)
    assert engine.outputs == {"cwd": str(tmp_path / "program"), "greeting": "hello", "neighbour": "next door"}


def test_exception_shows_the_programs_own_traceback_once(run: Run, engine: FakeEngine) -> None:
    response = run("def deep():\n    raise ValueError('too deep')\n\n\ndeep()\n")
    assert response.bail
    assert response.error == ""
    (message,) = engine.errors
    assert message.startswith("Program failed with an unhandled exception:\nTraceback (most recent call last):\n")
    assert message.rstrip().endswith("ValueError: too deep")
    first_frame = message.splitlines()[2]
    assert "program/__main__.py" in first_frame
    assert "runpy" not in message


def test_exception_in_an_apply_fails_the_program(run: Run, engine: FakeEngine) -> None:
    response = run("import pulumi\npulumi.export('x', pulumi.Output.from_input(1).apply(lambda x: x / 0))\n")
    assert response.bail
    assert any("ZeroDivisionError" in message for message in engine.errors)


def test_run_error_is_shown_plainly(run: Run, engine: FakeEngine) -> None:
    response = run("import pulumi\nraise pulumi.RunError('environments[0].name: too long')\n")
    assert response.bail
    assert engine.errors == ["environments[0].name: too long"]


@pytest.mark.parametrize(("code", "error"), [("0", ""), ("3", "Program exited with non-zero exit code: 3")])
def test_exit_code_decides(run: Run, engine: FakeEngine, code: str, error: str) -> None:
    response = run(f"import sys\nsys.exit({code})\n")
    assert (response.error, response.bail) == (error, False)
    assert engine.errors == []


def test_folder_without_a_program_is_named(run: Run, engine: FakeEngine, tmp_path: Path) -> None:
    assert run(None).bail
    assert engine.errors == [f"unable to find main python program `__main__.py` in `{tmp_path / 'program'}`"]


def test_foreign_virtualenv_is_refused(tmp_path: Path) -> None:
    info = language_pb2.ProgramInfo(root_directory=str(tmp_path), program_directory=str(tmp_path))
    info.options.CopyFrom(struct_pb2.Struct(fields={"virtualenv": struct_pb2.Value(string_value="other")}))
    response = LanguageHost("").Run(language_pb2.RunRequest(info=info), None)
    assert f"runtime.options.virtualenv: '{tmp_path / 'other'}'" in response.error
    assert sys.prefix in response.error


def test_policy_pack_runs_under_the_sdks_runner() -> None:
    info = language_pb2.ProgramInfo(program_directory="/pack")
    request = language_pb2.RunPluginRequest(kind="analyzer", args=["127.0.0.1:1"], info=info)
    assert plugin_command(request) == [sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:1", "/pack"]


class CallContext:
    def __init__(self) -> None:
        self.ended: list[Callable[[], None]] = []

    def add_callback(self, callback: Callable[[], None]) -> None:
        self.ended.append(callback)


def plugin_request(folder: Path, text: str, **env: str) -> Any:
    (folder / "__main__.py").write_text(textwrap.dedent(text))
    return language_pb2.RunPluginRequest(
        kind="resource",
        pwd=str(folder.parent),
        args=["one", "two"],
        env=[f"{key}={value}" for key, value in {**os.environ, **env}.items()],
        info=language_pb2.ProgramInfo(program_directory=str(folder)),
    )


def test_plugin_output_and_exit_code_are_streamed(tmp_path: Path) -> None:
    folder = tmp_path / "plugin"
    folder.mkdir()
    request = plugin_request(
        folder,
        """
        import os, sys
        print(os.getcwd(), *sys.argv[1:], os.environ["MARK"])
        print("oops", file=sys.stderr)
        sys.exit(7)
        """,
        MARK="a=b",
    )
    messages = list(stream_plugin(request, CallContext()))
    assert b"".join(message.stdout for message in messages).decode() == f"{tmp_path} one two a=b\n"
    assert b"".join(message.stderr for message in messages).decode() == "oops\n"
    assert messages[-1].WhichOneof("output") == "exitcode"
    assert messages[-1].exitcode == 7


def test_cancelled_call_ends_the_plugin(tmp_path: Path) -> None:
    folder = tmp_path / "plugin"
    folder.mkdir()
    request = plugin_request(folder, "import os, time\nos.write(1, b'%d\\n' % os.getpid())\ntime.sleep(600)\n")
    context = CallContext()
    stream = stream_plugin(request, context)
    pid = int(next(stream).stdout)
    threading.Timer(0.1, context.ended[0]).start()
    assert [message.exitcode for message in stream] == [-signal.SIGTERM]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_process_serves_until_it_is_told_to_stop(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "offline.language_host", "127.0.0.1:1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as host:
        assert host.stdout is not None
        with grpc.insecure_channel(f"127.0.0.1:{int(host.stdout.readline())}") as channel:
            stub = language_pb2_grpc.LanguageRuntimeStub(channel)
            stub.Handshake(language_pb2.LanguageHandshakeRequest(), timeout=10)
            assert stub.About(language_pb2.AboutRequest(), timeout=10).executable == sys.executable
        host.send_signal(number)
        output, errors = host.communicate(timeout=20)
    assert (host.returncode, output, errors) == (0, "", "")


def test_process_ends_with_its_engine(tmp_path: Path) -> None:
    """An engine that is killed leaves no plugin behind."""
    script = (
        "import os, subprocess, sys\n"
        "host = subprocess.Popen([sys.executable, '-m', 'offline.language_host', 'x'], stdout=subprocess.PIPE)\n"
        "host.stdout.readline()\n"
        "print(host.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    pid = int(done.stdout)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and Path(f"/proc/{pid}").exists():
        time.sleep(0.2)
    assert not Path(f"/proc/{pid}").exists()


PROGRAM = """
import pulumi


class Part(pulumi.ComponentResource):
    def __init__(self, name):
        super().__init__("test:index:Part", name)
        self.register_outputs({})


pulumi.export("urn", Part(pulumi.Config().require("part")).urn)
"""
PACK = """
from pulumi_policy import EnforcementLevel, PolicyPack, StackValidationPolicy


def no_bad_part(args, report):
    if any(resource.name == "bad" for resource in args.resources):
        report("a bad part")


PolicyPack("pack", policies=[StackValidationPolicy("no-bad-part", "-", no_bad_part, EnforcementLevel.MANDATORY)])
"""


@pytest.mark.engine
def test_real_engine_runs_program_and_policy_pack(tmp_path: Path) -> None:
    for folder in ("program", "pack", "state"):
        (tmp_path / folder).mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: small\nruntime: python\nmain: program/\n")
    (tmp_path / "program" / "__main__.py").write_text(PROGRAM)
    (tmp_path / "pack" / "PulumiPolicy.yaml").write_text("runtime: python\n")
    (tmp_path / "pack" / "__main__.py").write_text(PACK)
    env = {**os.environ, "PULUMI_BACKEND_URL": f"file://{tmp_path}/state", "PULUMI_CONFIG_PASSPHRASE": "test"}

    def pulumi(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["pulumi", *arguments, "--non-interactive", "--color=never"],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    assert pulumi("stack", "select", "--create", "dev").returncode == 0
    pulumi("config", "set", "part", "bad")
    refused = pulumi("up", "--yes", "--policy-pack", "pack")
    assert refused.returncode != 0
    assert "a bad part" in refused.stdout
    pulumi("config", "set", "part", "good")
    done = pulumi("up", "--yes", "--policy-pack", "pack")
    assert done.returncode == 0, done.stdout + done.stderr
    assert pulumi("stack", "output", "urn").stdout == "urn:pulumi:dev::small::test:index:Part::good\n"
    again = pulumi("preview", "--expect-no-changes", "--policy-pack", "pack")
    assert again.returncode == 0, again.stdout
    assert pulumi("destroy", "--yes").returncode == 0
