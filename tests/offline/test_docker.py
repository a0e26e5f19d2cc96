"""The stand-in for docker as far as it needs no Docker engine."""

import base64
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime.proto import provider_pb2

from offline.aws import wire
from offline.docker.compare import changed_inputs, refreshed_inputs
from offline.docker.container import CONTAINER
from offline.docker.container_config import engine_config
from offline.docker.duration import nanoseconds, written
from offline.docker.inputs import checked, declared, kind_of
from offline.docker.network import NETWORK
from offline.docker.provider import Provider
from offline.docker.remote_image import REMOTE_IMAGE
from offline.docker.uploads import archive
from offline.docker.volume import VOLUME
from offline.docker_build.engine_log import EngineLog
from tests.offline.aws_driver import CallError as AbortedError
from tests.offline.aws_driver import RefusingContext
from tests.offline.docker_driver import CallError, Driver, running

IMAGE_ID = f"sha256:{'a' * 64}"
NOBODY = "tcp://127.0.0.1:9"


@pytest.fixture(scope="module")
def deaf() -> Iterator[Driver]:
    """A plugin process whose engine does not answer."""
    with running({"docker:config:host": NOBODY}, os.environ) as driver:
        yield driver


class TestDuration:
    @pytest.mark.parametrize(
        ("text", "span"),
        [("0", 0), ("0s", 0), ("10s", 10**10), ("1m30s", 9 * 10**10), ("1.5h", 54 * 10**11), ("250ms", 25 * 10**7)],
    )
    def test_read(self, text: str, span: int) -> None:
        assert nanoseconds(text) == span

    @pytest.mark.parametrize("text", ["", "10", "-1s", "1 s", "1d", "s"])
    def test_no_duration(self, text: str) -> None:
        with pytest.raises(ValueError, match="is no duration"):
            nanoseconds(text)

    @pytest.mark.parametrize(
        ("span", "text"),
        [
            (0, "0s"),
            (10**9, "1s"),
            (60 * 10**9, "1m0s"),
            (3601 * 10**9, "1h0m1s"),
            (15 * 10**8, "1.5s"),
            (10**6, "1ms"),
        ],
    )
    def test_written_as_go_does(self, span: int, text: str) -> None:
        assert written(span) == text
        assert nanoseconds(text) == span


class TestCheck:
    def failures(self, **inputs: Any) -> dict[str, str]:
        return {f.path: f.reason for f in checked(CONTAINER, {"image": "i", "name": "n", **inputs})[1]}

    @pytest.mark.parametrize(
        ("inputs", "path", "reason"),
        [
            ({"pidsLimit": 5}, "pidsLimit", "no input 'pidsLimit'"),
            ({"memory": "much"}, "memory", "takes a number"),
            ({"gpus": "all"}, "gpus", "does not act on the input 'gpus'"),
            ({"devices": [{"hostPath": "/dev/x"}]}, "devices[0]", "does not act on"),
            (
                {"networksAdvanced": [{"name": "a"}, {"name": "b", "gwPriority": 1}]},
                "networksAdvanced[1].gwPriority",
                "does not act on",
            ),
            ({"restart": "sometimes"}, "restart", "no, on-failure, always, unless-stopped"),
            ({"memory": -1}, "memory", "0 or more"),
            ({"cpus": "two"}, "cpus", "number of processors"),
            ({"cpuSet": "0;1"}, "cpuSet", "range of processors"),
            ({"command": ["a", ""]}, "command", "empty word"),
            ({"mounts": [{"type": "npipe", "target": "/x"}]}, "mounts[0].type", "bind, volume, tmpfs"),
            ({"volumes": [{"volumeName": "v"}]}, "volumes[0]", "one of containerPath and fromContainer"),
            ({"uploads": [{"file": "/x"}]}, "uploads[0]", "no content"),
            ({"uploads": [{"file": "/x", "content": "a", "source": "b"}]}, "uploads[0]", "content and source"),
            ({"uploads": [{"file": "/x", "contentBase64": "!"}]}, "uploads[0].contentBase64", "is not base64"),
            ({"uploads": [{"file": "/x", "content": "a", "permissions": "rw"}]}, "uploads[0].permissions", "octal"),
            ({"uploads": [{"file": "/x", "content": "a", "owner": "agent"}]}, "uploads[0].owner", "give the number"),
            ({"healthcheck": {"tests": ["CMD", "x"], "interval": "often"}}, "healthcheck.interval", "no duration"),
        ],
    )
    def test_bad_input_is_named_with_its_rule(self, inputs: dict[str, Any], path: str, reason: str) -> None:
        failures = self.failures(**inputs)
        assert list(failures) == [path]
        assert reason in failures[path]

    def test_unknown_inputs_pass(self) -> None:
        assert (
            self.failures(restart=wire.UNKNOWN, cpus=wire.UNKNOWN, uploads=[{"file": "/x", "content": wire.UNKNOWN}])
            == {}
        )

    def test_every_declared_input_is_acted_on_or_refused(self) -> None:
        for kind in (CONTAINER, NETWORK, REMOTE_IMAGE, VOLUME):
            covered = kind.replacing | kind.updating | kind.recorded | kind.refused
            # The real provider takes a change of these into its state only.
            inert = {"cpuPeriod", "cpuQuota", "healthcheck", "init", "rm", "tmpfs"} if kind is CONTAINER else set()
            assert set(declared(kind)) == {path for path in covered if "." not in path} | inert, kind.token
            assert not kind.updating & kind.replacing

    def test_provider_defaults_are_filled_in_and_noted(self) -> None:
        inputs, _ = checked(CONTAINER, {"image": "i", "name": "n", "restart": "always"})
        assert (inputs["restart"], inputs["networkMode"], inputs["mustRun"]) == ("always", "bridge", True)
        assert "networkMode" in inputs["__defaults"]
        assert "restart" not in inputs["__defaults"]

    @pytest.mark.parametrize("token", ["docker:index/secret:Secret", "docker:index/service:Service"])
    def test_other_types_are_named(self, token: str) -> None:
        with pytest.raises(LookupError, match=token):
            kind_of(token)


