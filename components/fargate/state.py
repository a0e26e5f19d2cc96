"""The bucket in which hybrid sessions save their state."""

import pulumi

from components.fargate.bucket import private_bucket
from components.fargate.scope import Scope


class StateBucket(pulumi.ComponentResource):
    """A private, encrypted, versioned bucket; each session writes below a prefix of its own, by presigned URLs.

    It outlives the stack; a stack that wants it back imports it.

    Attributes:
        bucket_name: Name, known at preview.
    """

    def __init__(self, name: str, scope: Scope, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("agent-environments:fargate:StateBucket", name, {}, opts)
        # Bucket names are shared by all of AWS: the account id tells equal stack names apart.
        self.bucket_name = scope.account.apply(lambda account: scope.name("s3-bucket", "state", account.account_id))
        # Kept, all of it together, when the last hybrid session or the stack goes: what was saved is the team's to
        # delete, and until then it keeps its encryption, versions and policy.
        private_bucket(name, scope, self.bucket_name, self, outlives_stack=True)
        self.register_outputs({})
