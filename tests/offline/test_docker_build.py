"""The stand-in for docker-build: what needs no Docker engine first, then builds on a real one."""

import os
import uuid
from pathlib import Path
from typing import Any

import boto3
import docker
import docker.errors
import pytest
from moto import mock_aws
from pulumi.runtime.proto import provider_pb2

from offline.aws import wire
from offline.docker_build import ecr, image, index, registry_api
from offline.docker_build.build import Builder, BuildError, arguments, failure_of, step_of
from offline.docker_build.context_hash import hash_context
from offline.docker_build.diff import changed_inputs, replacing
from offline.docker_build.engine_log import EngineLog
from offline.docker_build.inputs import IMAGE, INDEX, checked
from offline.docker_build.provider import Provider
from offline.docker_build.reference import ECR_REGISTRY_VARIABLE, EcrHost, host_of, is_qualified, local_name, parse
from tests.offline.aws_driver import CallError, RefusingContext

ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
URN = f"urn:pulumi:dev::p::{IMAGE}::app"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "main.py").write_text("print('hello')\n")
    (folder / "src" / "main.py").chmod(0o644)
    return folder


def image_inputs(folder: Path, **more: Any) -> dict[str, Any]:
    return {
        "push": True,
        "tags": [f"{ECR}/team/app:v1"],
        "context": {"location": str(folder)},
        "dockerfile": {"inline": "FROM scratch\nCOPY . /\n"},
        **more,
    }


class TestReference:
    @pytest.mark.parametrize(
        ("text", "host", "repository", "tag", "digest"),
        [
            ("debian", "docker.io", "library/debian", "latest", ""),
            ("team/app:1.0", "docker.io", "team/app", "1.0", ""),
            (f"{ECR}/team/app:v1", ECR, "team/app", "v1", ""),
            ("127.0.0.1:5500/app@sha256:ab", "127.0.0.1:5500", "app", "", "sha256:ab"),
            ("localhost/app:x@sha256:ab", "localhost", "app", "x", "sha256:ab"),
        ],
    )
    def test_parts(self, text: str, host: str, repository: str, tag: str, digest: str) -> None:
        reference = parse(text)
        assert (reference.host, reference.repository, reference.tag, reference.digest) == (
            host,
            repository,
            tag,
            digest,
        )

    @pytest.mark.parametrize("text", ["", "UPPER", "a b", "app:", "app:-x", "host.example/", "-app", "app:a b"])
    def test_no_image_name(self, text: str) -> None:
        with pytest.raises(ValueError, match="is no image name"):
            parse(text)

    def test_ecr_is_told_by_its_host(self) -> None:
        assert parse(f"{ECR}/app:1").ecr == EcrHost("123456789012", "eu-west-1")
        assert parse(f"x{ECR}/app:1").ecr is None
        assert parse("public.ecr.aws/app:1").ecr is None

    def test_only_ecr_goes_to_the_local_registry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(ECR_REGISTRY_VARIABLE, "127.0.0.1:5500")
        assert local_name(parse(f"{ECR}/team/app:1")) == "127.0.0.1:5500/team/app"
        assert local_name(parse("ghcr.io/team/app:1")) == "ghcr.io/team/app"
        monkeypatch.delenv(ECR_REGISTRY_VARIABLE)
        assert local_name(parse(f"{ECR}/team/app:1")) == f"{ECR}/team/app"

    @pytest.mark.parametrize(
        ("text", "complete"),
        [("team/app:1", False), ("debian", False), ("docker.io/debian:1", False), ("docker.io/library/debian:1", True)]
        + [(f"{host}/team/app:1", True) for host in (ECR, "localhost", "127.0.0.1:5500")],
    )
    def test_complete_name(self, text: str, complete: bool) -> None:
        assert is_qualified(text) is complete

    @pytest.mark.parametrize("address", [ECR, f"https://{ECR}", f"{ECR}/team/app", f"https://{ECR}/v2/"])
    def test_host_of_a_registrys_address(self, address: str) -> None:
        assert host_of(address) == ECR