class TestCompare:
    def changed(self, state: dict[str, Any], new: dict[str, Any]) -> set[str]:
        return changed_inputs(CONTAINER, declared(CONTAINER), state, new)

    @pytest.mark.parametrize(
        ("present", "wanted"),
        [
            ({"envs": ["A=1", "B=2"]}, {"envs": ["B=2", "A=1"]}),
            (
                {"capabilities": {"drops": ["ALL"], "adds": ["CAP_NET_ADMIN"]}},
                {"capabilities": {"drops": ["all"], "adds": ["NET_ADMIN"]}},
            ),
            ({"cpus": "0.5"}, {"cpus": "0.50"}),
            (
                {"ports": [{"internal": 80, "external": 32768, "ip": "127.0.0.1", "protocol": "tcp"}]},
                {"ports": [{"internal": 80, "ip": "127.0.0.1"}]},
            ),
            (
                {"mounts": [{"type": "tmpfs", "target": "/t", "source": "", "readOnly": False}]},
                {"mounts": [{"type": "tmpfs", "target": "/t"}]},
            ),
            (
                {"healthcheck": {"tests": ["CMD", "a"], "interval": "1s", "timeout": "0s"}},
                {"healthcheck": {"tests": ["CMD", "a"], "interval": "1s"}},
            ),
            ({"hostname": "chosen-by-the-engine", "shmSize": 64}, {}),
            ({"dns": []}, {}),
        ],
    )
    def test_equal_meanings_are_equal(self, present: dict[str, Any], wanted: dict[str, Any]) -> None:
        assert self.changed(present, wanted) == set()

    @pytest.mark.parametrize(
        ("present", "wanted"),
        [
            ({"image": IMAGE_ID}, {"image": "team/app:1"}),
            ({"command": ["a", "b"]}, {"command": ["b", "a"]}),
            (
                {"healthcheck": {"tests": ["CMD", "a"], "interval": "1m0s"}},
                {"healthcheck": {"tests": ["CMD", "a"], "interval": "60s"}},
            ),
            (
                {"ports": [{"internal": 80, "external": 8080, "ip": "0.0.0.0", "protocol": "tcp"}]},
                {"ports": [{"internal": 80, "external": 8081}]},
            ),
            ({"ports": [{"internal": 80, "external": 8080, "ip": "0.0.0.0", "protocol": "tcp"}]}, {}),
            ({"capabilities": {"drops": ["ALL"], "adds": []}}, {"capabilities": {"adds": ["ALL"]}}),
            ({"memorySwap": 128}, {}),
            ({"user": "1"}, {"user": wire.UNKNOWN}),
        ],
    )
    def test_different_meanings_differ(self, present: dict[str, Any], wanted: dict[str, Any]) -> None:
        assert self.changed(present, wanted) == {*present}

    def test_refreshed_inputs_are_those_that_would_have_led_there(self) -> None:
        inputs = {"memory": 64, "restart": "always", "envs": ["A=1"], "__defaults": []}
        state = {"memory": 32, "restart": "always", "envs": ["A=1"], "hostname": "h"}
        assert refreshed_inputs(CONTAINER, inputs, state) == {**inputs, "memory": 32}
        assert refreshed_inputs(CONTAINER, {"tmpfs": {"/t": ""}}, {}) == {}


