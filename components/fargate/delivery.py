"""How a gateway gets its egress policy: an object that it reads again when it changes, one for each environment."""

import hashlib
from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi_aws import s3

from components.fargate.bucket import private_bucket
from components.fargate.scope import Scope
from components.plans.egress import canonical


def policy_key(environment: str) -> str:
    """Key of the policy of the environment that is called `environment` in names of AWS."""
    return f"egress-policies/{environment}.json"


class PolicyBucket(pulumi.ComponentResource):
    """A private bucket of egress policies: its stack writes, and each gateway may read its own.

    The policy is in no task definition, so a change of it starts no gateway anew and cuts no tunnel that stays allowed.

    Attributes:
        bucket_name: Name, known at preview.
    """

    def __init__(
        self, name: str, scope: Scope, tags: Mapping[str, str], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("agent-environments:fargate:PolicyBucket", name, {}, opts)
        self._tags = tags
        self.bucket_name = scope.account.apply(lambda account: scope.name("s3-bucket", "policies", account.account_id))
        self._ready = private_bucket(name, scope, self.bucket_name, self, outlives_stack=False)
        self.register_outputs({})

    def put(
        self, name: str, key: str, document: Mapping[str, Any], tags: Mapping[str, str], parent: pulumi.Resource
    ) -> s3.BucketObjectv2:
        """The object at `key`; whatever else is written there is overwritten at the next `up`."""
        text = canonical(document)
        return s3.BucketObjectv2(
            name,
            bucket=self.bucket_name,
            key=key,
            content=text,
            content_type="application/json",
            # What S3 answers for this content, hence how a refresh sees that somebody changed it.
            etag=hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(),
            # An object takes ten tags, and a stack may give thirty to everything else.
            override_provider=s3.BucketObjectv2OverrideProviderArgs(
                default_tags=s3.BucketObjectv2OverrideProviderDefaultTagsArgs(tags={})
            ),
            tags={**self._tags, **tags},
            opts=pulumi.ResourceOptions(parent=parent, depends_on=self._ready),
        )
