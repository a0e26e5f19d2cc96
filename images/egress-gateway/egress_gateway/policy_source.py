"""Where the policy comes from, and when it is another one."""

import asyncio
import errno
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from egress_gateway.aws import client

FILE_SECONDS = 0.5
S3_SECONDS = 1.5
# A bucket that cannot be reached for a moment does not close every tunnel; one that stays away does.
S3_GRACE_SECONDS = 60.0
_S3_SCHEME = "s3://"
_NOT_THERE = frozenset({"NoSuchKey", "NoSuchBucket", "404"})
_NOT_MODIFIED = "304"


class Source(Protocol):
    """A place that a policy's text is read from.

    Attributes:
        interval: Seconds between two looks.
    """

    interval: float

    def read(self) -> bytes | None:
        """The text now, None if there is none; blocks for as long as that takes."""


class FileSource:
    """A file, which whoever changes it replaces as a whole.

    Args:
        path: The file.
    """

    interval = FILE_SECONDS

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text: bytes | None = None

    def read(self) -> bytes | None:
        """The file's content; None if it cannot be read."""
        try:
            self._text = self._path.read_bytes()
        except OSError as error:
            # With no descriptor left nothing is known of the file, and clients must not be able to shut everybody out.
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                self._text = None
        return self._text


class S3Source:
    """An object in S3, asked for only if it has changed.

    Args:
        url: `s3://bucket/key`.
        s3: Client of S3; None for one with the gateway's own role.
    """

    interval = S3_SECONDS

    def __init__(self, url: str, s3: Any = None) -> None:
        self._bucket, _, self._key = url.removeprefix(_S3_SCHEME).partition("/")
        self._s3 = s3
        self._etag: str | None = None
        self._text: bytes | None = None
        self._answered = time.monotonic()

    def read(self) -> bytes | None:
        """The object's content.

        Returns:
            None if there is none, or if S3 has not answered for a minute; until then, what it was last.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        wanted = {"IfNoneMatch": self._etag} if self._etag else {}
        try:
            self._s3 = self._s3 or client("s3")
            answer = self._s3.get_object(Bucket=self._bucket, Key=self._key, **wanted)
            self._text, self._etag = answer["Body"].read(), answer["ETag"]
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in _NOT_THERE:
                self._text = self._etag = None
            elif code != _NOT_MODIFIED and error.response["ResponseMetadata"]["HTTPStatusCode"] != int(_NOT_MODIFIED):
                return self._failed()
        except BotoCoreError:
            return self._failed()
        self._answered = time.monotonic()
        return self._text

    def _failed(self) -> bytes | None:
        if time.monotonic() - self._answered > S3_GRACE_SECONDS:
            self._text = self._etag = None
        return self._text


def source_of(place: str) -> Source:
    """The source at a path or an `s3://` URL."""
    return S3Source(place) if place.startswith(_S3_SCHEME) else FileSource(Path(place))


class Watch:
    """Looks again and again, and says when the text is another one.

    Args:
        source: Where the text is.
        changed: Called with each new text; None if there is none any more.
    """

    def __init__(self, source: Source, changed: Callable[[bytes | None], None]) -> None:
        self._source, self._changed = source, changed
        self._seen: str | None = ""

    async def look(self) -> None:
        """Look once."""
        text = await asyncio.to_thread(self._source.read)
        seen = None if text is None else hashlib.sha256(text).hexdigest()
        if seen != self._seen:
            self._seen = seen
            self._changed(text)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(self._source.interval)
            await self.look()