class TestEngineConfig:
    def test_only_what_is_asked_for_reaches_the_engine(self) -> None:
        assert engine_config({"image": IMAGE_ID, "restart": "no", "readOnly": False, "networkMode": "bridge"}) == {
            "Image": IMAGE_ID,
            "HostConfig": {
                "NetworkMode": "bridge",
                "Init": False,
                "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
            },
        }

    def test_units(self) -> None:
        host = engine_config(
            {
                "image": "i",
                "memory": 64,
                "memorySwap": -1,
                "shmSize": 1,
                "cpus": "1.5",
                "restart": "on-failure",
                "maxRetryCount": 3,
            }
        )["HostConfig"]
        assert (host["Memory"], host["MemorySwap"], host["ShmSize"], host["NanoCpus"]) == (
            64 << 20,
            -1,
            1 << 20,
            15 * 10**8,
        )
        assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}

    def test_mounts_volumes_ports_and_health(self) -> None:
        config = engine_config(
            {
                "image": "i",
                "mounts": [
                    {
                        "type": "bind",
                        "source": "/s",
                        "target": "/t",
                        "readOnly": True,
                        "bindOptions": {"propagation": "rprivate"},
                    },
                    {
                        "type": "volume",
                        "source": "v",
                        "target": "/v",
                        "volumeOptions": {"noCopy": True, "labels": [{"label": "a", "value": "b"}]},
                    },
                    {
                        "type": "tmpfs",
                        "target": "/w",
                        "tmpfsOptions": {"sizeBytes": 10, "mode": 0o1777},
                        "bindOptions": {"propagation": "shared"},
                    },
                ],
                "volumes": [
                    {"volumeName": "v", "containerPath": "/a", "readOnly": True},
                    {"hostPath": "/h", "containerPath": "/b"},
                    {"containerPath": "/anonymous"},
                    {"fromContainer": "other"},
                ],
                "ports": [{"internal": 80, "ip": "127.0.0.1", "external": 8080}, {"internal": 53, "protocol": "udp"}],
                "hosts": [{"host": "gw.test", "ip": "198.51.100.2"}],
                "healthcheck": {"tests": ["CMD", "x"], "interval": "2s", "retries": 3},
                "labels": [{"label": "a", "value": "b"}],
            }
        )
        host = config["HostConfig"]
        assert host["Mounts"] == [
            {
                "Type": "bind",
                "Source": "/s",
                "Target": "/t",
                "ReadOnly": True,
                "BindOptions": {"Propagation": "rprivate"},
            },
            {"Type": "volume", "Source": "v", "Target": "/v", "VolumeOptions": {"NoCopy": True, "Labels": {"a": "b"}}},
            {"Type": "tmpfs", "Target": "/w", "TmpfsOptions": {"SizeBytes": 10, "Mode": 0o1777}},
        ]
        assert (host["Binds"], host["VolumesFrom"]) == (["v:/a:ro", "/h:/b:rw"], ["other"])
        assert config["Volumes"] == {"/a": {}, "/b": {}, "/anonymous": {}}
        assert config["ExposedPorts"] == {"80/tcp": {}, "53/udp": {}}
        assert host["PortBindings"] == {
            "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}],
            "53/udp": [{"HostIp": "0.0.0.0", "HostPort": "0"}],
        }
        assert host["ExtraHosts"] == ["gw.test:198.51.100.2"]
        assert config["Healthcheck"] == {"Test": ["CMD", "x"], "Interval": 2 * 10**9, "Retries": 3}
        assert config["Labels"] == {"a": "b"}


def test_uploads_are_roots_and_readable_unless_they_say_otherwise(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"\x00from disk")
    packed = archive(
        [
            {"file": "/etc/a", "content": "text"},
            {"file": "b", "contentBase64": base64.b64encode(b"\xff").decode(), "executable": True},
            {
                "file": "/c",
                "source": str(source),
                "permissions": "0400",
                "executable": True,
                "owner": "7",
                "group": "8",
            },
        ]
    )
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        entries = [(e.name, e.mode, e.uid, e.gid, tar.extractfile(e).read()) for e in tar]  # type: ignore[union-attr]
    assert entries == [
        ("etc/a", 0o644, 0, 0, b"text"),
        ("b", 0o744, 0, 0, b"\xff"),
        ("c", 0o400, 7, 8, b"\x00from disk"),
    ]


