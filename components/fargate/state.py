"""The bucket of what runs leave and are given: saved state of hybrid sessions, and task documents that are too long."""

import pulumi

from components.fargate.bucket import private_bucket
from components.fargate.network import Network
from components.fargate.scope import Scope
from components.plans import documents
from components.plans.saved import STATE, STATE_VERSIONS, TASK_DAYS, TASKS


class StateBucket(pulumi.ComponentResource):
    """A private, encrypted, versioned bucket, which sessions reach by presigned URLs of single objects alone.

    With saved state in it, it outlives the stack; a stack that wants it back imports it.
    """

    def __init__(
        self,
        name: str,
        scope: Scope,
        network: Network,
        opts: pulumi.ResourceOptions | None = None,
        *,
        keeps_state: bool,
    ) -> None:
        """Make the one for saved state and task documents, or with `keeps_state` false for task documents alone.

        They are two buckets: once the last hybrid session goes, what was saved is the team's to delete, and until then
        it keeps its encryption, its versions and its policy.
        """
        kind = _kind(keeps_state=keeps_state)
        super().__init__("agent-environments:fargate:StateBucket", f"{name}-{kind}", {}, opts)
        physical = bucket_name(scope, keeps_state=keeps_state)
        private_bucket(
            f"{name}-{kind}",
            scope,
            physical,
            self,
            outlives_stack=keeps_state,
            passing={TASKS: TASK_DAYS},
            kept_versions={STATE: STATE_VERSIONS} if keeps_state else None,
            policy=pulumi.Output.all(scope.account, physical, network.storage_endpoint, network.nat_address).apply(
                lambda known: documents.sessions_bucket(*known)
            ),
        )
        self.register_outputs({})


def bucket_name(scope: Scope, *, keeps_state: bool) -> pulumi.Output[str]:
    """Name of the bucket, known at preview."""
    # Bucket names are shared by all of AWS: the account id tells equal stack names apart.
    kind = _kind(keeps_state=keeps_state)
    return scope.account.apply(lambda account: scope.name("s3-bucket", kind, account.account_id))


def _kind(*, keeps_state: bool) -> str:
    return "state" if keeps_state else "tasks"
