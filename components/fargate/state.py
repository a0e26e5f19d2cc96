"""The bucket in which hybrid sessions save their state."""

import json

import pulumi
from pulumi_aws import s3

from components.fargate.scope import Scope
from components.models.tags import Role
from components.plans import documents

OLD_VERSIONS_DAYS = 30


class StateBucket(pulumi.ComponentResource):
    """A private, encrypted, versioned bucket; each session writes below a prefix of its own, by presigned URLs.

    It outlives the stack; a stack that wants it back imports it.

    Attributes:
        bucket_name: Name, known at preview.
    """

    def __init__(self, name: str, scope: Scope, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("agent-environments:fargate:StateBucket", name, {}, opts)
        # Kept, all of it together, when the last hybrid session or the stack goes: what was saved is the team's to
        # delete, and until then it keeps its encryption, versions and policy.
        child = pulumi.ResourceOptions(parent=self, retain_on_delete=True)
        # Bucket names are shared by all of AWS: the account id tells equal stack names apart.
        self.bucket_name = scope.account.apply(lambda account: scope.name("s3-bucket", "state", account.account_id))
        bucket = s3.Bucket(name, bucket=self.bucket_name, tags=scope.tags(Role.SHARED), opts=child)
        s3.BucketPublicAccessBlock(
            name,
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        s3.BucketServerSideEncryptionConfiguration(
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
            opts=child,
        )
        versioning = s3.BucketVersioning(
            name,
            bucket=bucket.id,
            versioning_configuration=s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
            opts=child,
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
            opts=pulumi.ResourceOptions(parent=self, depends_on=[versioning], retain_on_delete=True),
        )
        s3.BucketPolicy(
            name,
            bucket=bucket.id,
            policy=pulumi.Output.all(scope.account, self.bucket_name).apply(
                lambda known: json.dumps(documents.state_bucket(*known))
            ),
            opts=child,
        )
        self.register_outputs({})