class Log(EngineLog):
    def __init__(self) -> None:
        super().__init__("")
        self.warnings: list[str] = []

    def warning(self, urn: str, text: str) -> None:
        self.warnings.append(text)


class TestProvider:
    URN = f"urn:pulumi:dev::p::{CONTAINER.token}::app"

    def update(self, old: dict[str, Any], new: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        log = Log()
        request = provider_pb2.UpdateRequest(urn=self.URN, olds=wire.encode(old), news=wire.encode(new))
        return wire.decode(Provider(log).Update(request, RefusingContext()).properties), log.warnings

    def test_change_that_the_real_provider_does_not_carry_out_is_warned_of(self) -> None:
        old = {"image": IMAGE_ID, "tmpfs": {"/t": "size=1m"}, "hostname": "h", "id": "i"}
        state, warnings = self.update(old, {"image": IMAGE_ID, "tmpfs": {"/t": "size=2m"}})
        assert state == {**old, "tmpfs": {"/t": "size=2m"}}
        assert len(warnings) == 1
        assert "replace_on_changes=['tmpfs']" in warnings[0]

    def test_change_for_another_time_needs_no_engine_and_no_warning(self) -> None:
        state, warnings = self.update({"image": IMAGE_ID}, {"image": IMAGE_ID, "destroyGraceSeconds": 5})
        assert (state["destroyGraceSeconds"], warnings) == (5, [])

    def test_preview_tells_what_is_known_and_keeps_secrets(self) -> None:
        properties = wire.encode({"image": IMAGE_ID, "envs": ["A=hush"], "__defaults": []}, ["envs"])
        request = provider_pb2.CreateRequest(urn=self.URN, properties=properties, preview=True)
        answer = Provider(Log()).Create(request, RefusingContext()).properties
        state = wire.decode(answer)
        assert (state["image"], state["networkDatas"], state["hostname"]) == (IMAGE_ID, wire.UNKNOWN, wire.UNKNOWN)
        assert wire.secret_keys(answer) == {"envs"}
        assert "__defaults" not in state

    def test_secret_is_not_in_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DOCKER_HOST", NOBODY)
        properties = wire.encode({"image": "team/127.0.0.1", "name": "n", "envs": ["HOST=127.0.0.1"]}, ["envs"])
        request = provider_pb2.CreateRequest(urn=self.URN, properties=properties)
        with pytest.raises(AbortedError, match=r"'app': cannot connect to the Docker engine: .*\[secret\]") as caught:
            Provider(Log()).Create(request, RefusingContext())
        assert "127.0.0.1" not in str(caught.value)

    def test_lookup_by_id_is_refused(self) -> None:
        request = provider_pb2.ReadRequest(urn=self.URN, id="0123")
        with pytest.raises(AbortedError, match="cannot import"):
            Provider(Log()).Read(request, RefusingContext())


class TestProcess:
    @pytest.mark.parametrize("token", ["docker:index/network:Network", "docker:index/volume:Volume"])
    def test_name_is_made_up_and_kept(self, deaf: Driver, token: str) -> None:
        inputs, failures = deaf.check(token, {}, "data")
        assert failures == {}
        assert inputs["name"].removeprefix("data-").isalnum()
        assert len(inputs["name"]) == len("data-") + 7
        again, _ = deaf.check(token, {}, "renamed", inputs)
        assert again["name"] == inputs["name"]
        given, _ = deaf.check(token, {"name": "mine"}, "data", inputs)
        assert (given["name"], given["__defaults"]) == ("mine", [k for k in inputs["__defaults"] if k != "name"])

    def test_engine_that_does_not_answer_is_one_line(self, deaf: Driver) -> None:
        with pytest.raises(CallError, match=r"^docker:index/volume:Volume 'subject': cannot connect") as caught:
            deaf.create("docker:index/volume:Volume", {})
        assert "\n" not in str(caught.value)

    def test_settings_without_effect_here_are_refused(self, deaf: Driver) -> None:
        def failures(settings: dict[str, Any]) -> set[str]:
            request = provider_pb2.CheckRequest(news=wire.encode(settings))
            return {failure.property for failure in deaf.stub.CheckConfig(request).failures}

        assert failures({"host": NOBODY, "version": "5.2.0"}) == set()
        assert failures({"certPath": "/x"}) == {"certPath"}
        assert failures({"hots": "x"}) == {"hots"}

    def test_functions_are_refused_by_name(self, deaf: Driver) -> None:
        with pytest.raises(CallError, match="docker:index/getNetwork:getNetwork"):
            deaf._call("Invoke", provider_pb2.InvokeRequest(tok="docker:index/getNetwork:getNetwork"))
