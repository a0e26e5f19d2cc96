"""S3: buckets and the settings that are resources of their own."""

from abc import abstractmethod
from typing import Any, ClassVar

from offline.aws.errors import code_of, missing_is_fine, missing_is_gone
from offline.aws.registry import Invoke
from offline.aws.resource import Aws, Props, Resource
from offline.aws.services._gone import gone_if
from offline.aws.services._s3_lifecycle import rules_from_api, rules_to_api
from offline.aws.services._structure import Fields, from_api, to_api
from offline.aws.services._tags import tag_list, tag_map

# https://docs.aws.amazon.com/general/latest/gr/s3.html: the hosted zones of the website endpoints.
_HOSTED_ZONES = {
    "eu-central-1": "Z21DNDUVLTQW6Q",
    "eu-west-1": "Z1BKCTXD74EZPE",
    "us-east-1": "Z3AQBSTGFYJSTF",
    "us-west-2": "Z3BJ6K6RIION7M",
}
_PUBLIC_ACCESS: Fields = {
    "blockPublicAcls": "BlockPublicAcls",
    "blockPublicPolicy": "BlockPublicPolicy",
    "ignorePublicAcls": "IgnorePublicAcls",
    "restrictPublicBuckets": "RestrictPublicBuckets",
}
_ENCRYPTION_RULE: Fields = {
    "applyServerSideEncryptionByDefault": (
        "ApplyServerSideEncryptionByDefault",
        {"sseAlgorithm": "SSEAlgorithm", "kmsMasterKeyId": "KMSMasterKeyID"},
    ),
    "bucketKeyEnabled": "BucketKeyEnabled",
}


class Bucket(Resource):
    """A bucket; its id is its name."""

    token = "aws:s3/bucket:Bucket"
    backed_by = "moto: s3.create_bucket, put_bucket_tagging"
    force_new = frozenset({"bucket", "objectLockEnabled"})
    name_property = "bucket"
    name_limit = 63
    defaults: ClassVar[dict[str, Any]] = {"forceDestroy": False}
    # All but the last three are resources of their own since version 4 of the real provider.
    unsupported = frozenset(
        {
            "accelerationStatus",
            "acl",
            "corsRules",
            "grants",
            "lifecycleRules",
            "logging",
            "objectLockConfiguration",
            "policy",
            "replicationConfiguration",
            "requestPayer",
            "serverSideEncryptionConfiguration",
            "versioning",
            "website",
            "bucketNamespace",
            "bucketPrefix",
        }
    )

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Makes the bucket in the region, then tags it."""
        client, name = aws.client("s3"), inputs["bucket"]
        elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": aws.region}}
        client.create_bucket(
            Bucket=name,
            ObjectLockEnabledForBucket=bool(inputs.get("objectLockEnabled")),
            **({} if aws.region == "us-east-1" else elsewhere),
        )
        try:
            self._tag(aws, name, inputs)
            return name, self.read(aws, name, inputs)
        except Exception:
            client.delete_bucket(Bucket=name)
            raise

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the bucket's names and tags."""
        client = aws.client("s3")
        with missing_is_gone():
            client.head_bucket(Bucket=physical_id)
        try:
            tags = tag_map(client.get_bucket_tagging(Bucket=physical_id)["TagSet"])
        except Exception as error:
            if code_of(error) != "NoSuchTagSet":
                raise
            tags = {}
        return {
            "arn": f"arn:{aws.partition}:s3:::{physical_id}",
            "bucket": physical_id,
            "bucketDomainName": f"{physical_id}.s3.amazonaws.com",
            "bucketRegion": aws.region,
            "bucketRegionalDomainName": f"{physical_id}.s3.{aws.region}.amazonaws.com",
            "hostedZoneId": _HOSTED_ZONES.get(aws.region),
            "tags": tags,
        }

    def update(self, aws: Aws, physical_id: str, _state: Props, inputs: Props, /) -> Props:
        """Changes the tags; the rest is a setting of its own or replaces the bucket."""
        self._tag(aws, physical_id, inputs)
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, state: Props, /) -> None:
        """Deletes the bucket; with `forceDestroy` all its objects first, else AWS refuses while it has any."""
        client = aws.client("s3")
        with missing_is_fine():
            if state.get("forceDestroy"):
                for page in client.get_paginator("list_object_versions").paginate(Bucket=physical_id):
                    versions = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
                    objects = [{"Key": v["Key"], "VersionId": v["VersionId"]} for v in versions]
                    if objects:
                        client.delete_objects(Bucket=physical_id, Delete={"Objects": objects, "Quiet": True})
            client.delete_bucket(Bucket=physical_id)

    @staticmethod
    def _tag(aws: Aws, name: str, inputs: Props) -> None:
        tags = aws.tags_all(inputs)
        if tags:
            aws.client("s3").put_bucket_tagging(Bucket=name, Tagging={"TagSet": tag_list(tags)})
        else:
            aws.client("s3").delete_bucket_tagging(Bucket=name)


