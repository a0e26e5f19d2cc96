"""A private bucket: encrypted, versioned, TLS only, never public."""

import json

import pulumi
from pulumi_aws import s3

from components.fargate.scope import Scope
from components.models.tags import Role
from components.plans import documents

OLD_VERSIONS_DAYS = 30


def private_bucket(
    name: str, scope: Scope, physical: pulumi.Output[str], parent: pulumi.Resource, *, outlives_stack: bool
) -> list[pulumi.Resource]:
    """Make a bucket with all its settings.

    Args:
        name: Logical name of each part.
        scope: Of the stack.
        physical: The bucket's name.
        parent: Component that they are children of.
        outlives_stack: Whether the bucket, its content and all its settings stay when the stack goes; else the bucket
            is emptied and deleted with it.

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
            s3.BucketLifecycleConfigurationRuleArgs(
                id="old-versions",
                status="Enabled",
                filter=s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
                noncurrent_version_expiration=(
                    s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
                        noncurrent_days=OLD_VERSIONS_DAYS
                    )
                ),
            )
        ],
        opts=child(depends_on=versioned),
    )
    tls_only = s3.BucketPolicy(
        name,
        bucket=bucket.id,
        policy=pulumi.Output.all(scope.account, physical).apply(
            lambda known: json.dumps(documents.private_bucket(*known))
        ),
        opts=child(),
    )
    return [closed, encrypted, versioned, tls_only]
