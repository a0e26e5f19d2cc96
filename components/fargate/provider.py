"""The AWS provider of a stack."""

import pulumi
import pulumi_aws as aws

from components.models.stack import Stack
from components.models.tags import Tag


def required_tags(stack: Stack) -> dict[str, str]:
    """Tags without which nothing of `stack` may exist."""
    own = {Tag.STACK: pulumi.get_stack(), Tag.TEAM: stack.team, Tag.COST_CENTRE: stack.cost_centre or stack.team}
    return {str(key): text for key, text in own.items()}


def provider(stack: Stack, name: str) -> aws.Provider:
    """The provider that puts the stack's tags on everything; all else is as the stack's `aws:` settings say."""
    config = pulumi.Config("aws")
    return aws.Provider(
        name,
        region=config.require("region"),
        profile=config.get("profile"),
        allowed_account_ids=config.get_object("allowedAccountIds"),
        forbidden_account_ids=config.get_object("forbiddenAccountIds"),
        assume_roles=config.get_object("assumeRoles"),
        ignore_tags=config.get_object("ignoreTags"),
        endpoints=config.get_object("endpoints"),
        skip_credentials_validation=config.get_bool("skipCredentialsValidation"),
        skip_metadata_api_check=config.get_bool("skipMetadataApiCheck"),
        skip_region_validation=config.get_bool("skipRegionValidation"),
        skip_requesting_account_id=config.get_bool("skipRequestingAccountId"),
        s3_use_path_style=config.get_bool("s3UsePathStyle"),
        default_tags=aws.ProviderDefaultTagsArgs(tags={**stack.tags, **required_tags(stack)}),
    )
