"""The bucket of what runs leave and are given: saved state of hybrid sessions, and task documents that are too long."""

import pulumi

from components.fargate.bucket import private_bucket
from components.fargate.scope import Scope
from components.plans.saved import TASK_DAYS, TASKS


class StateBucket(pulumi.ComponentResource):
    """A private, encrypted, versioned bucket, which sessions reach by presigned URLs of single objects alone.

    With saved state in it, it outlives the stack; a stack that wants it back imports it.

    Attributes:
        bucket_name: Name, known at preview.
    """

    def __init__(
        self, name: str, scope: Scope, opts: pulumi.ResourceOptions | None = None, *, keeps_state: bool
    ) -> None:
        """Make the one for saved state and task documents, or with `keeps_state` false for task documents alone.

        They are two buckets: once the last hybrid session goes, what was saved is the team's to delete, and until then
        it keeps its encryption, its versions and its policy.
        """
        kind = "state" if keeps_state else "tasks"
        super().__init__("agent-environments:fargate:StateBucket", f"{name}-{kind}", {}, opts)
        # Bucket names are shared by all of AWS: the account id tells equal stack names apart.
        self.bucket_name = scope.account.apply(lambda account: scope.name("s3-bucket", kind, account.account_id))
        private_bucket(
            f"{name}-{kind}",
            scope,
            self.bucket_name,
            self,
            outlives_stack=keeps_state,
            passing={TASKS: TASK_DAYS},
        )
        self.register_outputs({})
