"""S3: who may do what with a bucket."""

import json
from typing import Any

from offline.aws.compare import same_document
from offline.aws.registry import Invoke
from offline.aws.resource import Aws, Props, Resource
from offline.aws.services.s3 import BucketSetting

_KEPT = "s3-bucket-policy"


class BucketPolicy(BucketSetting):
    """The policy of a bucket.

    moto takes each condition for met and so, for a bucket that denies what is not TLS, denies everything. It is given
    the statements without a condition; the stand-in keeps the whole.
    """

    token = "aws:s3/bucketPolicy:BucketPolicy"
    backed_by = "moto: s3.put_bucket_policy; statements with a condition are kept by the stand-in"
    json_properties = frozenset({"policy"})

    def read(self, aws: Aws, physical_id: str, state: Props, /) -> Props:
        """Returns the whole policy, unless moto holds another than it was given."""
        found = super().read(aws, physical_id, state)
        kept = aws.store.get(_KEPT, physical_id)
        if kept is not None and same_document(found["policy"], kept["judged"]):
            found["policy"] = kept["policy"]
        return found

    def delete(self, aws: Aws, physical_id: str, state: Props, /) -> None:
        """Takes the policy off the bucket."""
        super().delete(aws, physical_id, state)
        aws.store.delete(_KEPT, physical_id)

    def put(self, aws: Aws, bucket: str, inputs: Props, /) -> None:
        """Writes the policy."""
        whole = json.loads(inputs["policy"])
        statements = whole["Statement"] if isinstance(whole["Statement"], list) else [whole["Statement"]]
        judged = json.dumps(whole | {"Statement": [one for one in statements if not one.get("Condition")]})
        aws.client("s3").put_bucket_policy(Bucket=bucket, Policy=judged)
        aws.store.put(_KEPT, bucket, {"policy": inputs["policy"], "judged": judged})

    def get(self, client: Any, bucket: str, /) -> Props:
        """Returns the policy that moto holds."""
        return {"policy": client.get_bucket_policy(Bucket=bucket)["Policy"]}

    def remove(self, client: Any, bucket: str, _state: Props, /) -> None:
        """Removes the policy."""
        client.delete_bucket_policy(Bucket=bucket)


RESOURCES: list[Resource] = [BucketPolicy()]
INVOKES: dict[str, Invoke] = {}