class TestContextHash:
    def digest(self, context: Path, dockerfile: str = "FROM scratch") -> str:
        return hash_context(str(context), dockerfile, None)

    def test_times_do_not_count(self, context: Path) -> None:
        before = self.digest(context)
        os.utime(context / "src" / "main.py", (1, 1))
        os.utime(context / "src", (1, 1))
        assert self.digest(context) == before

    def test_everything_else_does(self, context: Path) -> None:
        main = context / "src" / "main.py"
        seen = [self.digest(context), self.digest(context, "FROM scratch\n")]
        main.chmod(0o755)
        seen.append(self.digest(context))
        main.write_text("print('bye')\n")
        seen.append(self.digest(context))
        (context / "link").symlink_to("src")
        seen.append(self.digest(context))
        (context / "link").unlink()
        (context / "link").symlink_to("src/main.py")
        seen.append(self.digest(context))
        main.rename(context / "src" / "other.py")
        seen.append(self.digest(context))
        (context / "empty").mkdir()
        seen.append(self.digest(context))
        assert len(set(seen)) == len(seen)

    def test_ignored_files_do_not_count(self, context: Path) -> None:
        (context / ".dockerignore").write_text("# logs\n*.log\n!keep.log\n")
        before = self.digest(context)
        (context / "noise.log").write_text("noise")
        assert self.digest(context) == before
        (context / "keep.log").write_text("kept")
        assert self.digest(context) != before

    def test_a_dockerfiles_own_ignore_file_wins(self, context: Path) -> None:
        dockerfile = context / "app.Dockerfile"
        (context / ".dockerignore").write_text("src\n")
        (context / "app.Dockerfile.dockerignore").write_text("nothing\n")
        before = hash_context(str(context), "FROM scratch", dockerfile)
        (context / "src" / "main.py").write_text("changed")
        assert hash_context(str(context), "FROM scratch", dockerfile) != before


class TestCheck:
    def failures(self, token: str, inputs: dict[str, Any]) -> dict[str, str]:
        return {failure.path: failure.reason for failure in checked(token, inputs)[1]}

    def test_good_inputs_pass(self, context: Path) -> None:
        assert self.failures(IMAGE, image_inputs(context)) == {}

    def test_undeclared_inputs_are_refused(self, context: Path) -> None:
        inputs = image_inputs(context, tag="x", context={"location": str(context), "path": "x"})
        assert set(self.failures(IMAGE, inputs)) == {"tag", "context.path"}

    @pytest.mark.parametrize(
        ("more", "path", "reason"),
        [
            ({"tags": []}, "tags", "at least one tag"),
            ({"tags": ["UPPER"]}, "tags[0]", "is no image name"),
            ({"platforms": ["linux/amd64", "linux/arm64"]}, "platforms", "one platform at a time"),
            ({"builder": {"name": "cloud"}}, "builder.name", "leave it out"),
            ({"exports": [{"oci": {"dest": "x"}}]}, "exports", "'oci' is not covered"),
            ({"context": {"location": "/no/such/folder"}}, "context.location", "is no folder"),
            ({"dockerfile": {"inline": "FROM a", "location": "b"}}, "dockerfile", "both inline and location"),
            ({"dockerfile": {"location": "/no/Dockerfile"}}, "dockerfile", "/no/Dockerfile"),
            ({"dockerfile": {"inline": " \n"}}, "dockerfile", "at least a FROM"),
        ],
    )
    def test_bad_input_is_named_with_its_rule(
        self, context: Path, more: dict[str, Any], path: str, reason: str
    ) -> None:
        failures = self.failures(IMAGE, image_inputs(context, **more))
        assert list(failures) == [path]
        assert reason in failures[path]

    def test_unknown_inputs_pass(self, context: Path) -> None:
        inputs = image_inputs(context, tags=[wire.UNKNOWN], dockerfile={"inline": wire.UNKNOWN})
        assert self.failures(IMAGE, inputs) == {}
        assert self.failures(INDEX, {"tag": wire.UNKNOWN, "sources": wire.UNKNOWN}) == {}

    def test_disabled_exports_and_synonyms_pass(self, context: Path) -> None:
        exports = [{"oci": {"dest": "x"}, "disabled": True}, {"registry": {}}, {"cacheonly": {}}]
        assert self.failures(IMAGE, image_inputs(context, exports=exports)) == {}

    def test_index(self) -> None:
        failures = self.failures(INDEX, {"tag": "app:1", "sources": ["app@sha256:1", "BAD"]})
        assert list(failures) == ["sources[1]"]
        assert "sources" in self.failures(INDEX, {"tag": "app:1"})

    def test_other_types_are_named(self) -> None:
        with pytest.raises(LookupError, match="docker-build:index:Builder"):
            checked("docker-build:index:Builder", {})


