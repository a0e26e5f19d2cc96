"""Where a stack lives in AWS, and the ARNs that follow from names alone."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Account:
    """An AWS account and region.

    ARNs are made from names rather than read back from resources, so that every document that names them is known,
    and judged by the policy pack, before anything is created.
    """

    account_id: str
    region: str
    partition: str = "aws"
    dns_suffix: str = "amazonaws.com"

    def arn(self, service: str, resource: str) -> str:
        """ARN of a regional resource of this account, e.g. `arn("ecr", "repository/agents")`."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account_id}:{resource}"

    def role(self, name: str) -> str:
        """ARN of an IAM role."""
        return f"arn:{self.partition}:iam::{self.account_id}:role/{name}"

    def root(self) -> str:
        """Principal that stands for the account itself."""
        return f"arn:{self.partition}:iam::{self.account_id}:root"

    def layer_bucket(self) -> str:
        """ARN of the objects in the bucket that ECR serves image layers of this region from.

        Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html
        """
        return f"arn:{self.partition}:s3:::prod-{self.region}-starport-layer-bucket/*"