class BucketSetting(Resource):
    """A setting of a bucket that is put, read and deleted as a whole; its id is the bucket's name."""

    force_new = frozenset({"bucket"})
    # A bucket has each setting once: the old one, deleted last, would take the new one with it.
    delete_before_replace = True
    taggable = False
    missing_codes: ClassVar[tuple[str, ...]] = ()
    """AWS's error codes for a bucket that has no such setting, besides the usual ones."""

    def create(self, aws: Aws, inputs: Props, /) -> tuple[str, Props]:
        """Puts the setting."""
        self.put(aws, inputs["bucket"], inputs)
        return inputs["bucket"], self.read(aws, inputs["bucket"], inputs)

    def read(self, aws: Aws, physical_id: str, _state: Props, /) -> Props:
        """Returns the setting."""
        with gone_if(*self.missing_codes):
            return {"bucket": physical_id, **self.get(aws.client("s3"), physical_id)}

    def update(self, aws: Aws, physical_id: str, _state: Props, inputs: Props, /) -> Props:
        """Puts the setting anew."""
        self.put(aws, physical_id, inputs)
        return self.read(aws, physical_id, inputs)

    def delete(self, aws: Aws, physical_id: str, state: Props, /) -> None:
        """Takes the setting off the bucket."""
        with missing_is_fine(*self.missing_codes):
            self.remove(aws.client("s3"), physical_id, state)

    @abstractmethod
    def put(self, aws: Aws, bucket: str, inputs: Props, /) -> None:
        """Writes the setting."""

    @abstractmethod
    def get(self, client: Any, bucket: str, /) -> Props:
        """Returns the setting's properties."""

    @abstractmethod
    def remove(self, client: Any, bucket: str, state: Props, /) -> None:
        """Removes the setting."""


class BucketPublicAccessBlock(BucketSetting):
    """What of a bucket can never be public."""

    token = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
    backed_by = "moto: s3.put_public_access_block"
    defaults: ClassVar[dict[str, Any]] = dict.fromkeys(_PUBLIC_ACCESS, False)
    missing_codes = ("NoSuchPublicAccessBlockConfiguration",)

    def put(self, aws: Aws, bucket: str, inputs: Props, /) -> None:
        """Writes the four switches."""
        switches = {key: bool(inputs.get(key)) for key in _PUBLIC_ACCESS}
        aws.client("s3").put_public_access_block(
            Bucket=bucket, PublicAccessBlockConfiguration=to_api(_PUBLIC_ACCESS, switches)
        )

    def get(self, client: Any, bucket: str, /) -> Props:
        """Returns the four switches."""
        found = client.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        return from_api(_PUBLIC_ACCESS, found)

    def remove(self, client: Any, bucket: str, state: Props, /) -> None:
        """Removes the block, unless it is to be left behind."""
        if not state.get("skipDestroy"):
            client.delete_public_access_block(Bucket=bucket)


