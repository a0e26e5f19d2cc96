"""S3: objects whose content stands in the program."""

from typing import Any, ClassVar
from urllib.parse import urlencode

from offline.aws.errors import missing_is_fine, missing_is_gone
from offline.aws.registry import Invoke
from offline.aws.resource import Aws, Props, Resource
from offline.aws.services._tags import tag_list, tag_map


class BucketObjectv2(Resource):
    """An object of a bucket, with text as its content; its id is its key."""

    token = "aws:s3/bucketObjectv2:BucketObjectv2"
    backed_by = "moto: s3.put_object, put_object_tagging"
    force_new = frozenset({"bucket", "key"})
    defaults: ClassVar[dict[str, Any]] = {"contentType": "application/octet-stream"}
    volatile = frozenset({"versionId"})
    unsupported = frozenset(
        {
            "acl",
            "bucketKeyEnabled",
            "cacheControl",
            "checksumAlgorithm",
            "contentBase64",
            "contentDisposition",
            "contentEncoding",
            "contentLanguage",
            "forceDestroy",
            "kmsKeyId",
            "metadata",
            "objectLockLegalHoldStatus",
            "objectLockMode",
            "objectLockRetainUntilDate",
            "serverSideEncryption",
            "source",
            "sourceHash",
            "storageClass",
            "websiteRedirect",
        }
    )

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Puts the object with its tags."""
        self._put(aws, inputs)
        return inputs["key"], self.read(aws, inputs["key"], inputs)

    def read(self, aws: Aws, physical_id: str, state: Props, /) -> Props:
        """Returns what a head of the object shows, which is never its content, and its tags."""
        client, place = aws.client("s3"), {"Bucket": state["bucket"], "Key": physical_id}
        with missing_is_gone():
            head = client.head_object(**place)
            tags = tag_map(client.get_object_tagging(**place)["TagSet"])
        return {
            "arn": f"arn:{aws.partition}:s3:::{state['bucket']}/{physical_id}",
            "bucket": state["bucket"],
            "key": physical_id,
            "contentType": head["ContentType"],
            "etag": head["ETag"].strip('"'),
            "versionId": head.get("VersionId", ""),
            "tags": tags,
        }

    def update(self, aws: Aws, physical_id: str, state: Props, inputs: Props, /) -> Props:
        """Puts a new version if more than the tags changed."""
        if any(state.get(key) != inputs.get(key) for key in ("content", "contentType", "etag")):
            self._put(aws, inputs)
        else:
            self._tag(aws, inputs)
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, state: Props, /) -> None:
        """Deletes the object with all its versions."""
        client, bucket = aws.client("s3"), state["bucket"]
        with missing_is_fine():
            for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=physical_id):
                for version in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
                    if version["Key"] == physical_id:
                        client.delete_object(Bucket=bucket, Key=physical_id, VersionId=version["VersionId"])

    @staticmethod
    def _put(aws: Aws, inputs: Props) -> None:
        aws.client("s3").put_object(
            Bucket=inputs["bucket"],
            Key=inputs["key"],
            Body=str(inputs.get("content", "")).encode(),
            ContentType=inputs["contentType"],
            Tagging=urlencode(aws.tags_all(inputs)),
        )

    @staticmethod
    def _tag(aws: Aws, inputs: Props) -> None:
        client, tags = aws.client("s3"), aws.tags_all(inputs)
        place = {"Bucket": inputs["bucket"], "Key": inputs["key"]}
        if tags:
            client.put_object_tagging(**place, Tagging={"TagSet": tag_list(tags)})
        else:
            client.delete_object_tagging(**place)


RESOURCES: list[Resource] = [BucketObjectv2()]
INVOKES: dict[str, Invoke] = {}
