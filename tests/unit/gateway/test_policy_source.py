"""Where the policy comes from: a file, or an object in S3."""

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from egress_gateway import policy_source
from egress_gateway.policy_source import FileSource, S3Source, Watch, source_of

from tests.unit.gateway.rig import run


class Bucket:
    """As much of S3 as the source uses."""

    def __init__(self) -> None:
        self.text: bytes | None = b"one"
        self.failure: Exception | None = None
        self.sent = 0

    def get_object(self, *, Bucket: str, Key: str, IfNoneMatch: str | None = None) -> dict[str, Any]:  # noqa: N803
        assert (Bucket, Key) == ("bucket", "some/key.json")
        if self.failure:
            raise self.failure
        if self.text is None:
            raise error("NoSuchKey", 404)
        tag = f'"{hash(self.text)}"'
        if tag == IfNoneMatch:
            raise error("304", 304)
        self.sent += 1
        return {"Body": io.BytesIO(self.text), "ETag": tag}


def error(code: str, status: int) -> ClientError:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "GetObject")


def test_a_file_is_its_content_or_none(tmp_path: Path) -> None:
    source = source_of(str(tmp_path / "policy.json"))
    assert isinstance(source, FileSource)
    assert source.read() is None
    (tmp_path / "policy.json").write_bytes(b"one")
    assert source.read() == b"one"


def test_an_object_is_sent_only_when_it_has_changed() -> None:
    bucket = Bucket()
    source = S3Source("s3://bucket/some/key.json", bucket)
    assert [source.read(), source.read(), source.read()] == [b"one"] * 3
    assert bucket.sent == 1
    bucket.text = b"two"
    assert [source.read(), source.read()] == [b"two"] * 2
    assert bucket.sent == 2
    bucket.text = None
    assert source.read() is None
    bucket.text = b"two"
    assert source.read() == b"two"


@pytest.mark.parametrize(
    "failure", [error("SlowDown", 503), EndpointConnectionError(endpoint_url="x"), error("AccessDenied", 403)]
)
def test_a_bucket_that_does_not_answer_is_waited_for_and_not_for_ever(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Bucket()
    source = S3Source("s3://bucket/some/key.json", bucket)
    assert source.read() == b"one"
    bucket.failure = failure
    assert source.read() == b"one"
    monkeypatch.setattr(policy_source, "S3_GRACE_SECONDS", 0.0)
    assert source.read() is None
    bucket.failure = None
    assert source.read() == b"one"


def test_a_bucket_that_never_answered_has_no_policy() -> None:
    bucket = Bucket()
    bucket.failure = error("SlowDown", 503)
    assert S3Source("s3://bucket/some/key.json", bucket).read() is None


def test_a_change_is_told_once_and_soon(tmp_path: Path) -> None:
    told: list[bytes | None] = []
    path = tmp_path / "policy.json"
    watch = Watch(FileSource(path), told.append)

    async def work() -> None:
        await watch.look()
        await watch.look()
        running = asyncio.get_running_loop().create_task(watch.run())
        for text in (b"one", b"two"):
            path.write_bytes(text)
            async with asyncio.timeout(2):
                while told[-1] != text:  # noqa: ASYNC110 - what is tested is that the file is looked at
                    await asyncio.sleep(0.01)
        running.cancel()

    run(work())
    assert told == [None, b"one", b"two"]
    assert max(policy_source.FILE_SECONDS, policy_source.S3_SECONDS) < 2
