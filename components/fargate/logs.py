"""Log groups of a stack and the key that encrypts them."""

from collections.abc import Mapping

import pulumi
from pulumi_aws import cloudwatch, kms

from components.fargate.scope import Scope
from components.models.tags import Role
from components.plans import documents


class Logs(pulumi.ComponentResource):
    """One KMS key, and log groups that it encrypts."""

    def __init__(
        self, name: str, scope: Scope, retention_days: int, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("agent-environments:fargate:Logs", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        self._retention_days = retention_days
        self._key = kms.Key(
            name,
            description=f"Logs of agent environments, stack {scope.stack}",
            enable_key_rotation=True,
            policy=scope.document(lambda account: documents.key_policy(account, f"/agentenv/{scope.stack}")),
            tags=scope.tags(Role.SHARED),
            opts=child,
        )
        kms.Alias(name, name=f"alias/{scope.name('kms-alias')}", target_key_id=self._key.key_id, opts=child)
        self.register_outputs({})

    def group(self, name: str, physical: str, tags: Mapping[str, str], parent: pulumi.Resource) -> cloudwatch.LogGroup:
        """An encrypted log group called `physical`, kept as long as the stack says."""
        return cloudwatch.LogGroup(
            name,
            name=physical,
            retention_in_days=self._retention_days,
            kms_key_id=self._key.arn,
            tags=dict(tags),
            opts=pulumi.ResourceOptions(parent=parent),
        )
