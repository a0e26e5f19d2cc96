"""A private bucket: encrypted, versioned, TLS only, never public."""

import json
from collections.abc import Mapping

import pulumi
from pulumi_aws import s3

from components.fargate.scope import Scope
from components.models.tags import Role
from components.plans import documents
from components.plans.documents import Document

OLD_VERSIONS_DAYS = 30


def private_bucket(
    name: str,
    scope: Scope,
    physical: pulumi.Output[str],
    parent: pulumi.Resource,
    *,
    outlives_stack: bool,
    passing: Mapping[str, int] | None = None,
    kept_versions: Mapping[str, int] | None = None,
    policy: pulumi.Output[Document] | None = None,
) -> list[pulumi.Resource]:
    """Make a bucket with all its settings.

    Args:
        name: Logical name of each part.
        scope: Of the stack.
        physical: The bucket's name.
        parent: Component that they are children of.
        outlives_stack: Whether the bucket, its content and all its settings stay when the stack goes; else the bucket
            is emptied and deleted with it.
        passing: Prefix of keys -> days after which what is there goes; old versions of it one day later.
        kept_versions: Prefix of keys that are written often -> how many old versions of each outlive a day.
        policy: Its policy; None for TLS only.

    Returns:
        What must stand before anything is put into the bucket.
    """

    def child(depends_on: pulumi.Resource | None = None) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(
            parent=parent, retain_on_delete=outlives_stack, depends_on=[depends_on] if depends_on else None
        )

    bucket = s3.Bucket(
        name, bucket=physical, force_destroy=not outlives_stack, tags=scope.tags(Role.SHARED), opts=child()
    )
    closed = s3.BucketPublicAccessBlock(
        name,
        bucket=bucket.id,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
        opts=child(),
    )
    encrypted = s3.BucketServerSideEncryptionConfiguration(
        name,
        bucket=bucket.id,
        rules=[
            s3.BucketServerSideEncryptionConfigurationRuleArgs(
                apply_server_side_encryption_by_default=(
                    s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
                        sse_algorithm="AES256"
                    )
                )
            )
        ],
        opts=child(),
    )
    versioned = s3.BucketVersioning(
        name,
        bucket=bucket.id,
        versioning_configuration=s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
        opts=child(),
    )
    s3.BucketLifecycleConfiguration(
        name,
        bucket=bucket.id,
        rules=[
            _lifecycle("old-versions", "", OLD_VERSIONS_DAYS),
            *(_lifecycle(prefix.strip("/"), prefix, 1, days) for prefix, days in sorted((passing or {}).items())),
            *(_lifecycle(prefix.strip("/"), prefix, 1, newer=n) for prefix, n in sorted((kept_versions or {}).items())),
        ],
        opts=child(depends_on=versioned),
    )
    # No object is another account's, and no access list says who may read it.
    owned = s3.BucketOwnershipControls(
        name,
        bucket=bucket.id,
        rule=s3.BucketOwnershipControlsRuleArgs(object_ownership="BucketOwnerEnforced"),
        opts=child(),
    )
    tls_only = pulumi.Output.all(scope.account, physical).apply(lambda known: documents.private_bucket(*known))
    judged = s3.BucketPolicy(name, bucket=bucket.id, policy=(policy or tls_only).apply(json.dumps), opts=child())
    return [closed, encrypted, versioned, owned, judged]


def _lifecycle(
    key: str, prefix: str, old_versions_days: int, days: int | None = None, newer: int | None = None
) -> s3.BucketLifecycleConfigurationRuleArgs:
    return s3.BucketLifecycleConfigurationRuleArgs(
        id=key,
        status="Enabled",
        filter=s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=prefix),
        expiration=s3.BucketLifecycleConfigurationRuleExpirationArgs(days=days) if days else None,
        noncurrent_version_expiration=s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
            noncurrent_days=old_versions_days, newer_noncurrent_versions=newer
        ),
    )