class TestDiff:
    def test_a_new_password_is_no_change(self) -> None:
        def login(username: str, password: str) -> dict[str, Any]:
            entry = {"address": "a", "username": username, "password": password}
            return {"registries": [entry], "registry": entry}

        assert changed_inputs(login("u", "1"), login("u", "2")) == set()
        assert changed_inputs(login("u", "1"), login("v", "1")) == {"registries", "registry"}

    def test_secrets_count_unless_the_program_says_not(self) -> None:
        old, new = {"secrets": {"a": "1", "b": "1"}}, {"secrets": {"a": "2", "b": "1"}}
        assert changed_inputs(old, new) == {"secrets"}
        ignoring: dict[str, Any] = {"ignoreSecretsInDiffCalculation": ["a"]}
        assert changed_inputs(old | ignoring, new | ignoring) == set()
        assert changed_inputs(ignoring, new | ignoring) == {"secrets"}

    def test_unknown_is_a_change_and_empty_is_absent(self) -> None:
        assert changed_inputs({"target": "x"}, {"target": wire.UNKNOWN}) == {"target"}
        assert changed_inputs({}, {"labels": {}, "noCache": False}) == set()

    def test_only_another_tag_of_an_index_replaces(self) -> None:
        assert replacing(INDEX, {"tag", "sources"}) == {"tag"}
        assert replacing(IMAGE, {"tags", "contextHash"}) == set()


class TestBuildCommand:
    def test_options(self) -> None:
        inputs = {
            "buildArgs": {"B": "2", "A": "x y"},
            "labels": {"l": "1"},
            "target": "final",
            "network": "none",
            "addHosts": ["a:1.2.3.4"],
            "platforms": ["linux/amd64"],
            "noCache": True,
            "pull": False,
            "ssh": [{"id": "default"}, {"id": "k", "paths": ["/a", "/b"]}],
        }
        assert arguments(inputs) == [
            *("--build-arg", "A=x y", "--build-arg", "B=2", "--label", "l=1", "--target", "final"),
            *("--network", "none", "--add-host", "a:1.2.3.4", "--platform", "linux/amd64", "--no-cache"),
            *("--ssh", "default", "--ssh", "k=/a,/b"),
        ]

    def test_steps_and_failures_are_picked_out(self) -> None:
        assert step_of("#7 [2/3] RUN x") == "[2/3] RUN x"
        assert step_of("#7 0.1 output") is None
        assert failure_of(["#1 DONE", "------", " > [2/3] RUN x:", "------", "exit code: 1"]) == [
            " > [2/3] RUN x:",
            "exit code: 1",
        ]
        assert failure_of(["one", "two"]) == ["one", "two"]


class SilentLog(EngineLog):
    def __init__(self) -> None:
        super().__init__("")
        self.warnings: list[str] = []

    def warning(self, urn: str, text: str) -> None:
        self.warnings.append(text)