class BucketServerSideEncryptionConfiguration(BucketSetting):
    """How objects are encrypted that do not say it themselves."""

    token = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    backed_by = "moto: s3.put_bucket_encryption"
    unsupported = frozenset({"expectedBucketOwner"})
    missing_codes = ("ServerSideEncryptionConfigurationNotFoundError",)

    def put(self, aws: Aws, bucket: str, inputs: Props, /) -> None:
        """Writes the rules."""
        rules = [to_api(_ENCRYPTION_RULE, rule) for rule in inputs["rules"]]
        aws.client("s3").put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": rules})

    def get(self, client: Any, bucket: str, /) -> Props:
        """Returns the rules."""
        found = client.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
        return {"rules": [from_api(_ENCRYPTION_RULE, rule) for rule in found["Rules"]]}

    def remove(self, client: Any, bucket: str, _state: Props, /) -> None:
        """Removes the rules; AWS falls back to its own."""
        client.delete_bucket_encryption(Bucket=bucket)


class BucketVersioning(BucketSetting):
    """Whether a bucket keeps old versions; once it did, it can only be suspended."""

    token = "aws:s3/bucketVersioning:BucketVersioning"
    backed_by = "moto: s3.put_bucket_versioning"
    unsupported = frozenset({"expectedBucketOwner", "mfa"})

    def put(self, aws: Aws, bucket: str, inputs: Props, /) -> None:
        """Writes the status; `Disabled` is what a bucket has that was never versioned, and cannot be written."""
        status = inputs["versioningConfiguration"]["status"]
        if status != "Disabled":
            aws.client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})

    def get(self, client: Any, bucket: str, /) -> Props:
        """Returns the status."""
        status = client.get_bucket_versioning(Bucket=bucket).get("Status", "Disabled")
        return {"versioningConfiguration": {"status": status}}

    def remove(self, client: Any, bucket: str, state: Props, /) -> None:
        """Suspends versioning."""
        if (state.get("versioningConfiguration") or {}).get("status") == "Enabled":
            client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})


class BucketLifecycleConfiguration(BucketSetting):
    """When objects and old versions are deleted or moved."""

    token = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
    backed_by = "moto: s3.put_bucket_lifecycle_configuration"
    unsupported = frozenset({"expectedBucketOwner", "timeouts", "transitionDefaultMinimumObjectSize"})

    def put(self, aws: Aws, bucket: str, inputs: Props, /) -> None:
        """Writes the rules."""
        aws.client("s3").put_bucket_lifecycle_configuration(
            Bucket=bucket, LifecycleConfiguration={"Rules": rules_to_api(inputs.get("rules") or [])}
        )

    def get(self, client: Any, bucket: str, /) -> Props:
        """Returns the rules."""
        return {"rules": rules_from_api(client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"])}

    def remove(self, client: Any, bucket: str, _state: Props, /) -> None:
        """Removes the rules."""
        client.delete_bucket_lifecycle(Bucket=bucket)


class BucketOwnershipControls(BucketSetting):
    """Who owns the objects that others write into a bucket."""

    token = "aws:s3/bucketOwnershipControls:BucketOwnershipControls"
    backed_by = "moto: s3.put_bucket_ownership_controls"
    missing_codes = ("OwnershipControlsNotFoundError",)

    def put(self, aws: Aws, bucket: str, inputs: Props, /) -> None:
        """Writes the rule."""
        rule = {"ObjectOwnership": inputs["rule"]["objectOwnership"]}
        aws.client("s3").put_bucket_ownership_controls(Bucket=bucket, OwnershipControls={"Rules": [rule]})

    def get(self, client: Any, bucket: str, /) -> Props:
        """Returns the rule."""
        found = client.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"][0]
        return {"rule": {"objectOwnership": found["ObjectOwnership"]}}

    def remove(self, client: Any, bucket: str, _state: Props, /) -> None:
        """Removes the rule."""
        client.delete_bucket_ownership_controls(Bucket=bucket)


RESOURCES: list[Resource] = [
    Bucket(),
    BucketPublicAccessBlock(),
    BucketServerSideEncryptionConfiguration(),
    BucketVersioning(),
    BucketLifecycleConfiguration(),
    BucketOwnershipControls(),
]
INVOKES: dict[str, Invoke] = {}