class TestProvider:
    def test_unchanged_is_no_difference_and_a_changed_file_is_one(self, context: Path) -> None:
        inputs = image_inputs(context)
        request = provider_pb2.DiffRequest(
            urn=URN,
            old_inputs=wire.encode(inputs),
            news=wire.encode(inputs),
            olds=wire.encode({**inputs, "contextHash": image.context_hash(inputs)}),
        )
        provider = Provider(SilentLog())
        assert provider.Diff(request, RefusingContext()).changes == provider_pb2.DiffResponse.DIFF_NONE
        (context / "src" / "main.py").write_text("changed")
        answer = provider.Diff(request, RefusingContext())
        assert (list(answer.diffs), list(answer.replaces)) == (["contextHash"], [])

    @pytest.mark.parametrize(
        ("more", "warnings"),
        [({"buildOnPreview": False}, 0), ({"tags": [wire.UNKNOWN]}, 1)],
    )
    def test_preview_that_does_not_build_knows_no_outputs(
        self, context: Path, more: dict[str, Any], warnings: int
    ) -> None:
        log = SilentLog()
        request = provider_pb2.CreateRequest(
            urn=URN, properties=wire.encode(image_inputs(context, **more)), preview=True
        )
        state = wire.decode(Provider(log).Create(request, RefusingContext()).properties)
        assert {key: state[key] for key in image.COMPUTED} == dict.fromkeys(image.COMPUTED, wire.UNKNOWN)
        assert len(log.warnings) == warnings

    def test_secrets_stay_secret(self, context: Path) -> None:
        inputs = image_inputs(context, secrets={"token": "hush"}, buildOnPreview=False)
        request = provider_pb2.CreateRequest(urn=URN, properties=wire.encode(inputs, ["secrets"]), preview=True)
        assert wire.secret_keys(Provider(SilentLog()).Create(request, RefusingContext()).properties) == {"secrets"}


@pytest.fixture
def emulated_ecr(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("ecr", region_name="eu-west-1")
        client.create_repository(repositoryName="fixed", imageTagMutability="IMMUTABLE")
        client.create_repository(repositoryName="loose")
        yield client


class TestEmulatedEcr:
    FIRST, SECOND = (
        registry_api.Manifest(f'{{"schemaVersion": 2, "layers": [], "config": {{"digest": "{n}"}}}}'.encode(), "m/t")
        for n in (1, 2)
    )

    def test_no_repository(self, emulated_ecr: Any) -> None:
        with pytest.raises(ecr.PushRefusedError, match="'absent' does not exist"):
            ecr.check_push(emulated_ecr, parse(f"{ECR}/absent:1"), None)

    def test_immutable_tag_takes_no_other_content(self, emulated_ecr: Any) -> None:
        reference = parse(f"{ECR}/fixed:1")
        ecr.check_push(emulated_ecr, reference, None)
        ecr.record(emulated_ecr, reference, self.FIRST)
        assert ecr.tagged_digest(emulated_ecr, reference) == self.FIRST.digest
        ecr.check_push(emulated_ecr, reference, self.FIRST.digest)
        with pytest.raises(ecr.PushRefusedError, match="'1' already exists in the 'fixed' repository"):
            ecr.check_push(emulated_ecr, reference, self.SECOND.digest)

    def test_mutable_tag_moves_on(self, emulated_ecr: Any) -> None:
        reference = parse(f"{ECR}/loose:1")
        ecr.record(emulated_ecr, reference, self.FIRST)
        ecr.check_push(emulated_ecr, reference, self.SECOND.digest)
        ecr.record(emulated_ecr, reference, self.SECOND)
        assert ecr.tagged_digest(emulated_ecr, reference) == self.SECOND.digest

    def test_forgotten_tag_is_gone_and_forgetting_twice_is_fine(self, emulated_ecr: Any) -> None:
        reference = parse(f"{ECR}/fixed:1")
        ecr.record(emulated_ecr, reference, self.FIRST)
        ecr.forget(emulated_ecr, reference)
        ecr.forget(emulated_ecr, reference)
        ecr.forget(emulated_ecr, parse(f"{ECR}/absent:1"))
        assert ecr.tagged_digest(emulated_ecr, reference) is None


@pytest.fixture
def repository(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A repository in an emulated ECR, in front of the real registry that the set-up started."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    name = f"tests/{uuid.uuid4().hex}"
    client = boto3.client("ecr", region_name="eu-west-1", endpoint_url=moto_url)
    client.create_repository(repositoryName=name, imageTagMutability="IMMUTABLE")
    return name


def make(inputs: dict[str, Any], *, preview: bool = False, lines: list[str] | None = None) -> dict[str, Any]:
    return image.make(Builder(), inputs, [], preview=preview, on_line=(lines if lines is not None else []).append)


@pytest.mark.containers
class TestRealEngine:
    def test_pushed_image_is_in_registry_and_ecr_under_one_digest(self, context: Path, repository: str) -> None:
        tag = f"{ECR}/{repository}:v1"
        lines: list[str] = []
        outputs = make(image_inputs(context, tags=[tag]), lines=lines)
        digest = outputs["digest"]
        assert outputs["ref"] == f"{tag}@{digest}"
        manifest = registry_api.get_manifest(os.environ[ECR_REGISTRY_VARIABLE], repository, "v1")
        assert manifest is not None
        assert manifest.digest == digest
        emulated = ecr.client(EcrHost("123456789012", "eu-west-1"))
        assert ecr.tagged_digest(emulated, parse(tag)) == digest
        assert any(step_of(line) for line in lines)
        assert image.present_tags([tag, f"{ECR}/{repository}:v2"], digest) == [tag]

    def test_same_content_again_is_fine_and_other_content_is_refused(self, context: Path, repository: str) -> None:
        inputs = image_inputs(context, tags=[f"{ECR}/{repository}:v1"])
        first = make(inputs)
        assert make(inputs) == first
        (context / "src" / "main.py").write_text("other content")
        with pytest.raises(ecr.PushRefusedError, match="immutable"):
            make(inputs)

    def test_tag_of_another_image_is_not_present(self, context: Path, repository: str) -> None:
        tag = f"{ECR}/{repository}:v1"
        make(image_inputs(context, tags=[tag]))
        assert image.present_tags([tag], f"sha256:{0:064}") == []

    def test_removed_image_is_gone_and_can_be_made_again(self, context: Path, repository: str) -> None:
        inputs = image_inputs(context, tags=[f"{ECR}/{repository}:v1"])
        first = make(inputs)
        assert image.remove(inputs["tags"], first["digest"]) == []
        assert image.present_tags(inputs["tags"], first["digest"]) == []
        assert make(inputs) == first

    def test_registry_that_lost_an_image_gets_it_again(self, context: Path, repository: str) -> None:
        inputs = image_inputs(context, tags=[f"{ECR}/{repository}:v1"])
        first = make(inputs)
        registry_api.delete_manifest(os.environ[ECR_REGISTRY_VARIABLE], repository, first["digest"])
        assert image.present_tags(inputs["tags"], first["digest"]) == []
        (context / "src" / "main.py").write_text("other content")
        second = make(inputs)
        assert second["digest"] != first["digest"]
        assert image.present_tags(inputs["tags"], second["digest"]) == inputs["tags"]

    def test_preview_builds_and_pushes_nothing(self, context: Path, repository: str) -> None:
        inputs = image_inputs(context, tags=[f"{ECR}/{repository}:v1"])
        assert make(inputs, preview=True)["digest"] == ""
        assert registry_api.get_manifest(os.environ[ECR_REGISTRY_VARIABLE], repository, "v1") is None

    def test_failing_build_tells_why_in_one_error(self, context: Path) -> None:
        base = os.environ["AGENT_ENVIRONMENTS_BASE_IMAGE"]
        inputs = image_inputs(context, dockerfile={"inline": f"FROM {base}\nRUN echo because >&2; exit 9\n"})
        with pytest.raises(BuildError, match=r"docker build: exit code 1\n(.*\n)*.*because(.*\n)*.*exit code: 9"):
            make(inputs)

    def test_loaded_image_is_in_the_engine_and_nowhere_else(self, context: Path, repository: str) -> None:
        local, qualified = f"{repository}:v1", f"{ECR}/{repository}:v1"
        built = make(image_inputs(context, push=False, load=True, tags=[local, qualified]))
        engine = docker.from_env()
        try:
            found = engine.images.get(local)
            assert found.id == built["digest"]
            assert {local, qualified} <= set(found.tags)
            # A complete name gets the digest that its registry would have; the engine itself goes by tag and id.
            assert built["ref"] == f"{qualified}@{built['digest']}"
            assert make(image_inputs(context, push=False, load=True, tags=[local]))["ref"] == local
            assert registry_api.get_manifest(os.environ[ECR_REGISTRY_VARIABLE], repository, "v1") is None
        finally:
            for tag in (local, qualified):
                engine.images.remove(tag)
            engine.close()

    def test_preview_loads_nothing(self, context: Path, repository: str) -> None:
        make(image_inputs(context, push=False, load=True, tags=[f"{repository}:v1"]), preview=True)
        with pytest.raises(docker.errors.ImageNotFound):
            docker.from_env().images.get(f"{repository}:v1")

    def test_loaded_image_outlives_its_resource(self, context: Path, repository: str) -> None:
        inputs = image_inputs(context, push=False, exports=[{"docker": {}}], tags=[f"{repository}:v1"])
        log = SilentLog()
        created = Provider(log).Create(
            provider_pb2.CreateRequest(urn=URN, properties=wire.encode(inputs)), RefusingContext()
        )
        Provider(log).Delete(
            provider_pb2.DeleteRequest(urn=URN, id=created.id, properties=created.properties), RefusingContext()
        )
        engine = docker.from_env()
        assert engine.images.get(f"{repository}:v1").id == wire.decode(created.properties)["digest"]
        engine.images.remove(f"{repository}:v1")
        engine.close()

    def test_platform_that_the_engine_cannot_run_is_refused(self, context: Path) -> None:
        with pytest.raises(BuildError, match=r"'linux/s390x': this Docker engine builds .*linux/"):
            make(image_inputs(context, platforms=["linux/s390x"]))

    def test_build_secret_reaches_the_step_and_not_the_image(self, context: Path, repository: str) -> None:
        base = os.environ["AGENT_ENVIRONMENTS_BASE_IMAGE"]
        text = f"FROM {base}\nRUN --mount=type=secret,id=token test $(wc -c </run/secrets/token) = 4\n"
        inputs = image_inputs(
            context, tags=[f"{ECR}/{repository}:v1"], dockerfile={"inline": text}, secrets={"token": "hush"}
        )
        outputs = make(inputs)
        manifest = registry_api.get_manifest(os.environ[ECR_REGISTRY_VARIABLE], repository, outputs["digest"])
        assert manifest is not None
        config = manifest.content["config"]["digest"]
        assert b"hush" not in registry_api.get_blob(os.environ[ECR_REGISTRY_VARIABLE], repository, config)

    def test_index_joins_images(self, context: Path, repository: str) -> None:
        source = make(image_inputs(context, tags=[f"{ECR}/{repository}:v1"]))
        tag = f"{ECR}/{repository}:all"
        outputs = index.make({"tag": tag, "sources": [source["ref"]]})
        made = registry_api.get_manifest(os.environ[ECR_REGISTRY_VARIABLE], repository, "all")
        assert made is not None
        assert outputs["ref"] == f"{tag}@{made.digest}"
        assert [entry["digest"] for entry in made.content["manifests"]] == [source["digest"]]
        assert index.make({"tag": tag, "sources": [source["ref"]]}) == outputs
        with pytest.raises(BuildError, match="there is no such image"):
            index.make({"tag": tag, "sources": [f"{ECR}/{repository}:absent"]})

    def test_provider_reports_a_refused_push_with_the_resources_name(self, context: Path, repository: str) -> None:
        inputs = image_inputs(context, tags=[f"{ECR}/absent-{repository}:v1"])
        request = provider_pb2.CreateRequest(urn=URN, properties=wire.encode(inputs))
        with pytest.raises(CallError, match=rf"^{IMAGE} 'app': .*does not exist"):
            Provider(SilentLog()).Create(request, RefusingContext())
